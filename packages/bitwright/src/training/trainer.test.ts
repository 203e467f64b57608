import type { Engine, ParameterStore } from '@bitwright/engine'
import { deserialize, serialize } from 'node:v8'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Sample } from '../data/dataset.ts'
import { RunError } from '../errors.ts'
import { argMax, Evaluator } from './evaluate.ts'
import { createStore } from './initialize.ts'
import { Quantization } from './quantization.ts'
import { type BitsChoice, withStartBits } from './quantizer-choice.ts'
import { openEngine, toneDataset, toneNetwork, toneSource } from './testing/tones.ts'
import { calibrate, DivergedError, schedule, Trainer, type TrainerOptions } from './trainer.ts'

const dataset = toneDataset()
const network = toneNetwork()
const options: TrainerOptions = {
  batchSize: 20,
  epochs: 5,
  optimizer: 'adam',
  learningRate: 1e-2,
  weightDecay: 0.01,
  labelSmoothing: 0.1,
  seed: 1,
  purpose: 'test',
}

let engine: Engine
beforeAll(async () => {
  engine = await openEngine()
})
afterAll(() => engine.backend.close())

interface Training {
  readonly store: ParameterStore
  readonly trainer: Trainer
  readonly quantization?: Quantization
  dispose(): void
}
type Bits = readonly [weights: BitsChoice, activations: BitsChoice]

/** A training from its start, in float or with these widths. */
async function open(
  bits?: Bits,
  more: Partial<TrainerOptions> & { penalty?: number; averageBits?: number } = {},
  on = engine,
): Promise<Training> {
  const { penalty, averageBits = 0, ...changed } = more
  const store = createStore(on, [network], 7)
  const source = toneSource(on, dataset)
  let quantization: Quantization | undefined
  let graph = network
  if (bits) {
    const [weightBits, activationBits] = bits
    graph = withStartBits(network, { weightBits, activationBits })
    quantization = new Quantization(store, graph, {
      weightBits,
      activationBits,
      granularity: 'channel',
      averageBits,
      ...(penalty === undefined ? {} : { penalty }),
    })
    await calibrate(on, network, store, source, quantization, { seed: 1, batchSize: 20 })
  }
  const trainer = new Trainer(on, graph, store, source, { ...options, ...changed }, quantization)
  trainer.initializeQuantizers()
  const dispose = () => {
    trainer.dispose()
    quantization?.dispose()
    store.dispose()
  }
  return { store, trainer, quantization, dispose }
}

async function accuracy({ store, quantization }: Training, clips: readonly Sample[], on = engine): Promise<number> {
  const evaluator = new Evaluator(on, quantization?.network ?? network, store, { batch: 16, ...(quantization ? { quantization } : {}) })
  const { logits } = await evaluator.logits(toneSource(on, dataset), clips)
  evaluator.dispose()
  return logits.filter((row, i) => argMax(row) === clips[i].label).length / clips.length
}

async function run({ trainer }: Training, from = 0): Promise<void> {
  for (let epoch = from; epoch < trainer.options.epochs; epoch++) await trainer.epoch(epoch)
}

const variants: [string, Bits | undefined][] = [
  ['float', undefined],
  ['4/4 bits', [4, 4]],
  ['2/2 bits', [2, 2]],
  ['8/8 bits', [8, 8]],
  ['trained bits', ['trained', 'trained']],
]

describe.each(variants)('%s', (_, bits) => {
  it('learns to tell tones apart, and gives all memory back', async () => {
    const { bytes } = engine.heap
    const training = await open(bits)
    await run(training)
    expect(await accuracy(training, dataset.splits.test)).toBeGreaterThan(bits?.[0] === 2 || bits?.[0] === 'trained' ? 0.7 : 0.85)
    training.dispose()
    expect(engine.heap.bytes).toBe(bytes)
  })

  it('gives the same bits when resumed between epochs or in the middle of one', async () => {
    const whole = await open(bits)
    await run(whole)
    const expected = whole.trainer.state()
    whole.dispose()

    const first = await open(bits)
    for (let epoch = 0; epoch < 3; epoch++) await first.trainer.epoch(epoch)
    const saved = serialize(first.trainer.state())
    let steps = 0
    expect(await first.trainer.epoch(3, () => ++steps < 4)).toBeUndefined()
    expect(steps).toBe(4)
    expect(first.trainer.state()).not.toEqual(deserialize(saved))
    // in the same process
    first.trainer.restore(deserialize(saved))
    expect(first.trainer.state()).toEqual(deserialize(saved))
    await run(first, 3)
    expect(first.trainer.state()).toEqual(expected)
    first.dispose()
    // and in another, whose parameters started elsewhere
    const second = await open(bits)
    for (const { name } of second.store.all()) second.store.value(name).fill(0.5)
    second.trainer.restore(deserialize(saved))
    await run(second, 3)
    expect(second.trainer.state()).toEqual(expected)
    second.dispose()
  })

  it('gives the same bits with any number of threads', async () => {
    const states = []
    for (const threads of [1, 2, 3]) {
      const other = await openEngine(threads)
      const training = await open(bits, { epochs: 2 }, other)
      await run(training)
      states.push(training.trainer.state())
      training.dispose()
      other.backend.close()
    }
    expect(states[1]).toEqual(states[0])
    expect(states[2]).toEqual(states[0])
  })
})

/** Parameters after one epoch in float. */
const after = async (more: Partial<TrainerOptions>) => {
  const training = await open(undefined, { epochs: 1, ...more })
  await run(training)
  const { parameters } = training.trainer.state()
  training.dispose()
  return parameters
}

