// Seeded random models with attention for the tests: queries, keys and values of every container, depth and scale, and a factor of the sum that
// is learned, which may be negative or nothing.

import type { IntegerConvolution, IntegerLayer, IntegerModel, IntegerTensor } from '../model.ts'
import { type Draw, multiplierOf, pick, randomTensor, randomWeights } from './random-model.ts'

/** A map of an image, attention over it once or twice, each with a sum over what it attended to, and a classifier. */
export function randomAttention(draw: Draw): IntegerModel {
  const size = [1 + draw(6), 1 + draw(6)] as const
  const channels = 1 + draw(3)
  const range = { containerBits: 8, bits: 8, zeroPoint: draw(300) - 150, min: -128, max: 127 } as const
  const tensors: IntegerTensor[] = [{ name: 'input', shape: [...size, channels], scale: 0.25, ...range }]
  const layers: IntegerLayer[] = []
  const emit = (tensor: IntegerTensor, make: (output: number) => IntegerLayer): number => {
    const output = tensors.push(tensor) - 1
    layers.push(make(output))
    return output
  }
  const dense = (output: IntegerTensor, input: number, kernelSize: IntegerConvolution['kernelSize'] = [1, 1]): number => {
    const shape = { kernelSize, stride: [1, 1], padding: [0, 0, 0, 0], groups: 1 } as const
    const numbers = randomWeights(draw, tensors[input], output, shape)
    return emit(output, (index) => ({ op: 'convolution', name: output.name, input, output: index, ...shape, ...numbers }))
  }
  const map = (name: string, count: number, narrow = draw(3) > 0): IntegerTensor => randomTensor(draw, name, [...size, count], narrow)

  let x = dense(map('map', pick(draw, [1, 2, 5, 8, 12, 20, 33]), true), 0)
  for (let i = 0, count = 1 + draw(2); i < count; i++) {
    const depth = pick(draw, [1, 2, 3, 4, 6, 8, 13])
    const wide = tensors[x].shape[2]
    const value = dense(map(`value ${i}`, wide), x)
    // scores of two of 16 bits could leave int32: one is narrow
    const side = draw(2)
    const [query, key] = ['query', 'key'].map((name, at) => dense(map(`${name} ${i}`, depth, at === side || undefined), x))
    const narrow = [query, key][side]
    const reach = [query, key].map((at) => Math.max(tensors[at].max - tensors[at].zeroPoint, tensors[at].zeroPoint - tensors[at].min, 1))
    // from all alike to one alone, and beyond what a softmax has use for
    const sharpness = draw(8) === 0 ? pick(draw, [1e-30, 1e-9, 1e9, 1e30]) : 2 ** (draw(12) - 4)
    for (const [at, index] of [query, key].entries())
      tensors[index] = { ...tensors[index], scale: Math.fround(Math.sqrt(sharpness / Math.sqrt(depth)) / reach[at]) }
    const attended = map(`attended ${i}`, wide, true)
    const levels = (attended.max - attended.min + 1) / (tensors[value].max - tensors[value].min + 1)
    const { multiplier, shift } = multiplierOf(draw, (levels * (0.2 + draw(20) / 10)) / 32767)
    const y = emit(attended, (output) => ({
      op: 'attend',
      name: `attend ${i}`,
      inputs: draw(6) === 0 ? [narrow, narrow, value] : [query, key, value],
      output,
      multiplier: Int32Array.of(multiplier),
      shift: Int8Array.of(shift),
    }))
    const factor = pick(draw, [1, -1, -1, 0])
    const scales = [multiplierOf(draw, 0.5), multiplierOf(draw, 0.7), multiplierOf(draw, 2 ** -19)]
    x = emit(map(`sum ${i}`, wide, true), (output) => ({
      op: 'add',
      name: `sum ${i}`,
      inputs: [x, y],
      output,
      multiplier: Int32Array.from(scales, (scale, at) => (at === 1 ? factor * scale.multiplier : scale.multiplier)),
      shift: Int8Array.from(scales, (scale) => scale.shift),
    }))
  }
  const classes = Array.from({ length: 2 + draw(4) }, (_, i) => `${i}`)
  const logits = { containerBits: 16, bits: 16, scale: 0.0625, zeroPoint: 0, min: -32768, max: 32767 } as const
  dense({ name: 'logits', shape: [1, 1, classes.length], ...logits }, x, size)
  return { name: 'attention', classes, frontEnd: { kind: 'image', height: size[0], width: size[1], channels }, tensors, layers }
}
