// The arithmetic all quantizers here share: two symmetric uniform grids, MSE-optimal steps; and the base class that turns "these are my
// scales, this is my largest integer" into forward pass and integers.
//
// From 4 bits on weights are whole numbers -limit..limit, limit = 2^(b-1) - 1. With fewer bits they are odd numbers -limit..limit,
// limit = 2^b - 1: all 2^b levels where the other grid has one less, a quarter of them at 2 bits and half of them at 1 (ours for 2 and 3;
// DoReFa-Net, arXiv 1606.06160, section 2.3, has the same levels). The 3-bit levels are among the 4-bit ones of the same scale. Ternary weights,
// -1, 0 and 1, stand between 1 and 2 bits.
import { UsageError } from '../errors.ts'
import type { IntegerWeights, LearnedParameters, WeightQuantizer, WeightQuantizerOptions } from './weight-quantizer.ts'

/** Scale of an all-zero tensor, which any positive number would serve. */
export const smallestScale = 2 ** -24

/** Nearest whole number, halves away from zero, so that negating a weight negates its integer; never -0. */
export function roundAway(value: number): number {
  return value < 0 ? 0 - Math.round(-value) : Math.round(value)
}

/** Width of ternary weights: five of them are 3^5 = 243 values of a byte. */
export const ternaryBits = 1.6

/** Widest odd grid. */
const mostOddBits = 3

/** Whether weights of this width are odd numbers. */
export function areOdd(bits: number): boolean {
  return bits <= mostOddBits && bits !== ternaryBits
}

/** Nearest integer, or odd integer, of value / scale in [-limit, limit]. */
export function quantize(value: number, scale: number, limit: number, isOdd = false): number {
  if (isOdd) return Math.max(-limit, Math.min(limit, 2 * Math.floor(value / scale / 2) + 1))
  return Math.max(-limit, Math.min(limit, roundAway(value / scale)))
}

/** Largest integer of the grid without odd numbers only: 2^(bits-1) - 1. */
export function signedLimit(bits: number): number {
  return 2 ** (bits - 1) - 1
}

/** Largest integer of a weight. */
export function weightLimit(bits: number): number {
  if (bits === ternaryBits) return 1
  return areOdd(bits) ? 2 ** bits - 1 : signedLimit(bits)
}

/** d limit / d bits, on the grid of this width. */
export function weightLimitSlope(bits: number): number {
  return Math.LN2 * (weightLimit(bits) + 1)
}

interface StepFit {
  readonly step: number
  /** Sum of counts * (magnitude - step * integer)^2, integer the nearest (odd) one of at most limit. */
  readonly error: number
  /** Least-squares step for the same integers. */
  readonly refined: number
}
function fitStep(magnitudes: ArrayLike<number>, step: number, limit: number, counts?: ArrayLike<number>, isOdd = false): StepFit {
  let error = 0
  let products = 0
  let squares = 0
  for (let i = 0; i < magnitudes.length; i++) {
    const integer = Math.min(limit, isOdd ? 2 * Math.floor(magnitudes[i] / step / 2) + 1 : Math.round(magnitudes[i] / step))
    const count = counts?.[i] ?? 1
    error += count * (magnitudes[i] - step * integer) ** 2
    products += count * magnitudes[i] * integer
    squares += count * integer * integer
  }
  return { step, error, refined: squares > 0 ? products / squares : step }
}

/**
 * The step of the grid step * {0..limit}, or of its odd numbers, with the least squared error over magnitudes (each `counts` times): a scan over 64 fractions of
 * max / limit, then Lloyd's iteration (assign integers, least-squares step).
 */
export function mseOptimalStep(magnitudes: ArrayLike<number>, limit: number, counts?: ArrayLike<number>, isOdd = false): number {
  let largest = 0
  for (let i = 0; i < magnitudes.length; i++) if (magnitudes[i] > largest && (counts?.[i] ?? 1) > 0) largest = magnitudes[i]
  if (largest === 0) return smallestScale

  let best = fitStep(magnitudes, largest / limit, limit, counts, isOdd)
  const consider = (step: number): boolean => {
    const fit = fitStep(magnitudes, step, limit, counts, isOdd)
    if (fit.error >= best.error) return false
    best = fit
    return true
  }
  for (let fraction = 1; fraction < 64; fraction++) consider((largest / limit) * (fraction / 64))
  for (let round = 0; round < 10; round++) if (!consider(best.refined)) break
  return best.step
}

/** Of the two powers of two around the MSE-optimal step, the one with less error. */
export function powerOfTwoStep(magnitudes: ArrayLike<number>, limit: number, counts?: ArrayLike<number>): number {
  const below = 2 ** Math.floor(Math.log2(mseOptimalStep(magnitudes, limit, counts)))
  const error = (step: number): number => fitStep(magnitudes, step, limit, counts).error
  return error(below) <= error(2 * below) ? below : 2 * below
}

/** @throws UsageError unless bits is a whole number in [least, 8]. */
export function checkBits(quantizer: string, bits: number, least: number): void {
  if (!Number.isInteger(bits) || bits < least || bits > 8) {
    throw new UsageError(`${quantizer}: bits must be a whole number from ${least} to 8, got ${bits}`)
  }
}

