// Gates where a graph module may stand: of the module itself, and of the one width that its attention has for three inputs.
import { crossEntropy, type Engine, Tape } from '@bitwright/engine'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { isMultiplying, isWeighted } from '../network/graph.ts'
import { everyPath } from '../spaces/decisions.ts'
import { jointSpace, roleOf } from '../spaces/index.ts'
import { Recorder } from '../training/record.ts'
import { SharedQuantization } from '../training/shared-quantization.ts'
import { openEngine, toneDataset, toneGraphSpace, toneSource } from '../training/testing/tones.ts'
import { Supernet } from './supernet.ts'

const dataset = toneDataset()
const options = { seed: 3, batchSize: 12, labelSmoothing: 0, weightDecay: 1e-4 }
const clips = dataset.splits.train.slice(0, 12)
const batch = (step: number) => dataset.splits.train.slice((step % 10) * 12, ((step % 10) + 1) * 12)
const factor = 'graph.module.add.scale'

let engine: Engine
beforeAll(async () => {
  engine = await openEngine()
})
afterAll(() => engine.backend.close())

it('a module is worth nothing to its gate at first, then what its factor is worth', () => {
  const space = toneGraphSpace()
  const supernet = new Supernet(engine, space, toneSource(engine, dataset), options)
  const [[absent, present]] = supernet.gateGradients([1], clips).dGates
  expect(present).toBe(absent)
  for (let step = 0; step < 20; step++) supernet.weightStep([1], batch(step), 0, 0.05)
  const [[none, module]] = supernet.gateGradients([1], clips).dGates
  // module - none = factor * its map, and so the gates' difference is factor * dLoss / dFactor
  const network = space.build([1])
  const tape = new Tape(engine, { batch: 12, mode: 'train' })
  const momentum = tape.allocate(1)
  const recorder = new Recorder(tape, { store: supernet.store, momentum })
  const { input, logits } = recorder.network(network)
  const loss = crossEntropy(tape, logits)
  tape.backward()
  supernet.loadNetwork(network)
  toneSource(engine, dataset).fill(input, clips, null)
  engine.integers(loss.labels, 12).set(clips.map(({ label }) => label))
  supernet.store.gradient(factor).fill(0)
  engine.backend.run(tape.program())
  const expected = supernet.store.value(factor)[0] * supernet.store.gradient(factor)[0]
  expect(Math.abs(expected)).toBeGreaterThan(3e-4)
  expect(module - none).toBeCloseTo(expected, 5)
  tape.dispose()
  supernet.dispose()
})

it('the width of attention opens all three inputs', async () => {
  const space = jointSpace(toneGraphSpace())
  const supernet = new Supernet(engine, space, toneSource(engine, dataset), options)
  const networks = everyPath(space).map((decisions) => space.build(decisions))
  const quantization = new SharedQuantization(supernet.store, networks, (id) => roleOf(space, id), {
    weightWidths: [2, 4, 8],
    activationWidths: [2, 4, 8],
    sharing: 'nested',
    granularity: 'channel',
  })
  quantization.initializeWeights()
  await quantization.initializeActivations(toneSource(engine, dataset), { seed: 1, batchSize: 12 })
  const decisions = [1, ...space.choices.slice(1).map(() => 2)]
  for (let step = 0; step < 40; step++) supernet.weightStep(decisions, batch(step), 0, 0.02, quantization)
  // ranges that cut hardly anything off
  quantization.restore(quantization.state().map((numbers, i) => (i > 0 && numbers.length === 2 ? [numbers[0], 2 * numbers[1]] : numbers)))

  const network = space.build(decisions)
  const { widths } = supernet.gateGradients(decisions, clips, quantization)
  expect(widths.map(({ role }) => role)).toEqual(network.nodes.filter(isMultiplying).map(({ id }) => roleOf(space, id)))
  const attention = widths.find(({ role }) => role === 'graph.attend')!
  expect(attention.weights).toEqual([])
  expect(attention.activations).toHaveLength(3)

  const path = quantization.path(network)
  path.keepApart()
  const tape = new Tape(engine, { batch: 12, mode: 'train' })
  const momentum = tape.allocate(1)
  const recorder = new Recorder(tape, { store: supernet.store, momentum, quantized: path })
  const { input, logits } = recorder.network(network)
  const loss = crossEntropy(tape, logits)
  path.keepGradients(recorder)
  tape.backward()
  supernet.loadNetwork(network)
  toneSource(engine, dataset).fill(input, clips, null)
  engine.integers(loss.labels, 12).set(clips.map(({ label }) => label))
  engine.backend.run(tape.program(['generate']))
  path.prepare(recorder.sources)
  engine.backend.run(tape.program(['pack', 'forward', 'backward']))
  // a map is linear in its layer's weights and biases: their gradients times them, together, are its gradient times it
  const byLayer = ['query', 'key', 'value'].map((part) => {
    const node = network.nodes.filter(isWeighted).find(({ id }) => id === `graph.module.${part}`)!
    const bias = `${node.id}.bias`
    const { offset, gradient } = path.weights(node, recorder.sources.get(node.id)!)
    const { size } = path.weightQuantizer(node.id)
    const [weights, dWeights] = [offset, gradient].map((at) => engine.floats(at, size))
    const ofBias = supernet.store.value(bias).reduce((sum, value, c) => sum + value * supernet.store.gradient(bias)[c], 0)
    return weights.reduce((sum, weight, i) => sum + weight * dWeights[i], ofBias)
  })
  // one left out would be seen: twice the tolerance
  for (const own of byLayer) expect(Math.abs(own)).toBeGreaterThan(0.001)
  expect(attention.activations[2]).toBeCloseTo(
    byLayer.reduce((sum, own) => sum + own, 0),
    3,
  )
  tape.dispose()
  path.dispose()
  supernet.dispose()
})
