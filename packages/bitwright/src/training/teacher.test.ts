// What a teacher asks of its student, against the softmax of its own evaluated logits.
import { crossEntropy, type Engine, Tape } from '@bitwright/engine'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Evaluator } from './evaluate.ts'
import { createStore } from './initialize.ts'
import { Recorder } from './record.ts'
import { Teacher } from './teacher.ts'
import { openEngine, toneDataset, toneNetwork, toneSource } from './testing/tones.ts'

const dataset = toneDataset()
const network = toneNetwork()
let engine: Engine
beforeAll(async () => {
  engine = await openEngine()
})
afterAll(() => engine.backend.close())

it.each([
  ['all samples', undefined],
  ['the samples that it knows', 2],
] as const)(
  'mixes its own answers with the smoothed labels on %s, whatever becomes of the student, and gives its memory back',
  async (_, known) => {
    const store = createStore(engine, [network], 3)
    const source = toneSource(engine, dataset)
    const clips = dataset.splits.train.slice(0, 5)
    const evaluator = new Evaluator(engine, network, store, { batch: 5 })
    const { logits } = await evaluator.logits(source, clips)
    evaluator.dispose()

    const { bytes } = engine.heap
    const parameters = store.snapshot()
    const tape = new Tape(engine, { batch: 5, mode: 'train' })
    const { input, logits: answers } = new Recorder(tape, { store, momentum: 0 }).network(network)
    const loss = crossEntropy(tape, answers, { targets: true })
    const teacher = new Teacher(store, 5, {
      network,
      parameters,
      weight: 0.75,
      ...(known !== undefined && { knows: (sample) => clips.indexOf(sample) < known }),
    })
    engine.floats(store.values, store.size).fill(0)
    source.fill(input, clips, null)
    engine.integers(loss.labels, 5).set(clips.map(({ label }) => label))
    teacher.teach(input, clips, loss, 0.2)

    const classes = network.classes.length
    const { stride } = answers.stored
    logits.forEach((row, i) => {
      const own = Array.from(row.subarray(0, classes), Math.exp)
      const sum = own.reduce((a, b) => a + b, 0)
      own.forEach((value, c) => {
        const label = 0.2 / classes + (c === clips[i].label ? 0.8 : 0)
        expect(engine.floats(loss.targets, 5 * stride)[i * stride + c]).toBeCloseTo(
          i < (known ?? 5) ? 0.75 * (value / sum) + 0.25 * label : label,
          5,
        )
      })
    })
    teacher.dispose()
    tape.dispose()
    expect(engine.heap.bytes).toBe(bytes)
    store.dispose()
  },
)
