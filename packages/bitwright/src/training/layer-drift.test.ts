// Distances of data as layers see them, against float64 from the definitions; the noise floor tells data of one kind from data of another.
import type { Engine, ParameterStore } from '@bitwright/engine'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { AudioDataset, Sample } from '../data/dataset.ts'
import { isWeighted } from '../network/graph.ts'
import type { Network } from '../network/network.ts'
import { createStore } from './initialize.ts'
import { averageOf, chunkStatistics, compared, dealt, distanceBetween } from './layer-drift.ts'
import { batchNormEpsilon } from './record.ts'
import { runReference } from './testing/reference-network.ts'
import { openEngine, toneDataset, toneNetwork, toneSource } from './testing/tones.ts'
import { Trainer } from './trainer.ts'

const network = toneNetwork()
const old = toneDataset({ train: 80 })
let engine: Engine
let store: ParameterStore
beforeAll(async () => {
  engine = await openEngine()
  store = createStore(engine, [network], 5)
  const trainer = new Trainer(engine, network, store, toneSource(engine, old), {
    batchSize: 20,
    epochs: 3,
    optimizer: 'adam',
    learningRate: 1e-2,
    weightDecay: 0,
    labelSmoothing: 0,
    seed: 1,
    purpose: 'float',
  })
  for (let epoch = 0; epoch < 3; epoch++) await trainer.epoch(epoch)
  trainer.dispose()
})
afterAll(() => engine.backend.close())

/** The same clips, each with noise over it. */
function noisy(dataset: AudioDataset, gain: number): AudioDataset {
  let state = 1
  const noise = () => ((state = (state * 48_271) % 2_147_483_647) / 2_147_483_647 - 0.5) * 2
  return { ...dataset, pcm: dataset.pcm.map((value) => Math.max(-32_768, Math.min(32_767, Math.round(value + gain * noise())))) }
}

/** Mean and variance of every channel before each batch norm, of one batch, all from the definition. */
function momentsByDefinition(of: AudioDataset, clips: readonly Sample[]) {
  const pcm = Float32Array.from(clips.flatMap(({ index }) => [...of.pcm.subarray(index * 400, (index + 1) * 400)].map((v) => v / 32_768)))
  return network.nodes.flatMap((node, at) => {
    if (!isWeighted(node) || node.normalization === 'none') return []
    const bare: Network = {
      ...network,
      nodes: [...network.nodes.slice(0, at), { ...node, normalization: 'none', activation: 'none' }],
    }
    const values = runReference(bare, {
      batch: clips.length,
      input: pcm,
      parameter: (name) => store.value(name),
      statistics: 'batch',
    }).get(node.id)!
    const channels = Array.from({ length: node.channels }, (_, c) => {
      const own = values.filter((_, i) => i % node.channels === c)
      const mean = own.reduce((sum, v) => sum + v, 0) / own.length
      return { mean, variance: own.reduce((sum, v) => sum + (v - mean) ** 2, 0) / own.length }
    })
    return [{ id: node.id, channels }]
  })
}