/** The same of weights, which may be ternary where fewer bits than that are allowed. */
export function checkWeightBits(quantizer: string, bits: number, least: number): void {
  if (bits !== ternaryBits || least > ternaryBits) checkBits(quantizer, bits, least)
}

/** A quantizer on the grid scale[group] * {-limit..limit}, or the odd numbers of it. */
export abstract class UniformWeightQuantizer implements WeightQuantizer {
  readonly size: number
  readonly channels: number
  /** 1, or the channels. */
  protected readonly groups: number

  /** @throws UsageError when bits are out of range or size is not a multiple of channels. */
  constructor(name: string, leastBits: number, size: number, channels: number, { bits, granularity }: WeightQuantizerOptions) {
    checkWeightBits(name, bits, leastBits)
    if (size % channels !== 0) throw new UsageError(`${name}: ${size} weights do not divide into ${channels} channels`)
    this.size = size
    this.channels = channels
    this.groups = granularity === 'channel' ? channels : 1
  }

  abstract initialize(weights: Float32Array): void
  abstract backward(weights: Float32Array, dOut: Float32Array, dWeights: Float32Array): void
  abstract bits(): number
  /** Scale of each group for these weights. */
  protected abstract scales(weights: Float32Array): Float32Array

  /** Largest integer. */
  protected limit(): number {
    return weightLimit(this.bits())
  }
  /** Whether integers are odd. */
  protected isOdd(): boolean {
    return areOdd(this.bits())
  }

  forward(weights: Float32Array, out: Float32Array): void {
    this.eachInteger(weights, (i, integer, scale) => (out[i] = scale * integer))
  }

  toIntegers(weights: Float32Array): IntegerWeights {
    const values = new Int8Array(this.size)
    const scale = this.eachInteger(weights, (i, integer) => (values[i] = integer))
    return { values, scale, isOdd: this.isOdd() }
  }

  private eachInteger(weights: Float32Array, visit: (index: number, integer: number, scale: number) => void): Float32Array {
    const scales = this.scales(weights)
    const { groups, size } = this
    const limit = this.limit()
    const isOdd = this.isOdd()
    for (let i = 0; i < size; i++) {
      const scale = scales[groups === 1 ? 0 : i % groups]
      visit(i, quantize(weights[i], scale, limit, isOdd), scale)
    }
    return scales
  }

  /** Largest magnitude of each group, with the index where it is. */
  protected largest(weights: Float32Array): { magnitude: Float32Array; index: Int32Array } {
    const magnitude = new Float32Array(this.groups)
    const index = Int32Array.from({ length: this.groups }, (_, group) => group)
    for (let i = 0; i < this.size; i++) {
      const group = this.groups === 1 ? 0 : i % this.groups
      const value = Math.abs(weights[i])
      if (value > magnitude[group]) {
        magnitude[group] = value
        index[group] = i
      }
    }
    return { magnitude, index }
  }

  /** The magnitudes of one group. */
  protected magnitudesOf(weights: Float32Array, group: number): Float32Array {
    return Float32Array.from({ length: this.size / this.groups }, (_, i) => Math.abs(weights[i * this.groups + group]))
  }

  sizeBits(): number {
    return this.bits() * this.size
  }
  penaltyGradient(_dBits: number): void {}
  constrain(): void {}
  parameters(): readonly ParameterGroup[] {
    return []
  }

  state(): Float32Array {
    return parametersState(this.parameters())
  }
  restore(state: Float32Array): void {
    restoreParameters(this.parameters(), state)
  }
}

/** Learned numbers of a quantizer. */
export class ParameterGroup implements LearnedParameters {
  readonly values: Float32Array
  readonly gradients: Float32Array
  learningRateScale = 1

  /** `of`: the first numbers of another group, not new ones. */
  constructor(count: number, of?: ParameterGroup) {
    this.values = of ? of.values.subarray(0, count) : new Float32Array(count)
    this.gradients = of ? of.gradients.subarray(0, count) : new Float32Array(count)
  }

  /** Sets the values, and the learning-rate scale to their mean magnitude. */
  set(values: ArrayLike<number>): void {
    this.values.set(values)
    this.learningRateScale = Math.fround(this.values.reduce((sum, value) => sum + Math.abs(value), 0) / this.values.length)
  }
}

/** [learningRateScale, ...values] of each group in turn. */
export function parametersState(groups: readonly ParameterGroup[]): Float32Array {
  return Float32Array.from(groups.flatMap(({ values, learningRateScale }) => [learningRateScale, ...values]))
}

/**
 * The reverse of `parametersState`.
 * @throws UsageError when the state is of other parameters.
 */
export function restoreParameters(groups: readonly ParameterGroup[], state: Float32Array): void {
  const expected = groups.reduce((sum, { values }) => sum + values.length + 1, 0)
  if (state.length !== expected)
    throw new UsageError(`quantizer state: ${state.length} numbers, expected ${expected}; the layer has changed`)
  let offset = 0
  for (const group of groups) {
    group.learningRateScale = state[offset]
    group.values.set(state.subarray(offset + 1, offset + 1 + group.values.length))
    offset += 1 + group.values.length
  }
}
