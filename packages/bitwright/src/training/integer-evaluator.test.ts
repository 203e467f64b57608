import { describe, expect, it } from 'vitest'
import { encodeModel, type IntegerLayer, load } from '@bitwright/runtime'
import { lowerSkeleton } from '../hardware/lower.ts'
import { convolution, network } from '../network/blocks.ts'
import { compareAnswers, integerLogits } from './integer-evaluator.ts'
import { toneClasses, toneDataset } from './testing/tones.ts'

const dataset = toneDataset()
const { samples, sampleRate } = dataset
const { model: skeleton } = lowerSkeleton(
  network('filters', { kind: 'raw', sampleRate, samples }, toneClasses, [
    { id: 'input', op: 'input', inputs: [], shape: [samples, 1, 1] },
    convolution('logits', 'input', { channels: 3, kernelSize: [samples, 1], padding: [0, 0, 0, 0], activation: 'none' }),
  ]),
)
const weights = Int8Array.from({ length: 3 * samples }, (_, i) => 100 * Math.sin(i * i))
const model = {
  ...skeleton,
  layers: skeleton.layers.map((layer) => ({ ...layer, weights, shift: new Int8Array(3).fill(-8) }) as IntegerLayer),
}
const clips = dataset.splits.train.toReversed()

describe('integerLogits', () => {
  it('gives each clip the logits the core gives it, with one thread and with several', async () => {
    const core = load(encodeModel(model))
    const expected = clips.map(({ index }) => core.run(dataset.pcm.slice(index * dataset.samples, (index + 1) * dataset.samples)))
    expect(new Set(expected.map(String)).size).toBeGreaterThan(50)
    let last = 0
    const onProgress = (done: number, total: number): void => {
      expect([done > last, done <= total, total]).toEqual([true, true, clips.length])
      last = done
    }
    expect(await integerLogits(model, dataset, clips, { onProgress })).toEqual(expected)
    expect(last).toBe(clips.length)
    const shared = new Int16Array(new SharedArrayBuffer(dataset.pcm.byteLength))
    shared.set(dataset.pcm)
    last = 0
    const threaded = await integerLogits(encodeModel(model), { ...dataset, pcm: shared }, clips.slice(0, 128), { threads: 2 })
    expect(threaded).toEqual(expected.slice(0, 128))
  })

  it('takes no clips, and refuses clips of another length', async () => {
    expect(await integerLogits(model, dataset, [])).toEqual([])
    await expect(integerLogits(model, { ...dataset, samples: 300 }, clips.slice(0, 1))).rejects.toThrow(/300 samples/)
  })
})

describe('compareAnswers', () => {
  it('lists the clips that differ with their margin, and the largest difference in steps', () => {
    const fake = [
      [1, 0.5],
      [0.25, 0.75],
      [2, -2],
    ]
    const whole = [
      [10, 5],
      [8, 7],
      [21, -20],
    ].map((row) => Int16Array.from(row))
    const { differing, largestDifference } = compareAnswers([{ path: 'a' }, { path: 'b' }, { path: 'c' }], fake, whole, 0.1)
    expect(differing).toEqual([{ path: 'b', fakeQuantized: 1, integer: 0, margin: 0.5 }])
    expect(largestDifference).toBeCloseTo(5.5, 10)
  })
})
