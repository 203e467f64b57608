// Attention in a supernet: its width is a choice like a layer's, one for its three inputs.
import { crossEntropy, type Engine, Random, type Stored, Tape } from '@bitwright/engine'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { AudioDataset } from '../data/dataset.ts'
import { inputKeys, isMultiplying } from '../network/graph.ts'
import { type AdditiveSpace, cenet, everyPath, jointSpace, type JointSpace, randomDecisions } from '../spaces/index.ts'
import { storageOf } from '../network/storage.ts'
import type { QuantizedPath } from '../training/quantized-path.ts'
import { type QuantizedReferences, Recorder } from '../training/record.ts'
import type { SampleSource } from '../training/sample-source.ts'
import { SharedQuantization } from '../training/shared-quantization.ts'
import { openEngine, toneDataset, toneGraphSpace, toneSource } from '../training/testing/tones.ts'
import { Supernet } from './supernet.ts'

const dataset = toneDataset()
const widths = [2, 4, 8]
const role = 'graph.attend'
let engine: Engine
beforeAll(async () => {
  engine = await openEngine()
})
afterAll(() => engine.backend.close())

async function open(base: AdditiveSpace, source: SampleSource, own = engine, batchSize = 12) {
  const space = jointSpace(base)
  const supernet = new Supernet(own, space, source, { seed: 3, batchSize, labelSmoothing: 0.1, weightDecay: 1e-4 })
  const quantization = new SharedQuantization(
    supernet.store,
    everyPath(space).map((decisions) => space.build(decisions)),
    (id) => space.roleOf(id),
    { weightWidths: widths, activationWidths: widths, sharing: 'nested', granularity: 'channel' },
  )
  quantization.initializeWeights()
  await quantization.initializeActivations(source, { seed: 1, batchSize })
  return { space, supernet, quantization }
}
type Opened = Awaited<ReturnType<typeof open>>
const tones = (own = engine) => open(toneGraphSpace(), toneSource(own, dataset), own)

const batch = (step: number) => dataset.splits.train.slice((step % 10) * 12, ((step % 10) + 1) * 12)
/** Random widths with the module standing. */
const sampled = (space: JointSpace, step: number) => [1, ...randomDecisions(space, new Random(4, 'path', step)).slice(1)]
function train({ space, supernet, quantization }: Opened, from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => {
    const step = from + i
    return supernet.weightStep(sampled(space, step), batch(step), 0, 0.02, quantization).loss
  })
}

it('has a choice of activation bits, none of weight bits, and none where it does not stand', () => {
  const space = jointSpace(toneGraphSpace())
  expect(space.choices.map(({ name }) => name).filter((name) => name.startsWith(role))).toEqual([`${role}.activationBits`])
  const one = space.choices.map(() => 0)
  expect(space.build(one.with(0, 1)).nodes.find(({ op }) => op === 'attend')).toMatchObject({ activationBits: 2 })
})

it('learns, goes on from its state with the same bits, with any number of threads', async () => {
  const whole = await tones()
  const losses = train(whole, 0, 60)
  expect(losses.every(Number.isFinite)).toBe(true)
  const mean = (part: number[]) => part.reduce((sum, loss) => sum + loss, 0) / part.length
  expect(mean(losses.slice(-10))).toBeLessThan(0.8 * mean(losses.slice(0, 10)))
  const network = whole.space.build(sampled(whole.space, 0))
  expect(whole.supernet.parametersOf(network).get('graph.module.add.scale')![0]).not.toBe(0)
  const saved = JSON.parse(JSON.stringify(whole.quantization.state())) as number[][]
  const weights = structuredClone(whole.supernet.state())
  const more = train(whole, 60, 63)
  for (const threads of [1, 3]) {
    const other = await openEngine(threads)
    const resumed = await tones(other)
    resumed.quantization.restore(saved)
    resumed.supernet.restore(weights)
    expect(train(resumed, 60, 63)).toEqual(more)
    expect(resumed.quantization.state()).toEqual(whole.quantization.state())
    resumed.supernet.dispose()
    other.backend.close()
  }
  whole.supernet.dispose()
})

/** What attention reads is quantized, nothing else: the loss is smooth in what those numbers are worth. */
const inputsAlone = (path: QuantizedPath, inputs: ReadonlySet<string>): QuantizedReferences => ({
  weights: (_, source) => source,
  value: (id) => (inputs.has(id) ? path.value(id) : undefined),
  narrowed: () => undefined,
})

