// The arena planner: nothing in use overlaps, the total is near the unavoidable minimum, and sizes are the ones worked out by hand.

import { expect, test } from 'vitest'
import { layerInputs, planArena, scratchBytes, tensorBytes, type ArenaPlan } from './arena.ts'
import {
  encodeModel,
  modelInfo,
  packModel,
  type IntegerConvolution,
  type IntegerLayer,
  type IntegerModel,
  type IntegerTensor,
} from './index.ts'
import { inOneContainer, randomModel, seededDraw } from './testing/random-model.ts'
import { randomSeparable } from './testing/random-separable.ts'

const align = (bytes: number): number => Math.ceil(bytes / 16) * 16

interface Moment {
  /** Owners of memory in use: what was made before and is read now or later, and the output, but for inputs that it overlaps. */
  readonly tensors: number[]
  /** Inputs that the output overlaps. */
  readonly overlapped: number[]
  /** The least that it can take. */
  readonly bytes: number
}

/** What is in use while layer i runs. */
function inUse(model: IntegerModel, plan: ArenaPlan, i: number): Moment {
  const layer = model.layers[i]
  const owner = model.tensors.map((_, t) => t)
  for (const { op, output, ...rest } of model.layers) if (op === 'reshape' && 'input' in rest) owner[output] = owner[rest.input]
  const made = new Set([0, ...model.layers.slice(0, i).map(({ output }) => output)].map((t) => owner[t]))
  const neededBy = (layers: readonly IntegerLayer[]): number[] =>
    layers.flatMap((other) => layerInputs(other).map((t) => owner[t])).filter((t) => made.has(t))
  const [now, later] = [neededBy(model.layers.slice(i)), neededBy(model.layers.slice(i + 1))]
  const size = (t: number): number => tensorBytes(model.tensors[t])
  const [from, to] = [plan.tensors[layer.output], plan.tensors[layer.output] + size(layer.output)]
  const overlaps = (t: number): boolean => plan.tensors[t] < to && from < plan.tensors[t] + size(t)
  const overlapped = layer.op === 'reshape' ? [] : layerInputs(layer).filter(overlaps)
  const gone = overlapped.map((t) => owner[t])
  // what is written over is read by this layer for the last time
  for (const t of gone) expect(later).not.toContain(t)
  const tensors = [...new Set([...now.filter((t) => !gone.includes(t)), owner[layer.output]])]
  const apart = tensors.filter((t) => t !== owner[layer.output]).reduce((sum, t) => sum + align(size(t)), align(scratchBytes(model, layer)))
  return { tensors, overlapped, bytes: apart + Math.max(...[layer.output, ...overlapped].map((t) => align(size(t)))) }
}

/** Bits that a layer reads after it has written over them, going through them as docs/bw-format.md ("Memory") has it. */
function lostBits(model: IntegerModel, plan: ArenaPlan, layer: IntegerLayer, input: number): number {
  const [x, y] = [model.tensors[input], model.tensors[layer.output]]
  const written = new Uint8Array(8 * plan.bytes)
  let lost = 0
  const each = (t: number, index: number, visit: (bit: number) => void): void => {
    const { containerBits } = model.tensors[t]
    for (let bit = 0; bit < containerBits; bit++) visit(8 * plan.tensors[t] + index * containerBits + bit)
  }
  const run = (reads: readonly number[], writes: readonly number[]): void => {
    for (const index of reads) each(input, index, (bit) => (lost += written[bit]))
    for (const index of writes) each(layer.output, index, (bit) => (written[bit] = 1))
  }
  const elements = (count: number, first: number, step: number): number[] => Array.from({ length: count }, (_, i) => first + i * step)
  const pixels = (shape: IntegerTensor['shape']): number => shape[0] * shape[1]
  const [from, to] = [x.shape[2], y.shape[2]]
  if (layer.op !== 'convolution') {
    for (let i = 0; i < pixels(y.shape) * to; i++) run([i], [i])
  } else if (layer.groups > 1) {
    for (let c = 0; c < to; c++) run(elements(pixels(x.shape), c, from), elements(pixels(y.shape), c, to))
  } else {
    expect(layer.kernelSize).toEqual([1, 1])
    for (let i = 0; i < pixels(y.shape); i++) run(elements(from, i * from, 1), elements(to, i * to, 1))
  }
  return lost
}

