// Networks on a graph: what they compute against float64 loops, what they learn from, and that they learn.
import { Engine, openBackend, type ParameterStore } from '@bitwright/engine'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { GraphDataset } from '../data/dataset.ts'
import { RunError } from '../errors.ts'
import { graphFrontEnd, graphNetwork } from '../network/builtins-graph.ts'
import { validateNetwork } from '../network/validate.ts'
import { withBits } from '../network/transform.ts'
import type { Network } from '../network/network.ts'
import { argMax, Evaluator } from './evaluate.ts'
import { GraphSource } from './graph-source.ts'
import { createStore } from './initialize.ts'
import { Quantization } from './quantization.ts'
import { communities } from './testing/communities.ts'
import { calibrate, Trainer } from './trainer.ts'

let engine: Engine
beforeAll(async () => {
  engine = new Engine(await openBackend({ backend: 'wasm', threads: 1 }))
})
afterAll(() => engine.backend.close())

const dataset = communities()
const frontEnd = graphFrontEnd(dataset)
const gcn = graphNetwork('gcn', frontEnd, dataset.classes)
const gat = graphNetwork('gat', frontEnd, dataset.classes)

async function logitsOf(network: Network, store: ParameterStore, quantization?: Quantization): Promise<Float32Array[]> {
  const evaluator = new Evaluator(engine, network, store, quantization ? { quantization } : {})
  const { logits } = await evaluator.logits(new GraphSource(engine, dataset, frontEnd), dataset.splits.test)
  evaluator.dispose()
  return logits
}

const options = {
  batchSize: 1,
  epochs: 60,
  optimizer: 'adam',
  learningRate: 0.02,
  weightDecay: 0.1,
  labelSmoothing: 0,
  purpose: 'train',
} as const

async function train(
  network: Network,
  given: GraphDataset,
  epochs: number = options.epochs,
  quantization?: Quantization,
  like?: ParameterStore,
) {
  const store = like ?? createStore(engine, [network], 1)
  const trainer = new Trainer(engine, network, store, new GraphSource(engine, given, frontEnd), { ...options, seed: 1 }, quantization)
  if (quantization) trainer.initializeQuantizers()
  let loss = 0
  for (let epoch = 0; epoch < epochs; epoch++) ({ loss } = (await trainer.epoch(epoch))!)
  trainer.dispose()
  return { store, loss }
}

const accuracy = (logits: readonly Float32Array[]) =>
  logits.filter((row, i) => argMax(row) === dataset.splits.test[i].label).length / logits.length

/** Two graph convolutions as the paper writes them: A relu(A X W + b) V + c, with A of degrees and X of rows that add up to one. */
function graphConvolutions(store: ParameterStore): Float64Array[] {
  const { nodes, features, neighbours } = dataset
  const row = <T>(of: { starts: Int32Array; indices: Int32Array }, node: number, each: (column: number, among: number) => T): T[] =>
    Array.from(of.indices.subarray(of.starts[node], of.starts[node + 1]), (column) => each(column, of.starts[node + 1] - of.starts[node]))
  const degree = (node: number) => neighbours.starts[node + 1] - neighbours.starts[node]
  const multiply = (x: readonly Float64Array[], weight: Float32Array) =>
    x.map((own) => {
      const channels = weight.length / own.length
      return Float64Array.from({ length: channels }, (_, c) => own.reduce((sum, value, i) => sum + value * weight[i * channels + c], 0))
    })
  const spread = (x: readonly Float64Array[]) =>
    x.map((own, node) =>
      own.map((_, c) => row(neighbours, node, (other) => x[other][c] / Math.sqrt(degree(node) * degree(other))).reduce((a, b) => a + b, 0)),
    )
  const x = Array.from({ length: nodes }, (_, node) => {
    const own = new Float64Array(features.columns)
    row(features, node, (word, among) => (own[word] = 1 / among))
    return own
  })
  const [bias, last] = [store.value('first.bias'), store.value('logits.bias')]
  const hidden = spread(multiply(x, store.value('hidden.weight'))).map((own) => own.map((value, c) => Math.max(0, value + bias[c])))
  return spread(multiply(hidden, store.value('logits.weight'))).map((own) => own.map((value, c) => value + last[c]))
}

