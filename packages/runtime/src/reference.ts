// The specification of the integer model: a plain, slow interpreter. core/ must give the same bits for every model and input.
// Accumulators are exact doubles (sums stay below 2^53) and requantization is written with BigInt as gemmlowp defines it
// (fixedpoint.h: SaturatingRoundingDoublingHighMul, RoundingDivideByPOT, saturating left shift).

import { layerInputs } from './arena.ts'
import type {
  IntegerAdd,
  IntegerAttend,
  IntegerAveragePool,
  IntegerConvolution,
  IntegerLayer,
  IntegerModel,
  IntegerRequantize,
  IntegerTensor,
} from './model.ts'

const int32Max = 2n ** 31n - 1n
const int32Min = -(2n ** 31n)
const saturate = (value: bigint): bigint => (value > int32Max ? int32Max : value < int32Min ? int32Min : value)

/** round(value * multiplier * 2^(shift - 31)) with gemmlowp's two roundings; int32 in and out, shift in -31..30. */
export function requantize(value: number, multiplier: number, shift: number): number {
  const shifted = shift > 0 ? saturate(BigInt(value) << BigInt(shift)) : BigInt(value)
  const product = shifted * BigInt(multiplier)
  const nudge = product >= 0n ? 1n << 30n : 1n - (1n << 30n)
  const high = saturate((product + nudge) / (1n << 31n)) // BigInt division truncates towards zero, like C's
  if (shift >= 0) return Number(high)
  const mask = (1n << BigInt(-shift)) - 1n
  const threshold = (mask >> 1n) + (high < 0n ? 1n : 0n)
  return Number((high >> BigInt(-shift)) + ((high & mask) > threshold ? 1n : 0n))
}

const segments = 64
const logTable = Array.from({ length: segments + 1 }, (_, i) => Math.round(Math.log2(1 + i / segments) * 65536))

/** log2(value) * 2^16 for a uint32 (0 counts as 1): 64 points an octave, between them a line and the bulge above it; within 1.2. */
export function log2Q16(value: number): number {
  if (value === 0) return 0
  const exponent = 31 - Math.clz32(value)
  const position = (value / 2 ** exponent - 1) * segments
  const index = Math.floor(position)
  const fraction = Math.floor((position - index) * 65536)
  const rise = logTable[index + 1] - logTable[index]
  const square = Math.floor((rise * rise) / 256)
  const parabola = Math.floor((fraction * (65536 - fraction)) / 65536)
  const bulge = Math.floor((Math.floor((square * parabola) / 256) * 355) / 1024)
  return exponent * 65536 + logTable[index] + Math.floor((rise * fraction + bulge + 32768) / 65536)
}

const clampTo = (tensor: IntegerTensor, value: number): number => Math.max(tensor.min, Math.min(tensor.max, value + tensor.zeroPoint))

/** Input values from features (or samples in [-1, 1]): float32 division, ties to even. */
export function quantizeFeatures(tensor: IntegerTensor, features: Float32Array): Int32Array {
  const scale = Math.fround(tensor.scale)
  return Int32Array.from(features, (feature) => {
    const value = Math.fround(feature / scale)
    if (Number.isNaN(value)) return tensor.min
    const floor = Math.floor(value)
    const rest = value - floor
    return clampTo(tensor, rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor)
  })
}

/**
 * Every tensor of one run, [height][width][channels]; holes where no layer makes one.
 * @param input the quantized values of tensor 0; out-of-range ones are clamped
 */
export function interpret(model: IntegerModel, input: ArrayLike<number>): Int32Array[] {
  const values: Int32Array[] = []
  values[0] = Int32Array.from(input, (value) => clampTo(model.tensors[0], value - model.tensors[0].zeroPoint))
  for (const layer of model.layers)
    values[layer.output] = runLayer(
      model,
      layer,
      layerInputs(layer).map((index) => values[index]),
    )
  return values
}

function runLayer(model: IntegerModel, layer: IntegerLayer, inputs: readonly Int32Array[]): Int32Array {
  switch (layer.op) {
    case 'convolution':
      return convolve(layer, model.tensors[layer.input], model.tensors[layer.output], inputs[0])
    case 'add':
      return add(
        layer,
        layer.inputs.map((index) => model.tensors[index]),
        model.tensors[layer.output],
        inputs,
      )
    case 'averagePool':
      return averagePool(layer, model.tensors[layer.input], model.tensors[layer.output], inputs[0])
    case 'requantize':
      return rescale(layer, model.tensors[layer.input], model.tensors[layer.output], inputs[0])
    case 'attend':
      return attend(
        layer,
        layer.inputs.map((index) => model.tensors[index]),
        model.tensors[layer.output],
        inputs,
      )
    case 'reshape':
      return inputs[0]
    case 'crop':
      return inputs[0].slice(inputs[0].length - model.tensors[layer.output].shape.reduce((product, size) => product * size))
    default:
      return layer satisfies never
  }
}

