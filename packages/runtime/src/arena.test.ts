// The arena planner: nothing in use overlaps, the total is near the unavoidable minimum, and sizes are the ones worked out by hand.

import { expect, test } from 'vitest'
import { layerInputs, planArena, scratchBytes, tensorBytes } from './arena.ts'
import { encodeModel, modelInfo, type IntegerConvolution, type IntegerModel, type IntegerTensor } from './index.ts'
import { randomModel, seededDraw } from './testing/random-model.ts'

const align = (bytes: number): number => Math.ceil(bytes / 16) * 16

/** Bytes in use while layer i runs: what was made before and is read now or later, its output, its scratch. */
function inUse(model: IntegerModel, i: number): { tensors: number[]; bytes: number } {
  const owner = model.tensors.map((_, t) => t)
  for (const layer of model.layers) if (layer.op === 'reshape') owner[layer.output] = owner[layer.input]
  const made = new Set([0, ...model.layers.slice(0, i).map((layer) => layer.output)].map((t) => owner[t]))
  const needed = model.layers.slice(i).flatMap((layer) => layerInputs(layer).map((t) => owner[t]))
  const tensors = [...new Set([...needed.filter((t) => made.has(t)), owner[model.layers[i].output]])]
  const bytes = tensors.reduce((sum, t) => sum + align(tensorBytes(model.tensors[t])), align(scratchBytes(model, model.layers[i])))
  return { tensors, bytes }
}

test('random models: no overlap among what is in use, and never below the bound', () => {
  let [planned, bound] = [0, 0]
  for (let seed = 0; seed < 400; seed++) {
    const model = randomModel(seededDraw(seed))
    const plan = planArena(model)
    let most = 0
    for (let i = 0; i < model.layers.length; i++) {
      const { tensors, bytes } = inUse(model, i)
      const blocks = tensors.map((t) => [plan.tensors[t], plan.tensors[t] + tensorBytes(model.tensors[t])])
      blocks.push([plan.scratch[i], plan.scratch[i] + scratchBytes(model, model.layers[i])])
      const used = blocks.filter(([start, end]) => end > start).toSorted((a, b) => a[0] - b[0])
      for (let k = 1; k < used.length; k++) expect(used[k][0]).toBeGreaterThanOrEqual(used[k - 1][1])
      for (const [start, end] of used) expect(start % 16 === 0 && end <= plan.bytes).toBe(true)
      most = Math.max(most, bytes)
    }
    expect(plan.bytes).toBeGreaterThanOrEqual(most)
    planned += plan.bytes
    bound += most
  }
  expect(planned).toBeLessThan(1.02 * bound)
})

const tensor = (name: string, shape: readonly [number, number, number], containerBits: 4 | 8 | 16): IntegerTensor => {
  const half = 2 ** (containerBits - 1)
  return { name, shape, containerBits, bits: containerBits, scale: 0.5, zeroPoint: 0, min: -half, max: half - 1 }
}

