import { type Engine, type ParameterStore, Tape } from '@bitwright/engine'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { epochOrder } from '../data/sampler.ts'
import { isWeighted, weightedNodes } from '../network/graph.ts'
import { builtinNetwork, type Network } from '../network/index.ts'
import { inferShapes } from '../network/shapes.ts'
import { storageOf } from '../network/storage.ts'
import { createStore } from './initialize.ts'
import { Quantization } from './quantization.ts'
import { type BitsChoice, withStartBits } from './quantizer-choice.ts'
import { recordBatch } from './testing/quantized.ts'
import { runReference } from './testing/reference-network.ts'
import { openEngine, toneDataset, toneNetwork, toneSource } from './testing/tones.ts'
import { calibrate, Trainer } from './trainer.ts'

const dataset = toneDataset()
const network = toneNetwork()
const batch = 12
const clips = dataset.splits.train.slice(0, batch)

let engine: Engine
let store: ParameterStore
beforeAll(async () => {
  engine = await openEngine()
  // a few float steps, so that statistics and offsets are not those of the start
  store = createStore(engine, [network], 5)
  const options = {
    batchSize: 20,
    epochs: 2,
    optimizer: 'adam',
    learningRate: 1e-2,
    weightDecay: 0,
    labelSmoothing: 0,
    seed: 1,
    purpose: 'float',
  } as const
  const trainer = new Trainer(engine, network, store, toneSource(engine, dataset), options)
  for (let epoch = 0; epoch < 2; epoch++) await trainer.epoch(epoch)
  trainer.dispose()
})
afterAll(() => engine.backend.close())

type Bits = readonly [weights: BitsChoice, activations: BitsChoice]
const open = ([weightBits, activationBits]: Bits, granularity: 'tensor' | 'channel' = 'channel', weightBytes?: number) =>
  new Quantization(store, withStartBits(network, { weightBits, activationBits }), {
    weightBits,
    activationBits,
    granularity,
    ...(weightBytes ? { weightBytes } : {}),
  })

const record = (quantization: Quantization | undefined, graph = network) =>
  recordBatch({ engine, dataset, clips, store, network: graph, quantization })

const parameter = (name: string) => store.value(name)
const calibrateOn = (quantization: Quantization) =>
  calibrate(engine, network, store, toneSource(engine, dataset), quantization, { seed: 1, batchSize: 20 })

describe('the fake-quantized forward pass', () => {
  it.each<[Bits, 'tensor' | 'channel', number]>([
    [[8, 8], 'tensor', 0.01],
    [[4, 4], 'channel', 0.02],
    [[2, 2], 'tensor', 0.1],
    [[1, 1], 'channel', 0.2],
    [[4, 8], 'channel', 0.02],
    [['trained', 'trained'], 'tensor', 0.01],
  ])("is the quantizers' own arithmetic in float64, at %j per %s", async (bits, granularity, tolerance) => {
    const quantization = open(bits, granularity)
    await calibrateOn(quantization)
    const { tape, sources, x, run } = record(quantization, quantization.network)
    quantization.initializeWeights(sources)
    const logits = run()
    const options = { batch, input: x, parameter, statistics: 'batch' } as const
    const expected = runReference(quantization.network, { ...options, quantization }).get('logits')!
    // values next to a rounding boundary may fall to either side in float32
    const differences = logits.map((value, i) => Math.abs(value - expected[i])).toSorted((a, b) => a - b)
    expect(differences[Math.floor(0.8 * differences.length)]).toBeLessThan(1e-4)
    expect(differences.at(-1)).toBeLessThan(tolerance)
    const float = runReference(network, options).get('logits')!
    expect(Math.max(...logits.map((value, i) => Math.abs(value - float[i])))).toBeGreaterThan(
      bits[0] === 8 || bits[0] === 'trained' ? 1e-3 : 0.05,
    )
    tape.dispose()
    quantization.dispose()
  })

  it('in float is the network itself', () => {
    const { tape, x, run } = record(undefined)
    const expected = runReference(network, { batch, input: x, parameter, statistics: 'batch' }).get('logits')!
    run().forEach((value, i) => expect(value).toBeCloseTo(expected[i], 4))
    tape.dispose()
  })
})

