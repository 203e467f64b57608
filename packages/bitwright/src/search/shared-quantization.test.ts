// The quantizers that a supernet's paths share, in a supernet.
import { crossEntropy, type Engine, Random, Tape } from '@bitwright/engine'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { weightedNodes } from '../network/graph.ts'
import type { Network } from '../network/network.ts'
import { storageOf } from '../network/storage.ts'
import { jointSpace } from '../spaces/joint.ts'
import { kwsMfcc, randomDecisions, roleOf } from '../spaces/index.ts'
import { everyPath } from '../spaces/decisions.ts'
import { convertNetwork } from '../training/convert.ts'
import { Evaluator } from '../training/evaluate.ts'
import { createStore } from '../training/initialize.ts'
import { compareAnswers, integerLogits } from '../training/integer-evaluator.ts'
import { withoutPrunedChannels } from '../training/pruned-channels.ts'
import { type QuantizedReferences, Recorder } from '../training/record.ts'
import type { QuantizedPath } from '../training/quantized-path.ts'
import { SharedQuantization, type SharedQuantizationOptions } from '../training/shared-quantization.ts'
import { openEngine, toneDataset, toneSource, toneSpace } from '../training/testing/tones.ts'
import { Supernet } from './supernet.ts'

const dataset = toneDataset()
const options = { seed: 3, batchSize: 12, labelSmoothing: 0.1, weightDecay: 1e-4 }
const clips = dataset.splits.train.slice(0, 12)
const space = jointSpace(toneSpace())
const choices = {
  nested: { weightWidths: [2, 4, 8], activationWidths: [2, 4, 8], sharing: 'nested', granularity: 'channel' },
  latent: { weightWidths: [2, 4, 8], activationWidths: [2, 4, 8], sharing: 'latent', granularity: 'channel' },
} as const satisfies Record<string, SharedQuantizationOptions>

let engine: Engine
beforeAll(async () => {
  engine = await openEngine()
})
afterAll(() => engine.backend.close())

interface Opened {
  readonly supernet: Supernet
  readonly quantization: SharedQuantization
}
async function open(its: SharedQuantizationOptions = choices.nested, on = engine): Promise<Opened> {
  const supernet = new Supernet(on, space, toneSource(on, dataset), options)
  const networks = everyPath(space).map((decisions) => space.build(decisions))
  const quantization = new SharedQuantization(supernet.store, networks, (id) => roleOf(space, id), its)
  quantization.initializeWeights()
  await quantization.initializeActivations(toneSource(on, dataset), { seed: 1, batchSize: 12 })
  return { supernet, quantization }
}
const batch = (step: number) => dataset.splits.train.slice((step % 10) * 12, ((step % 10) + 1) * 12)
const sampled = (step: number) => randomDecisions(space, new Random(4, 'path', step))
function train({ supernet, quantization }: Opened, from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => supernet.weightStep(sampled(from + i), batch(from + i), 0, 0.02, quantization).loss)
}
const widths = (decisions: readonly number[], weights: number, activations: number) =>
  decisions.map((option, i) => {
    const { name, kind } = space.choices[i]
    return kind !== 'bits' ? option : name.endsWith('weightBits') ? weights : activations
  })
const wide = [1, 0, ...space.choices.slice(2).map(() => 2)]
const decided = (weights: number, activations: number): Network => space.build(widths(wide, weights, activations))

describe.each(['nested', 'latent'] as const)('a supernet at sampled widths, %s', (sharing) => {
  it('learns every width, with its ranges', async () => {
    const opened = await open(choices[sharing])
    const before = opened.quantization.state()
    const { train: training, validation } = dataset.splits
    for (let step = 0; step < 150; step++)
      opened.supernet.weightStep([1, step % 3, ...sampled(step).slice(2)], batch(step), 0, 0.02, opened.quantization)
    const accuracies = []
    for (const width of [0, 1, 2])
      accuracies.push(await opened.supernet.sharedAccuracy(decided(width, width), training, validation, opened.quantization))
    expect(accuracies[0]).toBeGreaterThan(0.55)
    expect(accuracies[1]).toBeGreaterThan(0.75)
    expect(accuracies[2]).toBeGreaterThan(0.75)
    expect(opened.quantization.state()).not.toEqual(before)
    opened.supernet.dispose()
  })

  it('goes on from its state with the same bits, with any number of threads', async () => {
    const whole = await open(choices[sharing])
    train(whole, 0, 4)
    const saved = JSON.parse(JSON.stringify(whole.quantization.state())) as number[][]
    const weights = structuredClone(whole.supernet.state())
    const losses = train(whole, 4, 8)
    for (const threads of [1, 3]) {
      const other = await openEngine(threads)
      const resumed = await open(choices[sharing], other)
      resumed.quantization.restore(saved)
      resumed.supernet.restore(weights)
      expect(train(resumed, 4, 8)).toEqual(losses)
      expect(resumed.quantization.state()).toEqual(whole.quantization.state())
      expect(resumed.supernet.state()).toEqual(whole.supernet.state())
      resumed.supernet.dispose()
      other.backend.close()
    }
    whole.supernet.dispose()
  })
})

