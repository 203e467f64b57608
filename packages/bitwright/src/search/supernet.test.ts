import { add, convolution, crossEntropy, type Engine, none, type Stored, Tape, type Value } from '@bitwright/engine'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import type { Sample } from '../data/dataset.ts'
import type { Network, NetworkNode } from '../network/network.ts'
import { parameterShapes, statisticShapes } from '../network/parameters.ts'
import type { Space } from '../spaces/space.ts'
import { Recorder } from '../training/record.ts'
import { openEngine, toneDataset, toneSource, toneSpace } from '../training/testing/tones.ts'
import { Supernet } from './supernet.ts'

const dataset = toneDataset()
const options = { seed: 3, batchSize: 12, labelSmoothing: 0.1, weightDecay: 1e-4 }
const clips = dataset.splits.train.slice(0, 12)

let engine: Engine
beforeAll(async () => {
  engine = await openEngine()
})
afterAll(() => engine.backend.close())

const open = (space: Space) => new Supernet(engine, space, toneSource(engine, dataset), options)
/** All weights and statistics; computing gates brings the store up to date and changes nothing. */
function valuesOf(supernet: Supernet) {
  supernet.gateGradients([0, 0], clips)
  return new Map([...supernet.store.all()].map(({ name }) => [name, supernet.store.value(name).slice()]))
}
const parametersOf = (network: Network) => parameterShapes(network).map(({ name }) => name)

/** The loss when choice `choice` gives o_active + epsilon * o_option instead of o_active. */
function perturbedLoss(
  supernet: Supernet,
  decisions: readonly number[],
  choice: number,
  option: number,
  epsilon: number,
  batch: readonly Sample[],
): number {
  const { space, store } = supernet
  const tape = new Tape(engine, { batch: options.batchSize, mode: 'train' })
  const momentum = tape.allocate(1)
  engine.floats(momentum, 1)[0] = 0
  const recorder = new Recorder(tape, { store, momentum, weightGradients: false })
  const network = space.build(decisions)
  const edges = space.edges(decisions)
  const recorded = new Set<string>()
  const upTo = (last: string) => {
    for (const node of network.nodes) {
      if (recorded.has(last)) return
      if (!recorded.has(node.id)) recorder.node(node)
      recorded.add(node.id)
    }
  }
  const edge = edges[choice]
  upTo(edge.output)
  const output = recorder.values.get(edge.output)!
  const fragment = space.fragment(choice, option, edge.input, decisions)
  const chosen = decisions[choice] === option
  if (!chosen) for (const node of fragment.nodes) recorder.node(node)
  const other = chosen ? output : recorder.values.get(fragment.output)!
  recorder.values.set(edge.output, add(tape, output, scaled(tape, other, epsilon)))
  upTo('logits')
  const loss = crossEntropy(tape, recorder.values.get('logits')!, { smoothing: options.labelSmoothing })
  const input: Stored = recorder.values.get('input')!.stored
  toneSource(engine, dataset).fill(input, batch, null)
  const labels = engine.integers(loss.labels, options.batchSize).fill(-1)
  batch.forEach((clip, row) => (labels[row] = clip.label))
  engine.backend.run(tape.program(['generate', 'pack', 'forward']))
  const result = loss.read().loss
  tape.dispose()
  return result
}

/** factor * value: a depthwise 1x1 convolution. */
function scaled(tape: Tape, value: Value, factor: number): Value {
  const { channels } = value.stored
  const offset = tape.allocate(channels)
  engine.floats(offset, channels).fill(factor)
  return convolution(
    tape,
    value,
    { offset, gradient: none },
    { channels, kernelSize: [1, 1], stride: [1, 1], padding: [0, 0, 0, 0], groups: channels },
  )
}

const activated = (nodes: readonly NetworkNode[]) =>
  nodes.map((node) => (node.id === 'wide0' ? { ...node, activation: 'relu' as const } : node)) as NetworkNode[]

describe('gateGradients', () => {
  // option 2 of the second choice is identity, 0 and 1 are residual blocks
  it.each([[[0, 0]], [[1, 1]], [[1, 2]]])('are d loss / d gate of the path %j, every option run by finite differences', (decisions) => {
    const space = toneSpace()
    const supernet = open(space)
    for (let step = 0; step < 6; step++)
      supernet.weightStep([step % 2, step % 3], dataset.splits.train.slice(step * 12, (step + 1) * 12), 0, 0.05)
    const before = valuesOf(supernet)
    const { loss, dGates } = supernet.gateGradients(decisions, clips)
    expect(loss).toBeCloseTo(perturbedLoss(supernet, decisions, 0, 0, 0, clips), 6)
    expect(dGates.map((row) => row.length)).toEqual([2, 3])
    let largest = 0
    for (const [choice, row] of dGates.entries()) {
      for (const [option, gradient] of row.entries()) {
        const epsilon = 1e-3
        const above = perturbedLoss(supernet, decisions, choice, option, epsilon, clips)
        const below = perturbedLoss(supernet, decisions, choice, option, -epsilon, clips)
        const difference = (above - below) / (2 * epsilon)
        expect(Math.abs(gradient - difference), `choice ${choice}, option ${option}: ${gradient}, ${difference}`).toBeLessThan(
          1e-3 + 0.02 * Math.abs(difference),
        )
        largest = Math.max(largest, Math.abs(gradient))
      }
    }
    expect(largest).toBeGreaterThan(0.02)
    // only the gates learn from this
    for (const [name, values] of valuesOf(supernet)) expect(values, name).toEqual(before.get(name))
    supernet.dispose()
  })

  it('are refused where an option ends with an activation, which would hide part of them', () => {
    const plain = toneSpace()
    const space: Space = {
      ...plain,
      build: (decisions) => ({ ...plain.build(decisions), nodes: activated(plain.build(decisions).nodes) }),
      fragment: (...place) => ({ ...plain.fragment(...place), nodes: activated(plain.fragment(...place).nodes) }),
    }
    const supernet = open(space)
    expect(() => supernet.gateGradients([1, 0], clips)).toThrow(/wide0.*activation/)
    supernet.dispose()
  })

  it('are those of the clips given, also where they are fewer than a batch', () => {
    const few = clips.slice(0, 7)
    const [supernet, small] = [options, { ...options, batchSize: 7 }].map(
      (each) => new Supernet(engine, toneSpace(), toneSource(engine, dataset), each),
    )
    expect(supernet.gateGradients([1, 0], few)).toEqual(small.gateGradients([1, 0], few))
    expect(supernet.weightStep([1, 0], few, 0, 0.01)).toEqual(small.weightStep([1, 0], few, 0, 0.01))
    expect(supernet.state()).toEqual(small.state())
    supernet.dispose()
    small.dispose()
  })
})