describe('calibrate', () => {
  it.each([2, 4, 8])('gives every activation a step of nearly least squared error, at %i bits', async (bits) => {
    const quantization = open([8, bits])
    await calibrateOn(quantization)
    // the same training batches, in float with running statistics
    const source = toneSource(engine, dataset)
    const order = epochOrder(dataset, 1, 0)
    const tape = new Tape(engine, { batch: 20, mode: 'evaluate' })
    const { stored } = tape.input(dataset.samples, 1, 1)
    const seen = new Map<string, number[]>()
    for (let from = 0; from < 80; from += 20) {
      source.fill(stored, order.slice(from, from + 20), { seed: 1, epoch: 0 })
      const input = engine.floats(stored.offset, 20 * dataset.samples).slice()
      for (const [id, values] of runReference(network, { batch: 20, input, parameter, statistics: 'running' }))
        seen.set(id, (seen.get(id) ?? []).concat(...values))
    }
    tape.dispose()
    const { values, inputs } = storageOf(quantization.network)
    const watched = [
      ...[...values.keys()].map((id) => ({ id, quantizer: quantization.activationQuantizer(id) })),
      ...[...inputs].map(([id, { value }]) => ({ id: value, quantizer: quantization.activationQuantizer(id, true) })),
    ].flatMap(({ id, quantizer }) => (quantizer ? [{ id, quantizer }] : []))
    expect(watched.length).toBeGreaterThanOrEqual(bits === 8 ? 6 : 7)
    for (const { id, quantizer } of watched) {
      const { scale, minimum, maximum } = quantizer.grid()
      const numbers = seen.get(id)!
      const error = (step: number) =>
        numbers.reduce((sum, v) => sum + (v - step * Math.max(minimum, Math.min(maximum, Math.round(v / step)))) ** 2, 0)
      const chosen = error(scale)
      for (const factor of [0.5, 0.75, 0.9, 1.1, 1.3, 2])
        expect(chosen, `${id}: ${factor} of its step is better`).toBeLessThan(1.05 * error(factor * scale))
      expect(scale * maximum, id).toBeLessThanOrEqual(1.1 * Math.max(...numbers.map(Math.abs)))
    }
    quantization.dispose()
  })

  it('looks at clips alone where there are fewer than a batch', async () => {
    const states = []
    for (const batchSize of [dataset.splits.train.length, 1000]) {
      const quantization = open([8, 4])
      await calibrate(engine, network, store, toneSource(engine, dataset), quantization, { seed: 1, batchSize })
      states.push(quantization.state())
      quantization.dispose()
    }
    expect(states[1]).toEqual(states[0])
  })
})

describe('widths', () => {
  it('are those asked for where they are fixed, edges included', () => {
    const quantization = open([3, 4])
    expect(quantization.decided()).toEqual(quantization.network)
    for (const node of weightedNodes(quantization.decided())) {
      expect(node.weightBits, node.id).toBe(3)
      expect(node.activationBits, node.id).toBe(node.id === 'front' ? 16 : 4)
    }
    expect(quantization.averages()).toEqual({ weights: 3, activations: 4 })
    quantization.dispose()
  })

  it("are the network's own where they were searched, layer by layer", async () => {
    const choice = { weightBits: 'searched', activationBits: 'searched' } as const
    const searched = {
      ...network,
      nodes: network.nodes.map((node, i) =>
        isWeighted(node) ? { ...node, weightBits: [2, 4, 8][i % 3], activationBits: node.id === 'front' ? 16 : [8, 2, 4][i % 3] } : node,
      ),
    } as Network
    expect(withStartBits(searched, choice)).toEqual(searched)
    const quantization = new Quantization(store, withStartBits(searched, choice), { ...choice, granularity: 'channel' })
    await calibrateOn(quantization)
    const { sources, tape } = record(quantization, quantization.network)
    quantization.initializeWeights(sources)
    for (let step = 0; step < 5; step++) quantization.update(sources, 1, 0.5)
    quantization.freezeBits()
    expect(quantization.decided()).toEqual(searched)
    expect(new Set(weightedNodes(searched).map(({ id }) => quantization.weightQuantizer(id).bits())).size).toBe(3)
    tape.dispose()
    quantization.dispose()
  })

  it('start at 8 for weights and 7 for activations where they are trained, all of them learnable', () => {
    const quantization = open(['trained', 'trained'])
    const nodes = weightedNodes(quantization.decided())
    expect(nodes.map(({ weightBits }) => weightBits)).toEqual(nodes.map(() => 8))
    expect(nodes.map(({ activationBits }) => activationBits)).toEqual(nodes.map(({ id }) => (id === 'front' ? 16 : 7)))
    expect(quantization.averages()).toEqual({ weights: 8, activations: 7 })
    const lowered = push(quantization, -1, 200)
    for (const { id, weightBits, activationBits } of weightedNodes(lowered))
      expect([weightBits, activationBits], id).toEqual(id === 'front' ? [2, 16] : [2, 2])
    quantization.dispose()
  })

  it('never widen a narrowed input to its stream, so that the structure stays what it was', () => {
    const quantization = open(['trained', 'trained'])
    const raised = push(quantization, 1, 200)
    const before = storageOf(quantization.network)
    const after = storageOf(raised)
    for (const [id, { narrowed }] of after.inputs) {
      expect(narrowed, id).toBe(before.inputs.get(id)!.narrowed)
      const quantizer = quantization.activationQuantizer(narrowed ? id : after.inputs.get(id)!.value, narrowed)
      if (quantizer) expect(quantizer.bits(), id).toBe(after.inputs.get(id)!.bits)
    }
    quantization.dispose()
  })

  it('average over numbers: weights by count, activations by what layers multiply', () => {
    const quantization = open(['trained', 'trained'])
    const { sources, tape } = record(quantization, quantization.network)
    quantization.initializeWeights(sources)
    for (let step = 0; step < 40; step++) quantization.update(sources, 1, 0.05)
    const decided = weightedNodes(quantization.decided())
    const counts = decided.map(({ id }) => quantization.weightQuantizer(id).size)
    const total = counts.reduce((a, b) => a + b, 0)
    expect(quantization.averages().weights).toBeCloseTo(
      decided.reduce((sum, { weightBits }, i) => sum + weightBits! * counts[i], 0) / total,
      12,
    )
    const shapes = inferShapes(quantization.network)
    let [bits, elements] = [0, 0]
    for (const [id, { value, narrowed, bits: stored }] of storageOf(quantization.network).inputs) {
      if (stored === 16) continue
      const size = shapes.get(value)!.reduce((a, b) => a * b, 1)
      bits += size * quantization.activationQuantizer(narrowed ? id : value, narrowed)!.bits()
      elements += size
    }
    expect(quantization.averages().activations).toBeCloseTo(bits / elements, 12)
    expect(bits / elements).toBeLessThan(7)
    tape.dispose()
    quantization.dispose()
  })

  it('come down to the bytes asked for', () => {
    const bytes = 350
    const quantization = open(['trained', 8], 'tensor', bytes)
    const { sources, tape } = record(quantization, quantization.network)
    quantization.initializeWeights(sources)
    const size = () => weightedNodes(quantization.network).reduce((sum, { id }) => sum + quantization.weightQuantizer(id).sizeBits() / 8, 0)
    expect(size()).toBeGreaterThan(1.5 * bytes)
    for (let step = 0; step < 300; step++) quantization.update(sources, 1, 0.03)
    expect(size()).toBeLessThanOrEqual(1.1 * bytes)
    tape.dispose()
    quantization.dispose()
  })
})

