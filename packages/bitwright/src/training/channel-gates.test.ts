// Gates of channels on tones: their gradients, that redundant channels go, that the others stay, and that nobody notices.
import { type Engine, none, ParameterStore, Random } from '@bitwright/engine'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { builtinNetwork } from '../network/builtins.ts'
import type { Network } from '../network/network.ts'
import { openLogit, openProbability, sampleGate } from '../quantizers/hard-concrete.ts'
import { ChannelGates } from './channel-gates.ts'
import { Evaluator } from './evaluate.ts'
import { createStore } from './initialize.ts'
import { openEngine, toneDataset, toneNetwork, toneSource } from './testing/tones.ts'
import { Trainer } from './trainer.ts'

const dataset = toneDataset()
const block = 'block.depthwise'
let engine: Engine
beforeAll(async () => {
  engine = await openEngine(1)
})
afterAll(() => engine.backend.close())

const options = { batchSize: 6, epochs: 8, optimizer: 'adam', learningRate: 0.02, weightDecay: 1e-3, labelSmoothing: 0.1 } as const

/** Trained with gates under this pressure a channel. */
async function trained(press: number, epochs: number = options.epochs) {
  const network = toneNetwork()
  const store = createStore(engine, [network], 1)
  const gates = new ChannelGates(store, network, 1)
  gates.pressure = () => new Map([[block, press]])
  const trainer = new Trainer(engine, network, store, toneSource(engine, dataset), { ...options, seed: 1, purpose: 'gates', gates })
  for (let epoch = 0; epoch < epochs; epoch++) await trainer.epoch(epoch)
  return { network, store, gates, trainer }
}
async function logitsOf(network: Network, store: ParameterStore): Promise<Float32Array[]> {
  const evaluator = new Evaluator(engine, network, store)
  const { logits } = await evaluator.logits(toneSource(engine, dataset), dataset.splits.validation)
  evaluator.dispose()
  return logits
}
const accuracy = (logits: readonly Float32Array[]): number =>
  logits.filter((row, i) => row.indexOf(Math.max(...row)) === dataset.splits.validation[i].label).length / logits.length

