import { Random } from '@bitwright/engine'
import { describe, expect, it } from 'vitest'
import { memory } from '../hardware/index.ts'
import { withBits } from '../network/transform.ts'
import { toneNetwork } from '../training/testing/tones.ts'
import { averageWidths, bestWithin, frontOf, paretoFront } from './front.ts'
import type { Candidate } from './strategy.ts'

const network = withBits(toneNetwork(), { weightBits: 4, activationBits: 8 }, { edges: 'same' })
const candidate = (score: number, flashBytes: number, macs: number, more: Partial<Candidate> & { latencyMs?: number } = {}): Candidate => {
  const { latencyMs, ...rest } = more
  const cost = { params: 1, ramBytes: 100, flashBytes, macs, ...(latencyMs !== undefined && { latencyMs }) }
  return { decisions: [], network, cost, score, scoreKind: 'shared', ...rest }
}

describe('paretoFront', () => {
  it('is what no other member beats, as comparing all pairs says', () => {
    const random = new Random(2, 'front')
    const members = Array.from({ length: 150 }, () => [random.integer(6), random.integer(6), random.integer(6)])
    const front = paretoFront(members, (member) => member)
    const beats = (a: readonly number[], b: readonly number[]) => a.every((x, i) => x <= b[i]) && a.some((x, i) => x < b[i])
    for (const member of members)
      expect(members.some((other) => beats(other, member))).toBe(!front.some((other) => other.join() === member.join()))
    expect(new Set(front.map(String)).size).toBe(front.length)
    expect(paretoFront([], (member) => member)).toEqual([])
  })
})

describe('frontOf', () => {
  it('keeps the cheaper, the faster and the better, by rising bytes, and nothing that was given up', () => {
    const front = frontOf([
      candidate(0.9, 300, 30),
      candidate(0.8, 200, 30),
      candidate(0.8, 250, 20),
      candidate(0.79, 260, 30),
      candidate(0.99, 100, 1, { dropped: 'diverged' }),
    ])
    expect(front.map(({ accuracy, flashBytes }) => [accuracy, flashBytes])).toEqual([
      [0.8, 200],
      [0.8, 250],
      [0.9, 300],
    ])
    expect(front[0]).toMatchObject({ ramBytes: 100, macs: 30, network })
    expect(front[0]).not.toHaveProperty('latencyMs')
  })

  it('compares milliseconds where they are known', () => {
    const [slow, fast] = [candidate(0.9, 300, 10, { latencyMs: 5 }), candidate(0.9, 300, 20, { latencyMs: 4 })]
    expect(frontOf([slow, fast]).map(({ latencyMs }) => latencyMs)).toEqual([4])
  })
})

it('averages widths over parameters and over the numbers that layers multiply', () => {
  const mixed = withBits(
    toneNetwork(),
    { weightBits: 4, activationBits: 8 },
    { edges: 'same', overrides: { last: { weightBits: 2, activationBits: 2 } } },
  )
  const { weightBits, activationBits } = averageWidths(mixed)
  const { nodes } = memory.price(mixed)
  const params = nodes.reduce((sum, node) => sum + node.params, 0)
  const last = nodes.find(({ id }) => id === 'last')!.params
  expect(weightBits).toBeCloseTo((2 * last + 4 * (params - last)) / params, 12)
  // raw audio has its own width, which counts for nothing; `last` narrows 50 x 8 numbers, the others are 50 x (8 + 16 + 16) and 12
  expect(activationBits).toBeCloseTo((2 * 400 + 8 * 2012) / 2412, 12)
})

it('takes the most accurate member within a budget, and none where none fits', () => {
  const front = frontOf([candidate(0.9, 300, 30), candidate(0.8, 200, 20), candidate(0.7, 100, 25)])
  expect(bestWithin(front, {})!.accuracy).toBe(0.9)
  expect(bestWithin(front, { flashBytes: 299 })!.accuracy).toBe(0.8)
  expect(bestWithin(front, { flashBytes: 150, macs: 25 })!.accuracy).toBe(0.7)
  expect(bestWithin(front, { macs: 19 })).toBeUndefined()
})
