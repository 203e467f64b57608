// CENet-GCN's graph module in training: attention between positions and a sum whose factor starts at 0, in float, at fixed and trained widths.
import { crossEntropy, Engine, openBackend, type ParameterStore, Random, Tape } from '@bitwright/engine'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { inputKeys, isMultiplying } from '../network/graph.ts'
import { builtinNetwork, type Network } from '../network/index.ts'
import { parameterShapes } from '../network/parameters.ts'
import { storageOf } from '../network/storage.ts'
import { argMax, Evaluator } from './evaluate.ts'
import { createStore } from './initialize.ts'
import { Quantization } from './quantization.ts'
import { type BitsChoice, withStartBits } from './quantizer-choice.ts'
import { Recorder } from './record.ts'
import { recordBatch } from './testing/quantized.ts'
import { runReference } from './testing/reference-network.ts'
import { farTonesDataset, openEngine, toneDataset, toneGraphNetwork, toneSource } from './testing/tones.ts'
import { calibrate, Trainer } from './trainer.ts'

const dataset = toneDataset()
const network = toneGraphNetwork()
const batch = 9
const clips = dataset.splits.train.slice(0, batch)
const factor = 'graph.add.scale'

let engine: Engine
beforeAll(async () => {
  engine = await openEngine()
})
afterAll(() => engine.backend.close())

/** First values, the factor and the biases moved off 0. */
function movedStore(own = engine): ParameterStore {
  const store = createStore(own, [network], 5)
  const random = new Random(5, 'moved')
  for (const { name, kind } of parameterShapes(network)) {
    const values = store.value(name)
    if (kind === 'bias' || kind === 'factor') for (let i = 0; i < values.length; i++) values[i] = 0.5 + 0.3 * random.normal()
  }
  return store
}

function record(store: ParameterStore, quantization?: Quantization, graph = network) {
  const { run, ...recorded } = recordBatch({ engine, dataset, clips, store, network: graph, quantization })
  return { ...recorded, run: () => run('back') }
}

it('is nothing at first: CENet-GCN answers as CENet, to the bit', () => {
  for (const size of ['6', '24']) {
    const [plain, graph] = [`cenet-${size}`, `cenet-gcn-${size}`].map((name) => builtinNetwork(name, { classes: ['yes', 'no', 'up'] }))
    const store = createStore(engine, [plain, graph], 1)
    const answers = [plain, graph].map((own) => {
      const tape = new Tape(engine, { batch: 3, mode: 'evaluate' })
      const { input, logits } = new Recorder(tape, { store, momentum: 0 }).network(own)
      const random = new Random(2, 'features')
      const { offset, height, rowStride } = input
      engine.floats(offset, 3 * height * rowStride).forEach((_, i, floats) => (floats[i] = random.normal()))
      const loss = crossEntropy(tape, logits)
      engine.backend.run(tape.program(['generate', 'pack', 'forward']))
      const values = loss.logits().values.slice()
      tape.dispose()
      return values
    })
    expect(answers[1], size).toEqual(answers[0])
    expect(new Set(answers[0]).size).toBeGreaterThan(6)
    store.dispose()
  }
})