describe('draws', () => {
  it('differ with the seed and with the purpose, and are repeated with neither', async () => {
    const parameters = await after({})
    expect(await after({})).toEqual(parameters)
    expect(await after({ seed: 2 })).not.toEqual(parameters)
    expect(await after({ purpose: 'another' })).not.toEqual(parameters)
  })

  it('are whole batches; a batch larger than the data is the data', async () => {
    const small = await open(undefined, { batchSize: 50 })
    expect(small.trainer.stepsPerEpoch).toBe(2)
    const large = await open(undefined, { batchSize: 500, epochs: 1 })
    expect(large.trainer.stepsPerEpoch).toBe(1)
    const result = await large.trainer.epoch(0)
    expect(result!.accuracy).toBeLessThanOrEqual(1)
    small.dispose()
    large.dispose()
  })
})

describe('schedule', () => {
  it('rises, then falls to nearly nothing', () => {
    const factors = Array.from({ length: 100 }, (_, step) => schedule(step, 100))
    expect(factors.slice(0, 5)).toEqual([0.2, 0.4, 0.6, 0.8, 1])
    expect(Math.max(...factors)).toBe(1)
    for (let step = 6; step < 100; step++) expect(factors[step]).toBeLessThan(factors[step - 1])
    expect(factors[99]).toBeGreaterThan(0)
    expect(factors[99]).toBeLessThan(1e-3)
    expect(schedule(0, 1)).toBe(1)
  })
})

describe('a second training', () => {
  it('starts from parameters alone: what an optimiser remembers of the first does not matter', async () => {
    const first = await open()
    await run(first)
    const again = new Trainer(engine, network, first.store, toneSource(engine, dataset), { ...options, epochs: 1, purpose: 'second' })
    const values = new Map([...first.store.all()].map(({ name }) => [name, first.store.value(name).slice()]))
    await again.epoch(0)
    const continued = again.state().parameters.slice()
    again.dispose()
    first.dispose()

    const fresh = await open(undefined, { epochs: 1, purpose: 'second' })
    for (const [name, value] of values) fresh.store.value(name).set(value)
    await run(fresh)
    expect(fresh.trainer.state().parameters).toEqual(continued)
    fresh.dispose()
  })
})

describe.each(variants)('recalibration, %s', (_, bits) => {
  it('averages the batches of an epoch, whatever stood there, touches nothing else, and gives its memory back', async () => {
    const { bytes } = engine.heap
    const training = await open(bits)
    await training.trainer.epoch(0)
    const statistics = () =>
      [...training.store.all()]
        .filter(({ name }) => /\.(mean|variance)$/.test(name))
        .map(({ name }) => ({ name, values: training.store.value(name).slice() }))
    const others = () =>
      [...training.store.all()].filter(({ name }) => !/\.(mean|variance)$/.test(name)).map(({ name }) => training.store.value(name).slice())
    const running = statistics()
    const before = others()
    await training.trainer.recalibrate(0)
    const taken = statistics()
    expect(taken).not.toEqual(running)
    for (const { name } of taken) training.store.value(name).fill(name.endsWith('.mean') ? 7 : 0.01)
    await training.trainer.recalibrate(0)
    expect(statistics()).toEqual(taken)
    await training.trainer.recalibrate(0, 1)
    expect(statistics()).not.toEqual(taken)
    expect(others()).toEqual(before)
    training.dispose()
    expect(engine.heap.bytes).toBe(bytes)
  })
})

describe('widths', () => {
  it('are fewer on average with a larger penalty', async () => {
    const averages = []
    for (const penalty of [0, 0.01, 1]) {
      const training = await open(['trained', 'trained'], { penalty })
      await run(training)
      averages.push(training.quantization!.averages())
      training.dispose()
    }
    for (const key of ['weights', 'activations'] as const) {
      expect(averages[1][key]).toBeLessThan(averages[0][key])
      expect(averages[2][key]).toBeLessThan(averages[1][key])
      expect(averages[2][key]).toBeGreaterThanOrEqual(2)
    }
  })

  it('fall to the average asked for and, once they stand still, no further', async () => {
    for (const [penalty, averageBits] of [
      [1, 4],
      [0.001, 3],
    ]) {
      const training = await open(['trained', 'trained'], { penalty, averageBits, epochs: 4, freezeBitsAt: 0.75 })
      await run(training)
      const { weights, activations } = training.quantization!.averages()
      for (const average of [weights, activations]) {
        expect(average).toBeLessThanOrEqual(averageBits)
        expect(average).toBeGreaterThan(averageBits - 1)
      }
      training.dispose()
    }
  })

  it('stand still in the last part of a training', async () => {
    const training = await open(['trained', 'trained'], { penalty: 3, epochs: 4, freezeBitsAt: 0.5 })
    const seen = []
    for (let epoch = 0; epoch < 4; epoch++) {
      await training.trainer.epoch(epoch)
      seen.push(training.quantization!.decided())
    }
    expect(seen[1]).not.toEqual(seen[0])
    expect(seen[2]).toEqual(seen[1])
    expect(seen[3]).toEqual(seen[1])
    training.dispose()
  })
})

it.each([undefined, [4, 4] as const])('says when it diverges (widths %j)', async (bits) => {
  const training = await open(bits, { learningRate: 1e30 })
  const error = await run(training).catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(DivergedError)
  expect(error).toBeInstanceOf(RunError)
  expect((error as Error).message).toMatch(/^training diverged in epoch 1 \(loss is (NaN|-?Infinity)\); use a smaller learning rate$/)
  training.dispose()
})