/** DS-CNN-like: 49x10 features, 10x4 convolution, depthwise and pointwise, pooling, classifier. */
function smallNetwork(weightBits: number): IntegerModel {
  const layer = (name: string, input: number, channels: number, taps: number, rest: Partial<IntegerConvolution>): IntegerConvolution => ({
    op: 'convolution',
    name,
    input,
    output: input + 1,
    kernelSize: [1, 1],
    stride: [1, 1],
    padding: [0, 0, 0, 0],
    groups: 1,
    weightBits,
    weights: new Int8Array(channels * taps).fill(-1),
    bias: new Int32Array(channels),
    multiplier: new Int32Array(channels).fill(2 ** 30),
    shift: new Int8Array(channels).fill(-4),
    ...rest,
  })
  return {
    name: 'small',
    classes: ['yes', 'no'],
    frontEnd: {
      kind: 'mfcc',
      sampleRate: 16000,
      samples: 16000,
      windowSamples: 640,
      hopSamples: 320,
      melBands: 40,
      coefficients: 10,
      lowHz: 20,
      highHz: 4000,
    },
    tensors: [
      tensor('input', [49, 10, 1], 8),
      tensor('first', [25, 5, 64], 4),
      tensor('depthwise', [25, 5, 64], 8),
      tensor('pointwise', [25, 5, 64], 8),
      tensor('pool', [1, 1, 64], 8),
      tensor('classifier', [1, 1, 2], 16),
    ],
    layers: [
      layer('first', 0, 64, 40, { kernelSize: [10, 4], stride: [2, 2], padding: [5, 5, 1, 1] }),
      layer('depthwise', 1, 64, 9, { kernelSize: [3, 3], padding: [1, 1, 1, 1], groups: 64 }),
      layer('pointwise', 2, 64, 64, {}),
      {
        op: 'averagePool',
        name: 'pool',
        input: 3,
        output: 4,
        kernelSize: [25, 5],
        stride: [1, 1],
        multiplier: Int32Array.of(2 ** 30),
        shift: Int8Array.of(-6),
      },
      layer('classifier', 4, 2, 64, {}),
    ],
  }
}

test('sizes of a small network are the ones worked out by hand', () => {
  const model = smallNetwork(3)
  const info = modelInfo(model)
  expect(info.macs).toBe(125 * 64 * (40 + 9 + 64) + 2 * 64)
  expect(info.params).toBe(64 * (41 + 10 + 65) + 2 * 65)
  // Depthwise output, pointwise output and the pointwise scratch (two int16 columns and four int8 rows of 64) live together.
  expect(info.ramBytes).toBe(8000 + 8000 + 8 * 64)
  expect(info.layers.map((layer) => layer.weightBytes)).toEqual([960, 216, 1536, 0, 48])
  expect(info.layers.map((layer) => layer.outputBytes)).toEqual([4000, 8000, 8000, 64, 4])
  expect(info.layers.map((layer) => layer.activationBits)).toEqual([8, 4, 8, 8, 8])
  const parameters = 3 * 64 * 9 + 8 + 20
  const names = 'small yes no '.length + 6 + 'first depthwise pointwise pool classifier '.length
  expect(info.flashBytes).toBe(84 + 6 * 24 + 5 * 40 + 960 + 216 + 1536 + 48 + parameters + names)
  expect(encodeModel(model).length).toBe(info.flashBytes)
})

test('what does not fit is refused with the layer named', () => {
  const model = smallNetwork(2)
  const change = (rest: Partial<IntegerConvolution>): IntegerModel => ({
    ...model,
    layers: model.layers.map((layer) => (layer.name === 'pointwise' ? ({ ...layer, ...rest } as IntegerConvolution) : layer)),
  })
  expect(() => encodeModel(change({ weights: new Int8Array(4096).fill(2) }))).toThrow('layer pointwise: weight 0 is 2: at 2 bits')
  expect(() => encodeModel(change({ weightBits: 1, weights: new Int8Array(4096) }))).toThrow('-1 or +1')
  expect(() => encodeModel(change({ bias: new Int32Array(63) }))).toThrow('layer pointwise: 63 biases, expected 64')
  expect(() => encodeModel(change({ bias: new Int32Array(64).fill(2 ** 31 - 64 * 128) }))).toThrow(
    /layer 2 \(pointwise\): a sum could leave int32/,
  )
  expect(() => encodeModel(change({ bias: new Int32Array(64).fill(2 ** 31 - 64 * 128 - 1) }))).not.toThrow()
  expect(() => encodeModel(change({ groups: 2 }))).toThrow('groups is 2')
  expect(() => encodeModel(change({ shift: new Int8Array(64).fill(31) }))).toThrow(/a shift lies outside/)
  expect(() => encodeModel(change({ stride: [2, 1] }))).toThrow(/shapes of inputs, kernel and output disagree/)
})
