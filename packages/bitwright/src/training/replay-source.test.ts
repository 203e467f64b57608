// Every stretch of an epoch has its share of old samples, all of them come round equally often, and the same seed gives the same order.
import { Engine, openBackend } from '@bitwright/engine'
import { afterAll, describe, expect, test } from 'vitest'
import type { ImageDataset, Sample, SplitName } from '../data/dataset.ts'
import { joinDatasets, rowsOf } from '../data/join.ts'
import { isOld as isOldOf, partOf, ReplaySource } from './replay-source.ts'

const backend = await openBackend({ backend: 'wasm', threads: 1 })
afterAll(() => backend.close())

/** Images of one pixel that say where they are from. */
function images(directory: string, counts: readonly [number, number, number], first: number): ImageDataset {
  const total = counts.reduce((sum, count) => sum + count, 0)
  let index = 0
  const split = (count: number): Sample[] =>
    Array.from({ length: count }, () => ({ path: `${directory}/${index}`, label: index % 2, index: index++ }))
  const splits = { train: split(counts[0]), validation: split(counts[1]), test: split(counts[2]) }
  const pixels = new Uint8Array(new SharedArrayBuffer(total)).map((_, i) => first + i)
  return { kind: 'image', directory, classes: ['a', 'b'], height: 1, width: 1, channels: 1, splits, skipped: [], pixels }
}

const old = images('old', [23, 8, 4], 0)
const fresh = images('new', [40, 6, 3], 100)
const data = { ...joinDatasets([old, fresh]), oldRows: rowsOf(old) }
const frontEnd = { kind: 'image', height: 1, width: 1, channels: 1 } as const
const open = (share: number) => new ReplaySource(new Engine(backend), data, frontEnd, { share, seed: 7 })
const isOld = (sample: Sample) => isOldOf(data, sample)

test('joined rows are those of the parts', () => {
  expect(data.kind === 'image' && [...data.pixels]).toEqual([...old.pixels, ...fresh.pixels])
  for (const split of ['train', 'validation', 'test'] as SplitName[]) {
    expect(partOf(data, 'old').splits[split]).toEqual(old.splits[split])
    expect(partOf(data, 'new').splits[split].map(({ path }) => path)).toEqual(fresh.splits[split].map(({ path }) => path))
    for (const { path, index } of partOf(data, 'new').splits[split]) expect(path).toBe(`new/${index - data.oldRows}`)
  }
  expect(() => joinDatasets([old, { ...fresh, width: 2 }])).toThrow(/new has images of 1x2x1 .*, old has images of 1x1x1/)
  expect(() => joinDatasets([old, { ...fresh, classes: ['a', 'c'] }])).toThrow(/cannot be taken together/)
})

describe.each([0, 0.1, 0.25, 0.5, 0.7, 0.9])('a share of %f', (share) => {
  const source = open(share)

  test('holds in every batch of any size, to within a sample', () => {
    for (let epoch = 0; epoch < 3; epoch++) {
      const order = source.epochOrder(3, epoch)
      for (const size of [4, 7, 16])
        for (let begin = 0; begin + size <= order.length; begin += size) {
          const count = order.slice(begin, begin + size).filter(isOld).length
          expect(Math.abs(count - share * size), `batch of ${size} at ${begin}`).toBeLessThan(1 + 1e-9)
        }
      expect(Math.abs(order.filter(isOld).length - share * order.length)).toBeLessThan(1)
    }
  })

  test('goes through the new samples once an epoch, and through the old ones in turn', () => {
    const seen = new Map<number, number>()
    for (let epoch = 0; epoch < 9; epoch++) {
      const order = source.epochOrder(3, epoch)
      const own = order.filter((sample) => !isOld(sample)).map(({ index }) => index)
      expect(own.toSorted((a, b) => a - b)).toEqual(partOf(data, 'new').splits.train.map(({ index }) => index))
      for (const { index } of order.filter(isOld)) seen.set(index, (seen.get(index) ?? 0) + 1)
    }
    const times = partOf(data, 'old').splits.train.map(({ index }) => seen.get(index) ?? 0)
    expect(Math.max(...times) - Math.min(...times)).toBeLessThanOrEqual(1)
  })

  test('is the same again for a seed, and another for another', () => {
    expect(open(share).epochOrder(3, 2)).toEqual(source.epochOrder(3, 2))
    expect(source.epochOrder(4, 2)).not.toEqual(source.epochOrder(3, 2))
    expect(source.epochOrder(3, 1)).not.toEqual(source.epochOrder(3, 2))
  })

  test('is that of its splits too, as far as there are old samples', () => {
    const { validation } = source.dataset.splits
    const wanted = Math.min(8, Math.round((6 * share) / (1 - share)))
    expect(validation.filter(isOld)).toHaveLength(wanted)
    expect(validation.filter((sample) => !isOld(sample))).toHaveLength(6)
    expect(new Set(validation).size).toBe(validation.length)
  })
})