describe('gradients', () => {
  it('reach the factor alone while it is 0, then everything', () => {
    const store = createStore(engine, [network], 5)
    const { tape, run } = record(store)
    const length = (name: string) => Math.hypot(...store.gradient(name))
    run()
    expect(length(factor)).toBeGreaterThan(1e-4)
    for (const part of ['query', 'key', 'value']) expect(length(`graph.${part}.weight`), part).toBe(0)
    store.value(factor)[0] = 0.5
    store.value('graph.query.bias').fill(0.7)
    run()
    for (const part of ['query', 'key', 'value']) expect(length(`graph.${part}.weight`), part).toBeGreaterThan(1e-5)
    // what all keys have in common, the softmax takes out
    expect(length('graph.key.bias')).toBeLessThan(1e-3 * length('graph.query.bias'))
    tape.dispose()
    store.dispose()
  })

  it('are those of a float64 network by finite differences', () => {
    const store = movedStore()
    const { tape, x, run } = record(store)
    const logits = run()
    const reference = () => runReference(network, { batch, input: x, parameter: (name) => store.value(name), statistics: 'batch' })
    const expected = reference().get('logits')!
    logits.forEach((value, i) => expect(value).toBeCloseTo(expected[i], 4))
    const objective = () => {
      const answers = reference().get('logits')!
      return clips.reduce((sum, { label }, row) => {
        const own = [...answers.subarray(row * 3, row * 3 + 3)]
        return sum + (Math.log(own.reduce((total, v) => total + Math.exp(v), 0)) - own[label]) / batch
      }, 0)
    }
    for (const name of [factor, 'graph.query.weight', 'graph.query.bias', 'graph.key.weight', 'graph.value.weight', 'graph.value.bias']) {
      const gradients = store.gradient(name).slice()
      const i = gradients.reduce((best, g, at) => (Math.abs(g) > Math.abs(gradients[best]) ? at : best), 0)
      const values = store.value(name)
      const was = values[i]
      const at = (by: number) => {
        values[i] = was + by
        const own = objective()
        values[i] = was
        return own
      }
      const step = 2 ** -12
      expect(gradients[i] / ((at(step) - at(-step)) / (2 * step)), `${name}[${i}]`).toBeCloseTo(1, 2)
    }
    tape.dispose()
    store.dispose()
  })
})

const quantized = (store: ParameterStore, bits: BitsChoice) =>
  new Quantization(store, withStartBits(network, { weightBits: bits, activationBits: bits }), {
    weightBits: bits,
    activationBits: bits,
    granularity: 'channel',
  })
const attention = (of: Network) => {
  const node = of.nodes.find(({ op }) => op === 'attend')!
  return isMultiplying(node) ? node : undefined
}
/** The same with attention's input map read by someone else too, so that attention narrows it for itself. */
const shared: Network = {
  ...network,
  nodes: network.nodes.map((node) => (node.op === 'attend' ? { ...node, inputs: ['graph.query', 'graph.query', 'front'] } : node)),
}