describe('gates of channels', () => {
  it('are times the weights that read them, with the gradients of that', () => {
    const network = toneNetwork()
    const store = createStore(engine, [network], 1)
    const gates = new ChannelGates(store, network, 5)
    const project = network.nodes.find(({ id }) => id === 'block.project') as Extract<Network['nodes'][number], { op: 'convolution' }>
    const name = 'block.project.weight'
    const source = { offset: store.values + store.get(name).position, gradient: store.gradients + store.get(name).position }
    const slot = gates.weights(project, source)
    expect(gates.weights({ ...project, id: 'other' }, source)).toBe(source)
    expect(gates.weights(project, { ...source, gradient: none }).gradient).toBe(none)
    // half open, so that draws differ
    const [, , ...rest] = gates.state()
    gates.restore([[0], Array.from({ length: 16 }, () => 0.3), ...rest])
    const sources = new Map([[project.id, source]])
    gates.prepare(sources)
    const random = new Random(5, 'channel gates', 0, 0)
    const drawn = Array.from({ length: 16 }, () => sampleGate(Math.fround(0.3), random.uniform()))
    expect(new Set(drawn.map(({ value }) => value)).size).toBeGreaterThan(5)
    const weights = store.value(name)
    const gated = engine.floats(slot.offset, weights.length)
    const d = engine.floats(slot.gradient, weights.length)
    weights.forEach((weight, i) => {
      expect(gated[i]).toBeCloseTo(drawn[Math.floor(i / 8)].value * weight, 6)
      d[i] = Math.sin(i)
    })
    gates.pressure = (open) => {
      expect(open.get(block)).toBeCloseTo(16 * openProbability(Math.fround(0.3)), 5)
      return new Map([[block, 0]])
    }
    gates.update(sources, 1)
    store.gradient(name).forEach((value, i) => expect(value).toBeCloseTo(drawn[Math.floor(i / 8)].value * Math.sin(i), 6))
    // Adam's first step has the sign of the gradient
    const after = gates.state()[1]
    for (let c = 0; c < 16; c++) {
      let sum = 0
      for (let o = 0; o < 8; o++) sum += drawn[c].slope * Math.sin(8 * c + o) * weights[8 * c + o]
      expect(Math.sign(after[c] - Math.fround(0.3))).toBe(-Math.sign(sum) + 0)
    }
    gates.dispose()
    store.dispose()
  })

  it('shut on what is redundant under pressure, and the answers of the network without it stay what they are', async () => {
    const { network, store, gates, trainer } = await trained(0.05)
    trainer.dispose()
    const pruned = gates.decide()
    const gone = pruned.get(block)!.length
    expect(gone).toBeGreaterThan(4)
    expect(gone).toBeLessThan(16)
    gates.settle(pruned)
    const before = await logitsOf(network, store)
    expect(accuracy(before)).toBeGreaterThan(0.9)
    const small = gates.without(pruned)
    expect(small.network).toEqual(gates.smaller(pruned))
    expect(small.store.value('block.project.weight').length).toBe(8 * (16 - gone))
    const after = await logitsOf(small.network, small.store)
    const largest = Math.max(...before.flatMap((row) => [...row].map(Math.abs)))
    before.forEach((row, i) => row.forEach((value, k) => expect(Math.abs(value - after[i][k])).toBeLessThan(1e-5 * largest)))
    small.store.dispose()
    gates.dispose()
    store.dispose()
  })

  it('stay open without pressure', async () => {
    const { store, gates, trainer } = await trained(0)
    trainer.dispose()
    expect(gates.decide().get(block)).toEqual([])
    gates.dispose()
    store.dispose()
  })

  it('prune as few as it takes, the least open first, for the network to fit, and leave every block a channel', async () => {
    const { store, gates, trainer } = await trained(0.003, 3)
    trainer.dispose()
    const logits = gates.state()[1]
    const channelsOf = (network: Network) => (network.nodes.find(({ id }) => id === block) as { channels: number }).channels
    const order = [...logits.keys()].toSorted((a, b) => logits[a] - logits[b])
    for (const most of [12, 5, 1]) {
      const pruned = gates.decide((network) => channelsOf(network) <= most).get(block)!
      expect(pruned.length).toBe(16 - most)
      expect(new Set(pruned)).toEqual(new Set(order.slice(0, 16 - most)))
    }
    expect(gates.decide(() => false).get(block)).toHaveLength(15)
    expect(gates.decide(() => true).get(block)).toEqual([])
    expect(channelsOf(ChannelGates.least(toneNetwork()))).toBe(1)
    gates.dispose()
    store.dispose()
  })

  it('go on from their state with the same bits', async () => {
    const whole = await trained(0.01, 4)
    const first = await trained(0.01, 2)
    const second = await trained(0.01, 0)
    second.trainer.restore(first.trainer.state())
    second.gates.restore(JSON.parse(JSON.stringify(first.gates.state())) as number[][])
    for (const epoch of [2, 3]) await second.trainer.epoch(epoch)
    expect(second.gates.state()).toEqual(whole.gates.state())
    expect(second.store.snapshot()).toEqual(whole.store.snapshot())
    for (const { store, gates, trainer } of [whole, first, second]) {
      trainer.dispose()
      gates.dispose()
      store.dispose()
    }
  })

  it('are for layers between two depthwise ones too, which lose channels on both sides', async () => {
    const network = builtinNetwork('ds-cnn-s', { classes: ['a', 'b'] })
    const store = createStore(engine, [network], 1)
    const random = new Random(3, 'statistics')
    for (const { name } of store.all())
      if (/[.](offset|mean)$/.test(name)) store.value(name).forEach((_, i, values) => (values[i] = random.normal()))
    const gates = new ChannelGates(store, network, 1)
    const [updates, ...rest] = gates.state()
    const blocks = gates.open().size
    expect(blocks).toBe(4)
    gates.restore([updates, ...rest.map((row, i) => (i < blocks ? row.map(() => (random.uniform() < 0.5 ? -3 : openLogit)) : row))])
    const pruned = gates.decide()
    gates.settle(pruned)
    const small = gates.without(pruned)
    expect(small.network).toEqual(gates.smaller(pruned))
    const run = async (its: Network, from: ParameterStore) => {
      const evaluator = new Evaluator(engine, its, from, { batch: 2 })
      const filling = {
        fill: (input: { offset: number; batch: number; height: number; rowStride: number }) => {
          const noise = new Random(4, 'noise')
          const values = engine.floats(input.offset, input.batch * input.height * input.rowStride)
          for (let i = 0; i < values.length; i++) values[i] = noise.normal()
        },
      }
      const { logits } = await evaluator.logits(filling as never, dataset.splits.validation.slice(0, 2))
      evaluator.dispose()
      return logits.flatMap((row) => [...row])
    }
    const [before, after] = [await run(network, store), await run(small.network, small.store)]
    before.forEach((value, i) => expect(after[i]).toBeCloseTo(value, 4))
    small.store.dispose()
    gates.dispose()
    store.dispose()
  })
})