describe('a network for a graph', () => {
  it('is valid, and computes the two graph convolutions of the paper', async () => {
    for (const network of [gcn, gat]) validateNetwork(network)
    const store = createStore(engine, [gcn], 3)
    store.value('first.bias').forEach((_, c, all) => (all[c] = 0.1 * (c % 3) - 0.1))
    store.value('logits.bias').set([0.3, -0.2, 0.1])
    const expected = graphConvolutions(store)
    const logits = await logitsOf(gcn, store)
    dataset.splits.test.forEach(({ index }, i) => logits[i].forEach((value, c) => expect(value).toBeCloseTo(expected[index][c], 5)))
    store.dispose()
  })

  it.each([['gcn'], ['gat']] as const)('learns as %s, in float and at few bits', async (name) => {
    const network = graphNetwork(name, frontEnd, dataset.classes)
    const { store } = await train(network, dataset)
    expect(accuracy(await logitsOf(network, store))).toBeGreaterThan(0.85)
    const narrow = withBits(network, { weightBits: 2, activationBits: 4 }, { edges: 'same' })
    const quantization = new Quantization(store, narrow, {
      weightBits: 2,
      activationBits: 4,
      granularity: 'channel',
      penalty: 0,
      averageBits: 0,
    })
    const source = new GraphSource(engine, dataset, frontEnd)
    await calibrate(engine, network, store, source, quantization, { seed: 1, batchSize: 1 })
    await train(narrow, dataset, 40, quantization, store)
    expect(accuracy(await logitsOf(narrow, store, quantization))).toBeGreaterThan(0.85)
    // what the aggregates read is on its grid: 15 levels of four bits at most
    expect(quantization.decided().nodes.map((node) => ('activationBits' in node ? node.activationBits : undefined))).toEqual([
      undefined,
      8,
      4,
      4,
      4,
    ])
    expect(quantization.activationQuantizer('first')!.bits()).toBe(4)
    quantization.dispose()
    store.dispose()
  })

  it('learns from the labels of the training nodes alone, the same every time', async () => {
    const relabelled: GraphDataset = {
      ...dataset,
      splits: {
        train: dataset.splits.train,
        validation: dataset.splits.validation.map((node) => ({ ...node, label: 0 })),
        test: dataset.splits.test.map((node) => ({ ...node, label: 1 })),
      },
    }
    const runs = [await train(gat, dataset, 5), await train(gat, relabelled, 5)]
    expect(runs[1].store.snapshot()).toEqual(runs[0].store.snapshot())
    expect(runs[0].loss).toBeGreaterThan(0.1)
    expect(runs[0].loss).toBeLessThan(Math.log(3) * 1.2)
    const other = { ...dataset, splits: { ...dataset.splits, train: dataset.splits.train.map((node) => ({ ...node, label: 0 })) } }
    const { store } = await train(gat, other, 5)
    expect(store.snapshot()).not.toEqual(runs[0].store.snapshot())
    for (const each of [...runs.map((run) => run.store), store]) each.dispose()
  })

  it("takes the decay of the features' weights into the loss, as GCN has it", async () => {
    const gradientsOf = async (decayInLoss: boolean) => {
      const store = createStore(engine, [gcn], 1)
      const before = store.value('hidden.weight').slice()
      const source = new GraphSource(engine, dataset, frontEnd)
      const trainer = new Trainer(engine, gcn, store, source, { ...options, seed: 1, weightDecay: 0.5, decayInLoss })
      await trainer.epoch(0)
      const gradients = ['hidden.weight', 'logits.weight'].map((name) => store.gradient(name).slice())
      trainer.dispose()
      store.dispose()
      return { before, gradients }
    }
    const [apart, together] = [await gradientsOf(false), await gradientsOf(true)]
    together.gradients[0].forEach((value, i) => expect(value).toBeCloseTo(apart.gradients[0][i] + 0.5 * apart.before[i], 6))
    expect(together.gradients[1]).toEqual(apart.gradients[1])
  })

  it('drops nothing out of what it evaluates', async () => {
    const store = createStore(engine, [gcn], 1)
    expect(await logitsOf(gcn, store)).toEqual(await logitsOf(gcn, store))
    store.dispose()
  })

  it('says for which graph it is', () => {
    expect(() => new GraphSource(engine, dataset, { ...frontEnd, nodes: 61 })).toThrow(RunError)
    expect(() => new GraphSource(engine, dataset, { ...frontEnd, nodes: 61 })).toThrow('for a graph of 61 nodes')
    expect(() => new GraphSource(engine, dataset, { kind: 'image', height: 1, width: 1, channels: 1 })).toThrow('takes images')
  })

  const [input, hidden, first, second, logits] = gcn.nodes
  it.each([
    [
      'an aggregate of the features',
      [input, { ...first, inputs: ['input'] }, { ...second, inputs: ['first'] }, logits],
      'node "first" (aggregate): reads the features',
    ],
    [
      'a convolution',
      [input, hidden, { ...hidden, id: 'c', op: 'globalAveragePool', inputs: ['hidden'] }, { ...first, inputs: ['c'] }, second, logits],
      'node "c" (globalAveragePool): a network for graphs has',
    ],
    [
      'heads that do not share evenly',
      [input, hidden, { ...first, heads: 3 }, second, logits],
      'node "first" (aggregate): 16 channels cannot be shared evenly by 3 heads',
    ],
  ])('refuses %s', (_, nodes, said) => {
    expect(() => validateNetwork({ ...gcn, nodes } as Network)).toThrow(said)
  })

  it('belongs on a graph', () => {
    const clip = { kind: 'raw', sampleRate: 100, samples: 24 } as const
    expect(() =>
      validateNetwork({ ...gcn, frontEnd: clip, nodes: [{ ...input, shape: [24, 1, 1] }, ...gcn.nodes.slice(1)] } as Network),
    ).toThrow()
  })
})