describe('quantized', () => {
  it.each<[BitsChoice, number]>([
    [8, 0.02],
    [4, 0.1],
    ['trained', 0.02],
  ])('computes with what its quantizers give, at %s bits', async (bits, tolerance) => {
    const store = movedStore()
    for (const graph of [network, shared]) {
      const options = { weightBits: bits, activationBits: bits, granularity: 'channel' } as const
      const quantization = new Quantization(store, withStartBits(graph, options), options)
      await calibrate(engine, graph, store, toneSource(engine, dataset), quantization, { seed: 1, batchSize: 20 })
      const { tape, sources, x, run } = record(store, quantization, quantization.network)
      quantization.initializeWeights(sources)
      const logits = run()
      const input = { batch, input: x, parameter: (name: string) => store.value(name), statistics: 'batch' } as const
      const expected = runReference(quantization.network, { ...input, quantization }).get('logits')!
      const differences = logits.map((value, i) => Math.abs(value - expected[i])).toSorted((a, b) => a - b)
      expect(differences[Math.floor(0.7 * differences.length)]).toBeLessThan(tolerance / 4)
      expect(differences.at(-1)).toBeLessThan(tolerance)
      tape.dispose()
      quantization.dispose()
    }
    store.dispose()
  })

  it('at trained widths has one for all three inputs, which the average presses and the network keeps', () => {
    const store = movedStore()
    const quantization = quantized(store, 'trained')
    expect(attention(quantization.decided())!.activationBits).toBe(7)
    const { tape, sources, run } = record(store, quantization, quantization.network)
    quantization.initializeWeights(sources)
    run()
    for (let step = 0; step < 30; step++) quantization.update(sources, 1, 0.1)
    const decided = quantization.decided()
    const { activationBits } = attention(decided)!
    expect(activationBits).toBeLessThan(7)
    const { inputs, values } = storageOf(decided)
    for (const key of inputKeys(attention(decided)!)) {
      const { value } = inputs.get(key)!
      expect(quantization.activationQuantizer(value)!.bits(), key).toBe(activationBits)
      expect(values.get(value)!.bits, key).toBe(activationBits)
    }
    const again = quantized(store, 'trained')
    again.restore(JSON.parse(JSON.stringify(quantization.state())))
    quantization.freezeBits()
    again.freezeBits()
    expect(again.decided()).toEqual(quantization.decided())
    for (const each of [quantization, again]) each.dispose()
    tape.dispose()
    store.dispose()
  })

  /** Losses of four epochs at so many bits after two in float, and everything trained. */
  async function train(own: Engine, bits: BitsChoice) {
    const store = createStore(own, [network], 5)
    const source = toneSource(own, dataset)
    const options = { batchSize: 20, optimizer: 'adam', learningRate: 1e-2, weightDecay: 1e-3, labelSmoothing: 0, seed: 1 } as const
    const float = new Trainer(own, network, store, source, { ...options, epochs: 2, purpose: 'float' })
    for (let epoch = 0; epoch < 2; epoch++) await float.epoch(epoch)
    float.dispose()
    const quantization = quantized(store, bits)
    await calibrate(own, network, store, source, quantization, { seed: 1, batchSize: 20 })
    const trainer = new Trainer(own, quantization.network, store, source, { ...options, epochs: 4, purpose: 'quantized' }, quantization)
    trainer.initializeQuantizers()
    const losses: number[] = []
    for (let epoch = 0; epoch < 4; epoch++) losses.push((await trainer.epoch(epoch))!.loss)
    const state = store.snapshot()
    const learned = store.value(factor)[0]
    const ranges = quantization.state()
    for (const each of [trainer, quantization, store]) each.dispose()
    return { losses, state, learned, ranges }
  }

  it('trains at 4 bits, the factor too, to the same bits with 1 and 2 threads; the other backend agrees', async () => {
    const expected = await train(engine, 4)
    expect(expected.losses.every(Number.isFinite)).toBe(true)
    expect(expected.losses.at(-1)).toBeLessThan(0.8 * Math.log(3))
    expect(Math.abs(expected.learned)).toBeGreaterThan(1e-3)
    const one = await openEngine(1)
    expect(await train(one, 4)).toEqual(expected)
    one.backend.close()
    const wasm = new Engine(await openBackend({ backend: 'wasm', threads: 2 }))
    const { losses } = await train(wasm, 4)
    wasm.backend.close()
    losses.forEach((loss, epoch) => expect(loss).toBeCloseTo(expected.losses[epoch], 1))
  })
})

describe('two tones far apart', () => {
  const far = farTonesDataset(240)

  /** Share of test clips that are told right. */
  async function trained(withModule: boolean): Promise<number> {
    const graph = toneGraphNetwork(far.classes, withModule)
    const store = createStore(engine, [graph], 1)
    const source = toneSource(engine, far)
    const options = { batchSize: 24, optimizer: 'adam', learningRate: 2e-2, weightDecay: 1e-3, labelSmoothing: 0, seed: 1 } as const
    const epochs = 60
    const trainer = new Trainer(engine, graph, store, source, { ...options, epochs, purpose: 'float' })
    for (let epoch = 0; epoch < epochs; epoch++) await trainer.epoch(epoch)
    trainer.dispose()
    const evaluator = new Evaluator(engine, graph, store)
    const { logits } = await evaluator.logits(source, far.splits.test)
    evaluator.dispose()
    store.dispose()
    return logits.filter((row, i) => argMax(row) === far.splits.test[i].label).length / logits.length
  }

  it('are compared by the module, and by nothing without it', async () => {
    expect(await trained(true)).toBeGreaterThan(0.95)
    // of 240 at chance, four standard deviations
    expect(Math.abs((await trained(false)) - 0.5)).toBeLessThan(0.13)
  })
})