test('random models: what is in use overlaps only where a layer reads before it writes, and the total is near the bound', () => {
  let [planned, bound] = [0, 0]
  const overlaps = new Map<string, number>()
  for (let seed = 0; seed < 500; seed++) {
    const drawn = seed < 300 ? randomModel(seededDraw(seed)) : randomSeparable(seededDraw(seed), seed >= 400)
    const random = seed % 8 < 4 && seed < 400 ? inOneContainer(drawn) : drawn
    const model = seed % 2 ? packModel(random, seed % 4 === 1 ? 'dsp' : 'helium') : random
    const plan = planArena(model)
    let most = 0
    for (const [i, layer] of model.layers.entries()) {
      const { tensors, overlapped, bytes } = inUse(model, plan, i)
      const blocks = tensors.map((t) => [plan.tensors[t], plan.tensors[t] + tensorBytes(model.tensors[t])])
      blocks.push([plan.scratch[i], plan.scratch[i] + scratchBytes(model, layer)])
      const used = blocks.filter(([start, end]) => end > start).toSorted((a, b) => a[0] - b[0])
      for (let k = 1; k < used.length; k++) expect(used[k][0]).toBeGreaterThanOrEqual(used[k - 1][1])
      for (const [start, end] of used) expect(start % 16 === 0 && end <= plan.bytes).toBe(true)
      for (const t of overlapped) {
        expect(lostBits(model, plan, layer, t)).toBe(0)
        const widths = [t, layer.output].map((index) => model.tensors[index].containerBits)
        const kind = widths[0] === widths[1] ? 'same' : widths[0] < widths[1] ? 'wider' : 'narrower'
        overlaps.set(kind, 1 + (overlaps.get(kind) ?? 0))
      }
      most = Math.max(most, bytes)
    }
    planned += plan.bytes
    bound += most
  }
  expect(planned).toBeLessThan(1.02 * bound)
  for (const kind of ['same', 'wider', 'narrower']) expect(overlaps.get(kind)).toBeGreaterThan(20)
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
  // The depthwise layer reads 4-bit values and writes 8-bit ones, so it has both maps, one channel's 25 x 5 plane inside its border (27 x 7,
  // to even sizes) and its taps (3 x 3, likewise); the pointwise one writes over its input.
  expect(info.ramBytes).toBe(4000 + 8000 + align(2 * (28 * 8 + 16) + 8))
  expect(info.layers.map((layer) => layer.weightBytes)).toEqual([960, 216, 1536, 0, 48])
  expect(info.layers.map((layer) => layer.outputBytes)).toEqual([4000, 8000, 8000, 64, 4])
  expect(info.layers.map((layer) => layer.activationBits)).toEqual([8, 4, 8, 8, 8])
  const parameters = 3 * 64 * 9 + 8 + 20
  const names = 'small yes no '.length + 6 + 'first depthwise pointwise pool classifier '.length
  expect(info.flashBytes).toBe(84 + 6 * 24 + 5 * 40 + 960 + 216 + 1536 + 48 + parameters + names)
  expect(encodeModel(model).length).toBe(info.flashBytes)
})

test('layers that write over their input halve the arena, whatever the weights are packed for', () => {
  const narrow = smallNetwork(3)
  const model = { ...narrow, tensors: narrow.tensors.map((t) => (t.name === 'first' ? tensor('first', [25, 5, 64], 8) : t)) }
  // the largest moment is the first layer's: features, map, and two int16 columns and four int8 rows of 40, or the columns alone
  expect(modelInfo(model).ramBytes).toBe(496 + 8000 + 8 * 40)
  expect(modelInfo(packModel(model, 'plain')).ramBytes).toBe(8000 + 496 + 4 * 40)
  // 3 bits are planes of 2 and 1: sixteen inputs to whole words of a pair of channels, 32 to vectors
  expect(modelInfo(packModel(model, 'dsp')).ramBytes).toBe(8000 + 496 + 4 * 48)
  expect(modelInfo(packModel(model, 'helium')).ramBytes).toBe(8000 + 496 + 2 * 64)
  expect(modelInfo(packModel(model, 'dsp')).layers.map((layer) => layer.weightBytes)).toEqual([(64 * 48 * 3) / 8, 216, 1536, 0, 48])
  expect(modelInfo(packModel(model, 'helium')).layers.map((layer) => layer.weightBytes)).toEqual([(64 * 64 * 3) / 8, 216, 1536, 0, 96])
  for (const kernels of ['plain', 'dsp', 'helium'] as const)
    expect(encodeModel(packModel(model, kernels)).length).toBe(modelInfo(packModel(model, kernels)).flashBytes)
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
