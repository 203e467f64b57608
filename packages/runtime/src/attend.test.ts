// Attention of the integer core: near the real one it stands for, and refused where its whole numbers would not hold it.

import { expect, test } from 'vitest'
import { decodeModel, encodeModel, type IntegerAttend, type IntegerModel, type IntegerTensor, modelInfo, streamPlan } from './index.ts'
import { scratchBytes } from './arena.ts'
import { interpret } from './reference.ts'
import { randomAttention } from './testing/random-attention.ts'
import { seededDraw } from './testing/random-model.ts'

const isAttention = (layer: { op: string }): layer is IntegerAttend => layer.op === 'attend'
const models = Array.from({ length: 60 }, (_, seed) => randomAttention(seededDraw(9000 + seed)))

/** softmax over rows of query x key, times value, in real numbers. */
function realAttention({ tensors }: IntegerModel, { inputs }: IntegerAttend, values: readonly Int32Array[]): number[] {
  const [q, k, v] = inputs.map((index) => {
    const { scale, zeroPoint, shape } = tensors[index]
    const real = Array.from(values[index], (value) => scale * (value - zeroPoint))
    return Array.from({ length: shape[0] * shape[1] }, (_, i) => real.slice(i * shape[2], (i + 1) * shape[2]))
  })
  return q.flatMap((query) => {
    const scores = k.map((key) => key.reduce((sum, value, c) => sum + value * query[c], 0))
    const largest = Math.max(...scores)
    const parts = scores.map((score) => Math.exp(score - largest))
    const sum = parts.reduce((total, part) => total + part, 0)
    return v[0].map((_, c) => v.reduce((total, value, j) => total + (value[c] * parts[j]) / sum, 0))
  })
}

test('attention in whole numbers is within one step of the real one', () => {
  let compared = 0
  for (const model of models) {
    const pixels = Array.from({ length: model.tensors[0].shape.reduce((a, b) => a * b) }, (_, i) => ((i * 89) % 256) - 128)
    for (const layer of model.layers.filter(isAttention)) {
      const [value, output] = [model.tensors[layer.inputs[2]], model.tensors[layer.output]]
      const fine: IntegerTensor = { ...output, min: -32768, max: 32767, zeroPoint: 0, containerBits: 16, bits: 16 }
      // a step of the output is a step of the value: scale 1/32767 of the sum
      const step = { ...layer, multiplier: Int32Array.of(2 ** 30 + 2 ** 15), shift: Int8Array.of(-14) }
      const exact: IntegerModel = {
        ...model,
        tensors: model.tensors.map((t, i) => (i === layer.output ? fine : t)),
        layers: model.layers.map((other) => (other === layer ? step : other)),
      }
      const values = interpret(exact, pixels)
      const real = realAttention(exact, layer, values)
      const reach = Math.max(value.max - value.zeroPoint, value.zeroPoint - value.min)
      for (const [i, got] of values[layer.output].entries())
        expect(Math.abs(got - real[i] / value.scale)).toBeLessThan(0.51 + reach * 0.002)
      compared += real.length
    }
  }
  expect(compared).toBeGreaterThan(5000)
})

const bytes = { containerBits: 8, bits: 8, scale: 0.1, zeroPoint: 0, min: -128, max: 127 } as const
const words = { ...bytes, containerBits: 16, bits: 16, min: -32768, max: 32767 } as const

/** An image that looks at itself, narrow or not, and its mean. */
function selfAttention(
  [height, width, channels]: readonly [number, number, number],
  range: typeof bytes | typeof words = bytes,
): IntegerModel {
  const one = { multiplier: Int32Array.of(2 ** 30), shift: Int8Array.of(-14) }
  return {
    name: 'self',
    classes: Array.from({ length: channels }, (_, i) => `${i}`),
    frontEnd: { kind: 'image', height, width, channels },
    tensors: [
      { name: 'input', shape: [height, width, channels], ...bytes },
      { name: 'wide', shape: [height, width, channels], ...range },
      { name: 'look', shape: [height, width, channels], ...bytes },
      { name: 'mean', shape: [1, 1, channels], ...words },
    ],
    layers: [
      { op: 'requantize', name: 'wide', input: 0, output: 1, ...one },
      { op: 'attend', name: 'look', inputs: [1, 1, 0], output: 2, ...one },
      { op: 'averagePool', name: 'mean', input: 2, output: 3, kernelSize: [height, width], stride: [1, 1], ...one },
    ],
  }
}

test('attention over more than 1024 positions, or with scores of 2^30, is refused in one line', () => {
  expect(() => encodeModel(selfAttention([32, 32, 3]))).not.toThrow()
  expect(() => encodeModel(selfAttention([41, 25, 3]))).toThrow(/^self: layer 1 \(look\): .*more than 1024 positions/)
  expect(() => encodeModel(selfAttention([2, 2, 1], words))).toThrow(/^self: layer 1 \(look\): .*scores of attention below 2\^30/)
})

test('it costs two products of every position with every other, and scratch for two rows', () => {
  const model = selfAttention([5, 3, 6])
  expect(modelInfo(model).layers[1]).toMatchObject({ op: 'attend', params: 0, weightBytes: 0, macs: 15 * 15 * (6 + 6) })
  expect(scratchBytes(model, model.layers[1])).toBe(8 * 16 + 8 * 8 + 4 * 8 + 2 * 8)
  expect(decodeModel(encodeModel(model))).toEqual({ ...model, tensors: model.tensors.map((t) => ({ ...t, scale: Math.fround(t.scale) })) })
})

test('it cannot stream, and says why', () => {
  const samples = 15
  const frontEnd = { kind: 'raw', sampleRate: 16000, samples } as const
  const input = {
    name: 'input',
    shape: [samples, 1, 1],
    containerBits: 16,
    bits: 16,
    scale: 2 ** -15,
    zeroPoint: 0,
    min: -32768,
    max: 32767,
  } as const
  const narrowed = {
    op: 'requantize',
    name: 'narrow',
    input: 0,
    output: 1,
    multiplier: Int32Array.of(2 ** 30),
    shift: Int8Array.of(-7),
  } as const
  const attend = {
    op: 'attend',
    name: 'look',
    inputs: [1, 1, 1],
    output: 2,
    multiplier: Int32Array.of(2 ** 30),
    shift: Int8Array.of(-14),
  } as const
  const tensors = [input, ...['narrow', 'look'].map((name) => ({ name, shape: [samples, 1, 1] as const, ...bytes }))]
  expect(streamPlan({ name: '', classes: [], frontEnd, tensors, layers: [narrowed, attend] })).toEqual({
    reason: 'layer look: attends to all of its time at once',
  })
})
