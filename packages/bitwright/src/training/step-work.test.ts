// What a training step does, counted: no clock, so no noise. The numbers hold for WebAssembly (4 floats a vector) on one thread, on every
// machine, and they are exact. When a change of kernels, ops, tape or networks moves one of them on purpose, measure the step
// (`npm run bench -- train-step`) before and after, write the new number here in the same commit, and say in its message why it moved. A
// number that moved without a purpose is a regression: more commands are more barriers, more bytes more time.
import { Engine, openBackend, programWork, Random, totalWork } from '@bitwright/engine'
import { afterEach, expect, it, vi } from 'vitest'
import type { AudioDataset, Sample } from '../data/dataset.ts'
import { builtinNetwork } from '../network/index.ts'
import { ActivationStatistics } from '../quantizers/index.ts'
import { AudioSource } from './audio-source.ts'
import { createStore } from './initialize.ts'
import { Quantization } from './quantization.ts'
import { withStartBits } from './quantizer-choice.ts'
import { Trainer } from './trainer.ts'

const batchSize = 64
const steps = 3
const classes = Array.from({ length: 12 }, (_, i) => `class ${i}`)
const samples = 16_000

/** Three batches of noise. */
function noise(): AudioDataset {
  const random = new Random(0, 'noise')
  const pcm = Int16Array.from({ length: batchSize * steps * samples }, () => random.integer(2000) - 1000)
  const train = Array.from({ length: batchSize * steps }, (_, index): Sample => ({ path: `${index}.wav`, label: index % 12, index }))
  return {
    kind: 'audio',
    directory: 'noise',
    classes,
    sampleRate: 16_000,
    samples,
    splits: { train, validation: [], test: [] },
    skipped: [],
    pcm,
    background: [],
  }
}

afterEach(() => vi.restoreAllMocks())

it.each([
  [
    'kws-e2e-e3k5',
    'float',
    { commands: 169, words: 3_186, readBytes: 361_787_812, writtenBytes: 178_508_232, flops: 3_673_497_600, heapBytes: 127_056_064 },
  ],
  [
    'kws-e2e-e3k5',
    '8/8',
    { commands: 199, words: 3_400, readBytes: 364_786_704, writtenBytes: 178_520_112, flops: 3_673_497_600, heapBytes: 127_603_776 },
  ],
  [
    'ds-cnn-s',
    'float',
    { commands: 69, words: 1_319, readBytes: 75_538_956, writtenBytes: 38_233_440, flops: 979_238_912, heapBytes: 23_499_776 },
  ],
  [
    'ds-cnn-s',
    '8/8',
    { commands: 79, words: 1_393, readBytes: 75_543_144, writtenBytes: 38_237_400, flops: 979_238_912, heapBytes: 23_677_312 },
  ],
] as const)('a step of %s, %s', async (name, widths, work) => {
  const engine = new Engine(await openBackend({ backend: 'wasm', threads: 1 }))
  const float = builtinNetwork(name, { classes })
  const network = widths === 'float' ? float : withStartBits(float, { weightBits: 8, activationBits: 8 })
  const store = createStore(engine, [network], 0)
  const quantization =
    widths === 'float' ? undefined : new Quantization(store, network, { weightBits: 8, activationBits: 8, granularity: 'channel' })
  const options = { batchSize, epochs: 1, optimizer: 'adam', learningRate: 1e-3, weightDecay: 0, labelSmoothing: 0.1, seed: 0 } as const
  const source = new AudioSource(engine, noise(), network.frontEnd)
  const trainer = new Trainer(engine, network, store, source, { ...options, purpose: 'work' }, quantization)
  if (quantization) {
    const random = new Random(0, 'values')
    const statistics = new ActivationStatistics()
    statistics.observe(Array.from({ length: 4096 }, () => random.normal()))
    for (const { id } of network.nodes) quantization.activationQuantizer(id)?.initialize(statistics)
    trainer.initializeQuantizers()
  }
  const heapBytes = engine.heap.bytes

  const allocate = vi.spyOn(engine.heap, 'allocate')
  const run = vi.spyOn(engine.backend, 'run')
  /** The programs of each step. */
  const programs: Int32Array[][] = []
  await trainer.epoch(0, () => {
    programs.push(run.mock.calls.map(([program]) => program))
    run.mockClear()
    return true
  })
  expect(programs).toHaveLength(steps)
  // every step replays the first one's buffers, not copies of them
  for (const step of programs) step.forEach((program, i) => expect(program).toBe(programs[0][i]))
  expect(allocate).not.toHaveBeenCalled()
  expect(engine.heap.bytes).toBe(heapBytes)

  const { commands, readBytes, writtenBytes, flops } = totalWork(programs[0].flatMap((program) => programWork(program, engine.lanes)))
  const words = programs[0].reduce((sum, program) => sum + program.length, 0)
  expect({ commands, words, readBytes, writtenBytes, flops, heapBytes }).toEqual(work)
  trainer.dispose()
  engine.backend.close()
})
