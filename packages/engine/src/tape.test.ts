// What the tape writes: which commands, with which barriers, in how much memory. A guard against quiet growth of the work per step.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Backend } from './backends/backend.ts'
import { openBackend } from './backends/open.ts'
import { commandName } from './commands.ts'
import { layer, type Program } from './conformance/program.ts'
import { runReference } from './conformance/reference-run.ts'
import { record } from './conformance/tape-run.ts'
import { Engine } from './engine.ts'
import { convolution } from './ops/convolution.ts'
import { optimizer } from './ops/optimizers.ts'
import { type Segment, Tape } from './tape.ts'

let backend: Backend
beforeAll(async () => {
  backend = await openBackend({ backend: 'wasm', threads: 1 })
})
afterAll(() => backend.close())

/** convolution - depthwise - pointwise with a residual, all normalised, then a classifier: a small DS-CNN. */
const network: Program = (b) => {
  const x = b.relu(
    b.batchNorm(
      b.convolution(b.input('x', 12, 10, 1, { gradient: false }), 'c1', layer(16, [5, 4], { stride: [2, 2], padding: [2, 2, 1, 1] })),
      'n1',
    ),
  )
  const d = b.relu(b.batchNorm(b.convolution(x, 'c2', layer(16, [3, 3], { padding: [1, 1, 1, 1], groups: 16 })), 'n2'))
  const p = b.batchNorm(b.convolution(d, 'c3', layer(16, [1, 1])), 'n3')
  const pooled = b.globalAveragePool(b.relu(b.add(p, x)))
  b.crossEntropy(b.bias(b.linear(pooled, 'fc', 12), 'fc'), [0, 1])
}

function commands(words: Int32Array): { name: string; barrier: boolean }[] {
  const list: { name: string; barrier: boolean }[] = []
  for (let at = 2; at < words.length; at += words[at + 1]) list.push({ name: commandName(words[at]), barrier: words[at] < 0x10000 })
  return list
}

/** The commands of one segment, by name. */
function named(mode: 'train' | 'evaluate', segment: Segment): string[] {
  const options = { batch: 2, seed: 1, mode }
  const recording = record(network, backend, runReference(network, options).parameters, options)
  optimizer(recording.tape, 'sgd', recording.store, [...recording.store.all()])
  const list = commands(recording.tape.program([segment]))
  recording.dispose()
  return list.map(({ name }) => name)
}

describe('the commands of a small network', () => {
  test('forward: one a layer, one a normalisation', () => {
    expect(named('train', 'forward')).toEqual([
      'convolution',
      'normTrain',
      'depthwise',
      'normTrain',
      'convolution',
      'normTrain',
      'add',
      'pool',
      'convolution',
      'bias',
      'crossEntropy',
    ])
    expect(named('evaluate', 'forward')).toEqual([
      'convolution',
      'normEval',
      'depthwise',
      'normEval',
      'convolution',
      'normEval',
      'add',
      'pool',
      'convolution',
      'bias',
      'crossEntropy',
    ])
  })

  test('backward: one a layer and one for its weights, one a normalisation, one an addend', () => {
    expect(named('train', 'backward')).toEqual([
      'biasBackward',
      'convolutionBackward',
      'reduceWeights',
      'poolBackward',
      'addBackward',
      'addBackward',
      'normBackward',
      'convolutionBackward',
      'reduceWeights',
      'normBackward',
      'depthwiseBackward',
      'reduceDepthwise',
      'normBackward',
      'convolutionBackward',
      'reduceWeights',
    ])
    expect(named('evaluate', 'backward')).toEqual([])
  })

  test('packing: weights once for each direction that is needed; one update for all parameters', () => {
    expect(named('train', 'pack')).toEqual(['pack', 'packDepthwise', 'pack', 'pack', 'pack', 'pack'])
    expect(named('evaluate', 'pack')).toEqual(['pack', 'packDepthwise', 'pack', 'pack'])
    expect(named('train', 'update')).toEqual(['sgd'])
    expect([...named('train', 'generate'), ...named('train', 'finish')]).toEqual([])
  })
})

test('every command waits for the others, but packing waits once after the last', () => {
  const options = { batch: 2, seed: 1 }
  const recording = record(network, backend, runReference(network, options).parameters, options)
  const list = commands(recording.tape.program(['pack', 'forward', 'backward']))
  expect(list.map(({ barrier }) => barrier)).toEqual(list.map((_, i) => i >= 5))
  recording.dispose()
})

test('a disposed recording leaves no memory behind', () => {
  const options = { batch: 2, seed: 1 }
  const recording = record(network, backend, runReference(network, options).parameters, options)
  recording.run()
  expect(recording.engine.heap.bytes).toBeGreaterThan(10_000)
  recording.dispose()
  expect(recording.engine.heap.bytes).toBe(64)
})

/** Heap of a chain of pointwise layers recorded for training. */
function chainBytes(depth: number): number {
  const engine = new Engine(backend)
  const tape = new Tape(engine, { batch: 8, mode: 'train' })
  const weights = tape.allocate(64)
  let x = tape.input(32, 32, 8, true)
  for (let i = 0; i < depth; i++) x = convolution(tape, x, { offset: weights, gradient: weights }, layer(8, [1, 1]))
  tape.gradientTarget(x)
  tape.backward()
  const used = engine.heap.bytes
  tape.dispose()
  return used
}

test('gradients of maps share their memory: a deeper chain needs maps, not gradients', () => {
  const map = 8 * 32 * 32 * 8 * 4
  const packed = 4096
  expect(chainBytes(8) - chainBytes(4)).toBeLessThan(4 * (map + packed))
  expect(chainBytes(4) - chainBytes(3)).toBeGreaterThanOrEqual(map)
})

test('a kernel that does not fit its map is refused with both sizes', () => {
  const tape = new Tape(new Engine(backend), { batch: 1, mode: 'train' })
  const x = tape.input(4, 3, 8)
  const weights = { offset: 0, gradient: -1 }
  expect(() => convolution(tape, x, weights, layer(8, [6, 1], { padding: [1, 0, 0, 0] }))).toThrow(
    /kernel of height 6 does not fit a map of height 4 with padding 1/,
  )
  expect(() => convolution(tape, x, weights, layer(8, [1, 5]))).toThrow(/kernel of width 5 does not fit/)
  expect(() => convolution(tape, x, weights, layer(8, [1, 1], { groups: 2 }))).toThrow(/groups must be 1 or all 8 channels, not 2/)
  expect(() => convolution(tape, x, weights, layer(8, [12, 11], { groups: 8, padding: [9, 9, 9, 9] }))).toThrow(/at most 128 taps, not 132/)
  tape.dispose()
})