/** Moves all trained widths by many steps against (-1) or along (1) their penalty, with no loss to hold them; the network then. */
function push(quantization: Quantization, direction: 1 | -1, steps: number) {
  const { tape, sources } = record(quantization, quantization.network)
  quantization.initializeWeights(sources)
  for (let step = 0; step < steps; step++) quantization.update(sources, -direction, 0.1)
  tape.dispose()
  return quantization.decided()
}

describe('state', () => {
  it.each<[Bits, number | undefined]>([
    [['trained', 'trained'], undefined],
    [[4, 4], undefined],
    [['trained', 8], 200],
  ])('of %j goes on with the same bits', async (bits, weightBytes) => {
    const make = () => open(bits, 'tensor', weightBytes)
    const [whole, resumed] = [make(), make()]
    await calibrateOn(whole)
    const { tape, sources } = record(whole, whole.network)
    whole.initializeWeights(sources)
    for (let step = 0; step < 3; step++) whole.update(sources, 0.7, 0.1)
    resumed.restore(JSON.parse(JSON.stringify(whole.state())))
    expect(resumed.state()).toEqual(whole.state())
    whole.freezeBits()
    for (let step = 0; step < 3; step++) whole.update(sources, 0.5, 0.1)
    resumed.freezeBits()
    for (let step = 0; step < 3; step++) resumed.update(sources, 0.5, 0.1)
    expect(resumed.state()).toEqual(whole.state())
    expect(resumed.decided()).toEqual(whole.decided())
    tape.dispose()
    whole.dispose()
    resumed.dispose()
  })
})

it('gives raw audio and logits no quantizer, and spectral features eight bits', () => {
  const raw = open(['trained', 'trained'])
  expect(raw.activationQuantizer('input')).toBeUndefined()
  expect(raw.activationQuantizer('logits')).toBeUndefined()
  raw.dispose()
  const mfcc = builtinNetwork('ds-cnn-s', { classes: ['yes', 'no'] })
  const quantization = new Quantization(store, withStartBits(mfcc, { weightBits: 4, activationBits: 'trained' }), {
    weightBits: 4,
    activationBits: 'trained',
    granularity: 'tensor',
  })
  expect(quantization.activationQuantizer('input')!.bits()).toBe(8)
  expect(quantization.activationQuantizer('input')!.signed).toBe(true)
  const [first, ...rest] = weightedNodes(quantization.decided())
  expect(first.activationBits).toBe(8)
  for (const { id, activationBits } of rest) expect(activationBits, id).toBe(7)
  quantization.dispose()
})