it.each(['nested', 'latent'] as const)('paths answer as their integer models do, without further training: %s', async (sharing) => {
  const { supernet, quantization } = await open(choices[sharing])
  const { train: training, validation } = dataset.splits
  for (let step = 0; step < 60; step++) supernet.weightStep([1, step % 3, ...sampled(step).slice(2)], batch(step), 0, 0.02, quantization)
  for (const decisions of [wide, widths(wide, 0, 0), widths(wide, 1, 2), [1, 1, ...sampled(3).slice(2)], [1, 2, ...sampled(9).slice(2)]]) {
    const network = space.build(decisions)
    await supernet.sharedAccuracy(network, training, validation.slice(0, 3), quantization)
    const path = quantization.path(network)
    const evaluator = new Evaluator(engine, network, supernet.store, { quantization: path })
    const { logits } = await evaluator.logits(toneSource(engine, dataset), validation)
    const largestLogit = Math.max(...logits.flatMap((row) => [...row].map(Math.abs)))
    // another path is open beside it, at other widths
    const other = quantization.path(decided(2, 1))
    const model = convertNetwork({ network, store: supernet.store, quantization: path, largestLogit })
    const whole = await integerLogits(model, dataset, validation)
    const { differing } = compareAnswers(validation, logits, whole, model.tensors.at(-1)!.scale)
    expect(differing).toEqual([])
    for (const layer of [evaluator, path, other]) layer.dispose()
  }
  supernet.dispose()
})

it('is not spoilt by a path that diverges', async () => {
  const { supernet, quantization } = await open()
  supernet.weightStep(sampled(0), batch(0), 0, 0.02, quantization)
  const good = structuredClone(supernet.state())
  const ranges = quantization.state()
  supernet.restore({ ...good, values: good.values.map(() => Number.NaN) })
  expect(() => supernet.pass(wide, batch(1), 0, { quantization })).toThrow(/diverged/)
  supernet.restore(good)
  // another path of the same step
  supernet.pass(sampled(2), batch(2), 0, { quantization })
  supernet.step(0.02, quantization)
  expect(quantization.state().flat().every(Number.isFinite)).toBe(true)
  expect(quantization.state()).not.toEqual(ranges)
  supernet.dispose()
})

it('gives the memory of a path back', async () => {
  const opened = await open()
  const { bytes } = engine.heap
  for (let step = 0; step < 12; step++) {
    train(opened, step, step + 1)
    opened.supernet.gateGradients(sampled(step), clips, opened.quantization)
    if (step % 4 === 0) await opened.supernet.sharedAccuracy(decided(0, 1), dataset.splits.train, clips, opened.quantization)
    expect(engine.heap.bytes).toBe(bytes)
  }
  opened.supernet.dispose()
  expect(engine.heap.bytes).toBeLessThan(bytes)
})

it('moves only the ranges that a path uses', async () => {
  const opened = await open()
  const before = opened.quantization.state()
  opened.supernet.weightStep([1, 2, ...wide.slice(2)], clips, 0, 0.02, opened.quantization)
  const after = opened.quantization.state()
  const moved = after.filter((numbers, i) => i > 0 && numbers.join() !== before[i].join()).length
  expect(moved).toBeGreaterThan(4)
  // the blocks' layers are no part of a path with identity
  expect(moved).toBeLessThan(after.length / 2)
  opened.supernet.dispose()
})

const weightsOf = (path: QuantizedPath): QuantizedReferences => ({
  weights: (node, source) => path.weights(node, source),
  value: () => undefined,
  narrowed: () => undefined,
})

/** A path of the supernet recorded for gates, ready to run; `smooth`: with quantized weights alone. */
function record({ supernet, quantization }: Opened, network: Network, smooth = false) {
  const path = quantization.path(network)
  path.keepApart()
  const tape = new Tape(engine, { batch: 12, mode: 'train' })
  const momentum = tape.allocate(1)
  engine.floats(momentum, 1)[0] = 0
  const recorder = new Recorder(tape, { store: supernet.store, momentum, quantized: smooth ? weightsOf(path) : path })
  const { input, logits } = recorder.network(network)
  const loss = crossEntropy(tape, logits)
  path.keepGradients(recorder)
  tape.backward()
  toneSource(engine, dataset).fill(input, clips, null)
  engine.integers(loss.labels, 12).set(clips.map(({ label }) => label))
  engine.backend.run(tape.program(['generate']))
  path.prepare(recorder.sources)
  const run = () => {
    engine.backend.run(tape.program(['pack', 'forward', 'backward']))
    return loss.read().loss
  }
  const dispose = () => {
    tape.dispose()
    path.dispose()
  }
  return { path, recorder, run, dispose }
}