function convolve(layer: IntegerConvolution, x: IntegerTensor, y: IntegerTensor, input: Int32Array): Int32Array {
  const [height, width, channels] = x.shape
  const [rows, columns, filters] = y.shape
  const perGroup = channels / layer.groups
  const out = new Int32Array(rows * columns * filters)
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      for (let filter = 0; filter < filters; filter++) {
        const firstChannel = Math.floor(filter / (filters / layer.groups)) * perGroup
        let sum = 0
        for (let ky = 0; ky < layer.kernelSize[0]; ky++) {
          for (let kx = 0; kx < layer.kernelSize[1]; kx++) {
            const iy = row * layer.stride[0] + ky - layer.padding[0]
            const ix = column * layer.stride[1] + kx - layer.padding[2]
            if (iy < 0 || ix < 0 || iy >= height || ix >= width) continue
            for (let c = 0; c < perGroup; c++) {
              const weight = layer.weights[((filter * layer.kernelSize[0] + ky) * layer.kernelSize[1] + kx) * perGroup + c]
              sum += (input[(iy * width + ix) * channels + firstChannel + c] - x.zeroPoint) * weight
            }
          }
        }
        sum = layer.logOffset ? log2Q16(Math.abs(sum) + layer.logOffset[filter]) : sum * 2 ** (layer.accumulatorShift ?? 0)
        const value = requantize(sum + layer.bias[filter], layer.multiplier[filter], layer.shift[filter])
        out[(row * columns + column) * filters + filter] = clampTo(y, value)
      }
    }
  }
  return out
}

function add(layer: IntegerAdd, inputs: readonly IntegerTensor[], y: IntegerTensor, values: readonly Int32Array[]): Int32Array {
  return values[0].map((_, i) => {
    const terms = values.map((value, k) => requantize((value[i] - inputs[k].zeroPoint) * 2 ** 20, layer.multiplier[k], layer.shift[k]))
    const sum = Number(saturate(BigInt(terms[0]) + BigInt(terms[1])))
    return clampTo(y, requantize(sum, layer.multiplier[2], layer.shift[2]))
  })
}

function averagePool(layer: IntegerAveragePool, x: IntegerTensor, y: IntegerTensor, input: Int32Array): Int32Array {
  const [, width, channels] = x.shape
  const [rows, columns] = y.shape
  return Int32Array.from({ length: rows * columns * channels }, (_, i) => {
    const c = i % channels
    const column = Math.floor(i / channels) % columns
    const row = Math.floor(i / channels / columns)
    let sum = 0
    for (let ky = 0; ky < layer.kernelSize[0]; ky++) {
      for (let kx = 0; kx < layer.kernelSize[1]; kx++) {
        sum += input[((row * layer.stride[0] + ky) * width + column * layer.stride[1] + kx) * channels + c] - x.zeroPoint
      }
    }
    return clampTo(y, requantize(sum, layer.multiplier[0], layer.shift[0]))
  })
}

function rescale(layer: IntegerRequantize, x: IntegerTensor, y: IntegerTensor, input: Int32Array): Int32Array {
  return input.map((value) => clampTo(y, requantize(value - x.zeroPoint, layer.multiplier[0], layer.shift[0])))
}

function attend(layer: IntegerAttend, inputs: readonly IntegerTensor[], y: IntegerTensor, values: readonly Int32Array[]): Int32Array {
  const [q, k, v] = inputs
  const positions = q.shape[0] * q.shape[1]
  const at = (input: number, position: number, c: number): number =>
    values[input][position * inputs[input].shape[2] + c] - inputs[input].zeroPoint
  const scale = Math.fround(Math.fround(q.scale) * Math.fround(k.scale))
  const all = Array.from({ length: positions }, (_, j) => j)
  const out: number[] = []
  for (const i of all) {
    const scores = all.map((j) => {
      let score = 0
      for (let c = 0; c < q.shape[2]; c++) score += at(0, i, c) * at(1, j, c)
      return score
    })
    const shares = softmaxIntegers(scores, scale, 32767)
    for (let c = 0; c < v.shape[2]; c++) {
      const sum = all.reduce((total, j) => total + shares[j] * at(2, j, c), 0)
      out.push(clampTo(y, requantize(sum, layer.multiplier[0], layer.shift[0])))
    }
  }
  return Int32Array.from(out)
}

const powers = Array.from({ length: 65 }, (_, i) => Math.round(65536 * 2 ** (-i / 64)))

/** 2^16 * exp(-scale * distance): 2^-t with t in 2^-16, 64 points an octave and lines between them; nothing from 20 octaves on. */
function powerQ16(scale: number, distance: number): number {
  const [bits] = new Uint32Array(Float32Array.of(scale).buffer)
  const biased = (bits >>> 23) & 255
  const fraction = BigInt((bits & 0x7fffff) | (biased ? 0x800000 : 0))
  const factor = (fraction * 3098164009n) >> 24n // log2(e) * 2^31
  const down = BigInt(141 - Math.max(biased, 1))
  const product = factor * BigInt(distance)
  const exact = down >= 0n ? product >> down : product << -down
  const t = Number(exact < 20n << 16n ? exact : 20n << 16n)
  const index = (t >> 10) & 63
  const value = powers[index] - Math.floor(((powers[index] - powers[index + 1]) * (t & 1023) + 512) / 1024)
  return Math.floor(value / 2 ** (t >> 16) + 0.5)
}

/** Probabilities of logits, or of a row of attention, in whole numbers, `one` standing for certainty: each class's share of the sum, rounded to nearest. */
export function softmaxIntegers(logits: ArrayLike<number>, scale: number, one: 255 | 32767 | 65535): number[] {
  const largest = Math.max(...Array.from(logits))
  const parts = Array.from(logits, (logit) => powerQ16(scale, largest - logit))
  const sum = parts.reduce((total, part) => total + part, 0)
  return parts.map((part) => Math.floor((2 * part * one + sum) / (2 * sum)))
}
