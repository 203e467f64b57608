import type { Engine } from '@bitwright/engine'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Sample } from '../data/dataset.ts'
import { argMax, Evaluator, scores } from './evaluate.ts'
import { createStore } from './initialize.ts'
import { runReference } from './testing/reference-network.ts'
import { openEngine, toneDataset, toneNetwork, toneSource } from './testing/tones.ts'

describe('scores', () => {
  const classes = ['yes', 'no', '_silence_']
  const clip = (label: number, index: number, speaker?: string): Sample => ({
    path: `${classes[label]}/${index}.wav`,
    label,
    index,
    ...(speaker ? { speaker } : {}),
  })
  const labels = [0, 0, 0, 1, 1, 2, 2]
  const answers = [0, 0, 1, 1, 2, 2, 0]
  const clips = labels.map((label, index) => clip(label, index))

  it('counts what was answered for what', () => {
    const result = scores(clips, answers, classes)
    expect(result.confusion).toEqual([
      [2, 1, 0],
      [0, 1, 1],
      [1, 0, 1],
    ])
    expect(result.accuracy).toBeCloseTo(4 / 7, 12)
    expect(result.count).toBe(7)
    expect(result.recall).toEqual([2 / 3, 1 / 2, 1 / 2])
    expect(result.accuracyWithoutSilence).toBeCloseTo(3 / 5, 12)
  })

  it('has no accuracy without silence where there is no such class, or nothing else', () => {
    expect(scores(clips.slice(0, 5), answers.slice(0, 5), ['yes', 'no', 'up'])).not.toHaveProperty('accuracyWithoutSilence')
    expect(scores(clips.slice(5), answers.slice(5), classes)).not.toHaveProperty('accuracyWithoutSilence')
    expect(scores(clips.slice(5), answers.slice(5), classes).recall).toEqual([0, 0, 0.5])
  })

  it('is finite without clips', () => {
    expect(scores([], [], classes)).toMatchObject({ accuracy: 0, count: 0, recall: [0, 0, 0], standardError: 0 })
  })

  it('has the standard error of resampled speakers, found by hand on three', () => {
    // speakers with [right, clips]: all 27 draws of three, as likely as each other
    const speakers = { a: [3, 4], b: [0, 1], c: [1, 3] }
    const spoken: Sample[] = []
    const said: number[] = []
    for (const [speaker, [right, count]] of Object.entries(speakers)) {
      for (let i = 0; i < count; i++) {
        spoken.push(clip(0, spoken.length, speaker))
        said.push(i < right ? 0 : 1)
      }
    }
    const pools = Object.values(speakers)
    const accuracies = pools.flatMap((a) => pools.flatMap((b) => pools.map((c) => (a[0] + b[0] + c[0]) / (a[1] + b[1] + c[1]))))
    const mean = accuracies.reduce((sum, value) => sum + value, 0) / 27
    const expected = Math.sqrt(accuracies.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 27)
    const { standardError } = scores(spoken, said, classes)
    expect(standardError / expected).toBeGreaterThan(0.9)
    expect(standardError / expected).toBeLessThan(1.1)
    expect(scores(spoken, said, classes).standardError).toBe(standardError)
    // each clip by itself has another error: sqrt(p (1 - p) / n)
    const alone = scores(
      spoken.map(({ speaker: _speaker, ...rest }) => rest),
      said,
      classes,
    )
    expect(alone.standardError / Math.sqrt(0.25 / 8)).toBeGreaterThan(0.9)
    expect(alone.standardError / Math.sqrt(0.25 / 8)).toBeLessThan(1.1)
    expect(
      scores(
        spoken,
        spoken.map(() => 0),
        classes,
      ).standardError,
    ).toBe(0)
  })

  it('takes the first of equal logits', () => {
    expect(argMax([1, 3, 3])).toBe(1)
    expect(argMax(Float32Array.of(-2, -1, -3))).toBe(1)
    expect(argMax([NaN, 1])).toBe(0)
  })
})

describe('Evaluator', () => {
  const dataset = toneDataset()
  const network = toneNetwork()
  const clips = dataset.splits.test.slice(0, 23)
  let engine: Engine
  beforeAll(async () => {
    engine = await openEngine()
  })
  afterAll(() => engine.backend.close())

  it("gives the network's logits and mean loss, whatever the batch", async () => {
    const store = createStore(engine, [network], 2)
    for (const { name } of store.all())
      if (/\.(mean|offset|bias)$/.test(name)) store.value(name).forEach((_, i, values) => (values[i] = Math.sin(i) / 4))
    const input = Float64Array.from(
      clips.flatMap(({ index }) => Array.from(dataset.pcm.subarray(index * 400, (index + 1) * 400), (v) => v / 32768)),
    )
    const expected = runReference(network, {
      batch: clips.length,
      input,
      parameter: (name) => store.value(name),
      statistics: 'running',
    }).get('logits')!
    const losses = clips.map(({ label }, row) => {
      const logits = [...expected.subarray(row * 3, row * 3 + 3)]
      return Math.log(logits.reduce((sum, value) => sum + Math.exp(value), 0)) - logits[label]
    })
    for (const batch of [1, 7, 23, 64]) {
      const { bytes } = engine.heap
      const evaluator = new Evaluator(engine, network, store, { batch })
      const { logits, loss } = await evaluator.logits(toneSource(engine, dataset), clips)
      expect(logits).toHaveLength(23)
      logits.forEach((row, i) => {
        expect(row).toHaveLength(3)
        row.forEach((value, c) => expect(value, `clip ${i}, batch ${batch}`).toBeCloseTo(expected[3 * i + c], 4))
      })
      expect(loss).toBeCloseTo(losses.reduce((a, b) => a + b, 0) / 23, 4)
      // again, with what an earlier batch has left behind
      expect((await evaluator.logits(toneSource(engine, dataset), clips.slice(0, 5))).logits).toEqual(logits.slice(0, 5))
      evaluator.dispose()
      expect(engine.heap.bytes).toBe(bytes)
    }
    store.dispose()
  })

  it('has nothing to say about no clips', async () => {
    const store = createStore(engine, [network], 2)
    const evaluator = new Evaluator(engine, network, store)
    expect(await evaluator.logits(toneSource(engine, dataset), [])).toEqual({ logits: [], loss: 0 })
    evaluator.dispose()
    store.dispose()
  })
})