describe('gates of channels', () => {
  const pruning = { ...choices.nested, pruning: { strength: 3, seed: 1 } }

  it('shut under pressure, and what they shut leaves the network', async () => {
    const opened = await open(pruning)
    for (let step = 0; step < 150; step++)
      opened.supernet.weightStep([1, 1, ...sampled(step).slice(2)], batch(step), 0, 0.02, opened.quantization)
    const network = space.build(widths([1, 1, ...wide.slice(2)], 0, 1))
    const { train: training, validation } = dataset.splits
    // at two bits, whose grid has no zero
    expect(await opened.supernet.sharedAccuracy(network, training, validation, opened.quantization)).toBeGreaterThan(0.5)
    const path = opened.quantization.path(network)
    const pruned = path.pruned()
    expect([...pruned.keys()]).toEqual(['e2.depthwise'])
    const shut = pruned.get('e2.depthwise')!
    expect(shut.length).toBeGreaterThan(0)
    const small = withoutPrunedChannels(opened.supernet.store, network, pruned)
    const left = Math.max(1, 16 - shut.length)
    expect(weightedNodes(small.network).find(({ id }) => id === 'e2.depthwise')).toMatchObject({
      channels: left,
      groups: left,
      weightBits: 2,
    })
    small.store.dispose()
    path.dispose()
    // the other option has no layer that could lose a channel
    const other = opened.quantization.path(space.build(wide))
    expect(other.pruned().size).toBe(0)
    other.dispose()
    opened.supernet.dispose()
  })

  it('go on from their state with the same bits', async () => {
    const one = await open(pruning)
    const other = await open(pruning)
    const block = (step: number) => [1, 1, ...sampled(step).slice(2)]
    const steps = ({ supernet, quantization }: Opened, from: number) =>
      [0, 1, 2].map((i) => supernet.weightStep(block(from + i), batch(from + i), 0, 0.02, quantization).loss)
    steps(one, 0)
    other.quantization.restore(JSON.parse(JSON.stringify(one.quantization.state())) as number[][])
    other.supernet.restore(structuredClone(one.supernet.state()))
    expect(steps(other, 3)).toEqual(steps(one, 3))
    expect(other.quantization.state()).toEqual(one.quantization.state())
    one.supernet.dispose()
    other.supernet.dispose()
  })

  it('are for nested grids', async () => {
    await expect(open({ ...pruning, sharing: 'latent' })).rejects.toThrow(/only nested bits have gates/)
  })
})