describe('the distance', () => {
  it('is that of the definition, layer by layer', async () => {
    const other = noisy(toneDataset({ train: 80 }, 3), 4000)
    const clips = [old, other].map(({ splits }) => splits.train.slice(0, 24))
    const { statistics, samples } = await chunkStatistics(engine, network, store, [
      { source: toneSource(engine, old), chunks: [clips[0]] },
      { source: toneSource(engine, other), chunks: [clips[1]] },
    ])
    expect(samples).toBe(48)
    const [[a], [b]] = statistics
    const measured = distanceBetween(a, b)
    const [before, after] = [momentsByDefinition(old, clips[0]), momentsByDefinition(other, clips[1])]
    expect(measured.layers.map(({ id }) => id)).toEqual(before.map(({ id }) => id))
    let total = 0
    for (const [layer, { channels }] of before.entries()) {
      let [shifts, ratios] = [0, 0]
      for (const [c, was] of channels.entries()) {
        const now = after[layer].channels[c]
        const [v, w] = [was.variance + batchNormEpsilon, now.variance + batchNormEpsilon]
        shifts += (now.mean - was.mean) ** 2 / ((v + w) / 2) / channels.length
        ratios += Math.log(w / v) ** 2 / channels.length
      }
      const drift = measured.layers[layer]
      expect(drift.shift).toBeCloseTo(Math.sqrt(shifts), 3)
      expect(drift.logVarianceRatio).toBeCloseTo(Math.sqrt(ratios), 3)
      expect(drift.distance).toBeCloseTo(Math.sqrt(shifts + ratios / 2), 3)
      total += (shifts + ratios / 2) / before.length
    }
    expect(measured.distance).toBeCloseTo(Math.sqrt(total), 3)
    expect(measured.distance).toBeGreaterThan(0.1)
  })

  it('is the same there and back, nothing to itself, and twice the divergence for small moves', () => {
    const at = (mean: number, variance: number) => [{ id: 'x', mean: Float64Array.of(mean), variance: Float64Array.of(variance) }]
    const [a, b] = [at(1, 4), at(1.02, 4.05)]
    expect(distanceBetween(a, a).distance).toBe(0)
    expect(distanceBetween(a, b).distance).toBeCloseTo(distanceBetween(b, a).distance, 12)
    const divergence = Math.log(Math.sqrt(4.05 / 4)) + (4 + 0.02 ** 2) / (2 * 4.05) - 0.5
    expect(distanceBetween(a, b).distance ** 2).toBeCloseTo(2 * divergence, 5)
  })
})

describe('against the noise floor', () => {
  const measure = async (fresh: AudioDataset) => {
    const before = store.snapshot()
    const set = (of: AudioDataset) => ({ source: toneSource(engine, of), chunks: dealt(of.splits.train, 0) })
    const { statistics } = await chunkStatistics(engine, network, store, [set(old), set(fresh)])
    expect(store.snapshot()).toEqual(before)
    return { ...compared(statistics[0], statistics[1]), statistics }
  }

  it.each([1, 2, 3])('other tones of the same kind are no drift (seed %i)', async (seed) => {
    const { distance, floor } = await measure(toneDataset({ train: 80 }, seed))
    expect(distance).toBeGreaterThan(0)
    expect(distance).toBeLessThan(floor)
  })

  it('noise is, and more of it more', async () => {
    const some = await measure(noisy(toneDataset({ train: 80 }, 1), 6000))
    const much = await measure(noisy(toneDataset({ train: 80 }, 1), 20_000))
    expect(some.distance).toBeGreaterThan(2 * some.floor)
    expect(much.distance).toBeGreaterThan(1.5 * some.distance)
    expect(much.floor).toBeCloseTo(some.floor, 12)
  })

  it('is the largest of all halvings, and the distance a mean over halves', async () => {
    const { distance, floor, statistics } = await measure(noisy(toneDataset({ train: 80 }, 1), 2000))
    const [before, after] = statistics
    let largest = 0
    const between: number[] = []
    for (let mask = 0; mask < 256; mask++) {
      const half = [...Array(8).keys()].filter((i) => (mask >> i) % 2 === 1)
      if (half.length !== 4) continue
      const rest = [...Array(8).keys()].filter((i) => !half.includes(i))
      const pick = (all: typeof before, which: number[]) => averageOf(which.map((i) => all[i]))
      largest = Math.max(largest, distanceBetween(pick(before, half), pick(before, rest)).distance)
      between.push(distanceBetween(pick(before, half), pick(after, half)).distance)
    }
    expect(between).toHaveLength(70)
    expect(floor).toBeCloseTo(largest, 12)
    expect(distance).toBeCloseTo(between.reduce((sum, d) => sum + d, 0) / 70, 12)
  })
})

it('deals all of a speaker into one chunk, and evenly', () => {
  const chunks = dealt(old.splits.train, 0)
  expect(chunks.flat().toSorted((a, b) => a.index - b.index)).toEqual(old.splits.train)
  const speakers = chunks.map((chunk) => new Set(chunk.map(({ speaker }) => speaker)))
  for (const [i, own] of speakers.entries())
    for (const other of speakers.slice(i + 1))
      expect(
        [...own].filter((speaker) => other.has(speaker)),
        `chunk ${i}`,
      ).toEqual([])
  const sizes = chunks.map(({ length }) => length)
  expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(12)
  expect(dealt(old.splits.train, 0)).toEqual(chunks)
  expect(dealt(old.splits.train, 1)).not.toEqual(chunks)
})
