// Threefry against the known answers that come with Random123 (kat_vectors, threefry2x32 with 20 rounds), and what streams promise.
import { expect, test } from 'vitest'
import { Random, threefry2x32 } from './random.ts'

test.each([
  ['zeros', [0, 0], [0, 0], [0x6b200159, 0x99ba4efe]],
  ['ones', [0xffffffff, 0xffffffff], [0xffffffff, 0xffffffff], [0x1cb996fc, 0xbb002be7]],
  ['digits of pi', [0x13198a2e, 0x03707344], [0x243f6a88, 0x85a308d3], [0xc4923a9c, 0x483df7a0]],
])('threefry2x32 of %s', (_, key, counter, expected) => {
  const out = new Uint32Array(2)
  threefry2x32(key[0], key[1], counter[0], counter[1], out)
  expect([...out]).toEqual(expected)
})

const draws = (random: Random, count = 8) => Array.from({ length: count }, () => random.uint32())

test('a stream starts with the blocks of its key', () => {
  const block = new Uint32Array(2)
  threefry2x32(7, 0, 0, 0, block)
  const random = new Random(7)
  expect([random.uint32(), random.uint32()]).toEqual([...block])
  threefry2x32(7, 0, 1, 0, block)
  expect([random.uint32(), random.uint32()]).toEqual([...block])
})

test('the same path gives the same numbers, whatever other streams did', () => {
  const expected = draws(new Random(3, 'augmentation', 5, 1))
  const other = new Random(3, 'augmentation', 5, 0)
  const random = new Random(3, 'augmentation', 5, 1)
  expect(Array.from({ length: 8 }, () => (other.uint32(), random.uint32()))).toEqual(expected)
})

test('another seed, purpose, number, order or length of the path is another stream', () => {
  const paths: [number, ...(string | number)[]][] = [
    [0],
    [1],
    [2 ** 32],
    [-1],
    [0, 'a'],
    [0, 'b'],
    [0, 'a', 'b'],
    [0, 'b', 'a'],
    [0, 'ab'],
    [0, 0],
    [0, 1],
    [0, 0, 0],
    [0, '0'],
    [0, '1'],
    [0, 'a', 1],
    [0, 1, 'a'],
  ]
  const seen = new Set(paths.flatMap((path) => draws(new Random(...path), 4)))
  expect(seen.size).toBe(paths.length * 4)
})

test('uniform numbers fill their range evenly', () => {
  const random = new Random(1, 'uniform')
  const bins = Array.from({ length: 16 }, () => 0)
  for (let i = 0; i < 16_000; i++) {
    const value = random.uniform(-2, 6)
    expect(value).toBeGreaterThanOrEqual(-2)
    expect(value).toBeLessThan(6)
    bins[Math.floor((value + 2) * 2)]++
  }
  const chiSquare = bins.reduce((sum, n) => sum + (n - 1000) ** 2 / 1000, 0)
  expect(chiSquare).toBeLessThan(37.7) // 15 degrees of freedom, p = 0.001
})

test('integers stay below their count, and every one comes', () => {
  const random = new Random(1, 'integer')
  const counts = Array.from({ length: 7 }, () => 0)
  for (let i = 0; i < 700; i++) counts[random.integer(7)]++
  expect(counts.length).toBe(7)
  expect(Math.min(...counts)).toBeGreaterThan(60)
})

test('normal numbers have their moments and tails', () => {
  const random = new Random(1, 'normal')
  const numbers = Array.from({ length: 20_000 }, () => random.normal())
  const moment = (k: number) => numbers.reduce((sum, x) => sum + x ** k, 0) / numbers.length
  expect(Math.abs(moment(1))).toBeLessThan(0.03)
  expect(Math.abs(moment(2) - 1)).toBeLessThan(0.05)
  expect(Math.abs(moment(3))).toBeLessThan(0.1)
  expect(Math.abs(moment(4) - 3)).toBeLessThan(0.3)
  expect(numbers.every(Number.isFinite)).toBe(true)
})

test('a permutation holds every number once, and first places are shared out', () => {
  const firsts = Array.from({ length: 6 }, () => 0)
  for (let i = 0; i < 600; i++) {
    const order = new Random(1, 'permutation', i).permutation(6)
    expect([...order].toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5])
    firsts[order[0]]++
  }
  expect(Math.min(...firsts)).toBeGreaterThan(60)
  expect(new Random(0).permutation(0)).toEqual(new Int32Array(0))
})