describe('gates of widths', () => {
  it('of weights are d loss / d gate by finite differences', async () => {
    const opened = await open()
    train(opened, 0, 6)
    opened.supernet.gateGradients(wide, clips)
    const network = decided(1, 2)
    const { path, recorder, run, dispose } = record(opened, network, true)
    run()
    const gates = path.gateGradients(recorder)
    expect(gates.map(({ role }) => role)).toEqual(weightedNodes(network).map(({ id }) => roleOf(space, id)))
    let largest = 0
    for (const node of weightedNodes(network)) {
      const source = recorder.sources.get(node.id)!
      const { offset } = path.weights(node, source)
      const quantizer = path.weightQuantizer(node.id)
      const own = engine.floats(offset, quantizer.size).slice()
      const float = engine.floats(source.offset, quantizer.size)
      const { weights } = gates.find(({ role }) => role === roleOf(space, node.id))!
      for (const [i, bits] of [2, 4, 8].entries()) {
        ;(quantizer as unknown as { select(bits: number): void }).select(bits)
        const other = new Float32Array(quantizer.size)
        quantizer.forward(float, other)
        const moved = (by: number): number => {
          engine.floats(offset, quantizer.size).set(own.map((value, at) => value + by * other[at]))
          return run()
        }
        const difference = (moved(2e-3) - moved(-2e-3)) / 4e-3
        expect(Math.abs(weights[i] - difference), `${node.id} at ${bits}: ${weights[i]}, ${difference}`).toBeLessThan(
          3e-3 + 0.05 * Math.abs(difference),
        )
        largest = Math.max(largest, Math.abs(weights[i]))
      }
      engine.floats(offset, quantizer.size).set(own)
      ;(quantizer as unknown as { select(bits: number): void }).select(4)
    }
    expect(largest).toBeGreaterThan(0.02)
    dispose()
    opened.supernet.dispose()
  })

  it.each([0, 1, 2])('of what layers read are the gradient times it at that width, activations at option %i', async (option) => {
    const opened = await open()
    train(opened, 0, 6)
    opened.supernet.gateGradients(wide, clips)
    // ranges that cut nothing off
    const state = opened.quantization.state()
    const { quantization } = opened
    const ranges = state.map((numbers, i) => (i > 0 && numbers.length === 2 ? [numbers[0], 6 * numbers[1]] : numbers))
    quantization.restore(ranges)
    const network = decided(2, option)
    const { path, recorder, run, dispose } = record(opened, network)
    run()
    const gates = new Map(path.gateGradients(recorder).map((each) => [each.role, each]))
    const { inputs } = storageOf(network)
    let byHand = 0
    for (const { id } of weightedNodes(network)) {
      const { weights, activations } = gates.get(roleOf(space, id))!
      if (id === 'wide0') {
        expect(activations).toEqual([])
        continue
      }
      // a layer twice as loud is one with weights twice as large
      expect(activations[option], id).toBeCloseTo(weights[2], 4)
      if (!inputs.get(id)!.narrowed) continue
      const { stored } = recorder.multiplied.get(id)!
      const size = stored.batch * stored.height * stored.rowStride
      const [numbers, gradient] = [stored.offset, stored.gradient!].map((offset) => engine.floats(offset, size))
      const quantizer = path.activationQuantizer(id, true)!
      for (const [i, bits] of [2, 4].entries()) {
        quantizer.select(bits)
        const { scale, minimum, maximum } = quantizer.grid()
        const expected = numbers.reduce(
          (sum, value, at) => sum + gradient[at] * scale * Math.max(minimum, Math.min(maximum, Math.round(value / scale))),
          0,
        )
        expect(Math.abs(activations[i] - expected), `${id} at ${bits}`).toBeLessThan(1e-4 + 1e-5 * Math.abs(expected))
        byHand++
      }
    }
    if (option < 2) expect(byHand).toBeGreaterThanOrEqual(2)
    dispose()
    opened.supernet.dispose()
  })

  it('come beside those of options, and change nothing but the count of work', async () => {
    const opened = await open()
    const weights = () => ({ ...opened.supernet.state(), macs: undefined })
    const before = [structuredClone(weights()), opened.quantization.state()]
    const { dGates, widths: gates, loss } = opened.supernet.gateGradients(wide, clips, opened.quantization)
    expect(loss).toBeGreaterThan(0)
    expect(dGates.map((row) => row.length)).toEqual([2, 3])
    expect(gates.length).toBe(weightedNodes(space.build(wide)).length)
    expect([weights(), opened.quantization.state()]).toEqual(before)
    expect(opened.supernet.gateGradients(wide, clips).widths).toEqual([])
    opened.supernet.dispose()
  })
})

it('gives smaller options the ranges of the first channels of larger ones', () => {
  const kws = kwsMfcc({ classes: ['yes', 'no'], samples: 4000 })
  const joint = jointSpace(kws)
  const networks = [0, 17].map((option) => kws.build(kws.choices.map(() => option)))
  const store = createStore(engine, networks, 1)
  const quantization = new SharedQuantization(store, networks, (id) => roleOf(kws, id), choices.nested)
  quantization.initializeWeights()
  const [small, large] = [0, 17].map((option) =>
    quantization.path(joint.build([...kws.choices.map(() => option), ...joint.choices.slice(kws.choices.length).map(() => 0)])),
  )
  const ranges = (path: typeof small, id: string) => path.weightQuantizer(id).parameters()[0].values
  const [few, many] = [ranges(small, 's3.l2.e1k3.depthwise'), ranges(large, 's3.l2.e6k7.depthwise')]
  expect([few.length, many.length]).toEqual([20, 120])
  expect(few).toEqual(many.subarray(0, 20))
  few[3] = 7
  expect(many[3]).toBe(7)
  expect(ranges(large, 's3.l3.e6k7.depthwise')[3]).not.toBe(7)
  // and a width that nobody shares is refused by name
  const three = joint.build(joint.choices.map(() => 0))
  const nodes = three.nodes.map((node) => (node.id === 'last' ? { ...node, weightBits: 3 } : node)) as typeof three.nodes
  expect(() => quantization.path({ ...three, nodes })).toThrow(/3 bits are not among the shared widths 2, 4, 8/)
  small.dispose()
  large.dispose()
  store.dispose()
})