describe('gates of its width', () => {
  it.each([1, 2])('are d loss / d gate of all three inputs together, at option %i', async (option) => {
    const opened = await tones()
    train(opened, 0, 12)
    const { space, supernet, quantization } = opened
    const decisions = space.choices.map(({ name }, i) => (i === 0 ? 1 : name === `${role}.activationBits` ? option : 2))
    supernet.gateGradients(decisions, batch(0))
    // what a grid cuts off has no gradient
    const state = quantization.state()
    quantization.restore(state.map((numbers, i) => (i > 0 && numbers.length === 2 ? [numbers[0], 6 * numbers[1]] : numbers)))
    const network = space.build(decisions)
    supernet.loadNetwork(network)
    supernet.store.value('graph.module.add.scale')[0] = 0.8
    const path = quantization.path(network)
    const { inputs } = storageOf(network)
    const keys = network.nodes.filter(isMultiplying).flatMap((node) => (node.op === 'attend' ? inputKeys(node) : []))
    const values = keys.map((key) => inputs.get(key)!.value)
    expect(values).toEqual(['query', 'key', 'value'].map((part) => `graph.module.${part}`))
    const tape = new Tape(engine, { batch: 12, mode: 'train' })
    const momentum = tape.allocate(1)
    engine.floats(momentum, 1)[0] = 0
    const recorder = new Recorder(tape, { store: supernet.store, momentum, quantized: inputsAlone(path, new Set(values)) })
    const { input, logits } = recorder.network(network)
    const loss = crossEntropy(tape, logits)
    path.keepGradients(recorder)
    tape.backward()
    toneSource(engine, dataset).fill(input, batch(0), null)
    engine.integers(loss.labels, 12).set(batch(0).map(({ label }) => label))
    engine.backend.run(tape.program(['generate']))
    path.prepare(recorder.sources)
    const program = tape.program(['pack', 'forward', 'backward'])
    const run = () => {
      engine.backend.run(program)
      return loss.read().loss
    }
    run()
    const gates = path.gateGradients(recorder).find((each) => each.role === role)!
    expect(gates.weights).toEqual([])
    expect(gates.activations).toHaveLength(3)
    // a gate times what a quantizer gives: the same levels, worth more or less
    const moved = (by: number) => {
      for (const value of values) {
        const { offset } = path.value(value)!
        const [step] = engine.floats(offset, 1)
        engine.floats(offset, 1)[0] = step * (1 + by)
      }
      const own = run()
      path.prepare(recorder.sources)
      return own
    }
    const difference = (moved(2e-3) - moved(-2e-3)) / 4e-3
    expect(Math.abs(difference)).toBeGreaterThan(1e-4)
    expect(Math.abs(gates.activations[option] - difference)).toBeLessThan(2e-4 + 0.03 * Math.abs(difference))
    tape.dispose()
    path.dispose()
    supernet.dispose()
  })
})

/** Noise in place of features. */
function noiseSource(own: Engine, samples: number): SampleSource {
  const all = Array.from({ length: 24 }, (_, index) => ({ path: `${index}`, label: index % 3, index }))
  const splits = { train: all, validation: all, test: [] }
  const noise: AudioDataset = { ...dataset, samples, splits }
  return {
    dataset: noise,
    epochOrder: () => [...all],
    fill: ({ offset, batch: rows, height, rowStride }: Stored, clips) => {
      const random = new Random(1, 'noise', ...clips.map(({ index }) => index))
      own.floats(offset, rows * height * rowStride).forEach((_, i, floats) => (floats[i] = random.normal()))
    },
  }
}

it('trains CENet with graph modules at random widths', async () => {
  const samples = 4000
  const source = noiseSource(engine, samples)
  const { space, supernet, quantization } = await open(cenet({ classes: ['yes', 'no', 'up'], samples }), source, engine, 3)
  const clips = source.dataset.splits.train.slice(0, 3)
  const decisions = randomDecisions(space, new Random(9, 'cenet')).map((option, i) => {
    const { name } = space.choices[i]
    // the smallest depths, every module
    return name.endsWith('.graph') ? 1 : space.choices[i].kind === 'path' ? 0 : option
  })
  const before = quantization.state()
  for (let step = 0; step < 2; step++) expect(Number.isFinite(supernet.weightStep(decisions, clips, 0, 1e-3, quantization).loss)).toBe(true)
  expect(quantization.state()).not.toEqual(before)
  const { widths: gates } = supernet.gateGradients(decisions, clips, quantization)
  for (const stage of ['s1', 's2', 's3']) {
    const own = gates.find((each) => each.role === `${stage}.graph.attend`)!
    expect([own.weights.length, own.activations.length], stage).toEqual([0, 3])
    expect(own.activations.every(Number.isFinite)).toBe(true)
  }
  supernet.dispose()
})