describe('weightStep', () => {
  it('changes the parameters of the sampled path and of nothing else', () => {
    const supernet = open(toneSpace())
    for (const decisions of [
      [0, 0],
      [1, 1],
      [1, 2],
      [0, 1],
    ]) {
      const network = supernet.space.build(decisions)
      const own = new Set([...parametersOf(network), ...statisticShapes(network).map(({ name }) => name)])
      const before = valuesOf(supernet)
      const { loss, correct } = supernet.weightStep(decisions, clips, 0, 0.1)
      expect(loss).toBeGreaterThan(0)
      expect(correct).toBeLessThanOrEqual(12)
      for (const [name, values] of valuesOf(supernet)) {
        if (own.has(name)) expect(values, name).not.toEqual(before.get(name))
        else expect(values, name).toEqual(before.get(name))
      }
    }
    supernet.dispose()
  })

  it('has every option of every choice in its store, under names that do not depend on the path', () => {
    const supernet = open(toneSpace(3))
    const names = new Set<string>()
    supernet.space.choices[0].options.forEach((_, first) =>
      supernet.space.choices[1].options.forEach((__, second) =>
        parametersOf(supernet.space.build([first, second])).forEach((name) => names.add(name)),
      ),
    )
    for (const name of names) expect(supernet.store.has(name), name).toBe(true)
    supernet.dispose()
  })

  it('learns: the loss of a path falls', () => {
    const supernet = open(toneSpace())
    const first = supernet.weightStep([1, 0], clips, 0, 0.05).loss
    for (let step = 0; step < 25; step++) supernet.weightStep([1, step % 3], clips, 0, 0.05)
    expect(supernet.weightStep([1, 0], clips, 0, 0.05).loss).toBeLessThan(0.75 * first)
    supernet.dispose()
  })
})

/** Highest heap use of a step of each kind over what was in use before. */
function peak(supernet: Supernet): number {
  const rest = engine.heap.bytes
  let highest = rest
  const { allocate } = engine.heap
  const spy = vi.spyOn(engine.heap, 'allocate').mockImplementation((count) => {
    const offset = allocate.call(engine.heap, count)
    highest = Math.max(highest, engine.heap.bytes)
    return offset
  })
  supernet.weightStep([0, 1], clips, 0, 0.01)
  supernet.gateGradients([0, 1], clips)
  spy.mockRestore()
  return highest - rest
}

describe('memory', () => {
  it('does not grow from step to step', async () => {
    const supernet = open(toneSpace())
    const { bytes } = engine.heap
    for (let step = 0; step < 12; step++) {
      supernet.weightStep([step % 2, step % 3], clips, 0, 0.01)
      supernet.gateGradients([step % 2, (step + 1) % 3], clips)
      if (step % 4 === 0) await supernet.sharedAccuracy(supernet.space.build([0, 0]), dataset.splits.train, clips)
      expect(engine.heap.bytes).toBe(bytes)
    }
    supernet.dispose()
    expect(engine.heap.bytes).toBeLessThan(bytes)
  })

  it('does not grow with the number of options', () => {
    const peaks = [1, 2, 8].map((copies) => {
      const supernet = open(toneSpace(copies))
      const bytes = peak(supernet)
      supernet.dispose()
      return bytes
    })
    expect(peaks[1]).toBe(peaks[0])
    expect(peaks[2]).toBe(peaks[0])
  })
})

it('scores a network with statistics of its own, and leaves its weights alone', async () => {
  const supernet = open(toneSpace())
  for (let step = 0; step < 30; step++)
    supernet.weightStep([1, step % 3], dataset.splits.train.slice((step % 10) * 12, ((step % 10) + 1) * 12), 0, 0.05)
  const network = supernet.space.build([1, 0])
  const before = valuesOf(supernet)
  const { train, validation } = dataset.splits
  const accuracy = await supernet.sharedAccuracy(network, train, validation)
  expect(accuracy).toBeGreaterThan(0.6)
  const statistics = statisticShapes(network).map(({ name }) => name)
  // spoilt running statistics do not matter: they are taken anew
  for (const name of statistics) supernet.store.value(name).fill(name.endsWith('.mean') ? 7 : 0.01)
  expect(await supernet.sharedAccuracy(network, train, validation)).toBe(accuracy)
  for (const [name, values] of valuesOf(supernet)) if (!statistics.includes(name)) expect(values, name).toEqual(before.get(name))
  supernet.dispose()
})

it('says when it diverges', () => {
  const supernet = open(toneSpace())
  expect(() => {
    for (let step = 0; step < 6; step++) supernet.weightStep([1, 0], clips, 4, 1e30)
  }).toThrow(/diverged in epoch 5 \(loss is .*\); use a smaller learning rate/)
  supernet.dispose()
})
