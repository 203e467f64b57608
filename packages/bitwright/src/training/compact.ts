// A layer's real factors and offsets as compact parameters (docs/bw-format.md), which hold 14 bits of a factor and 15 of a bias. Both
// roundings stay far below a step of the output:
//
// - A factor that is off by a part d of itself makes an error of d times the distance from the value where there is none. The bias puts that
//   value into the middle of those that the channel can take on: 8-bit values are off by at most 2^-14 * 128 = 1/128 of a step. Factors of
//   less than 2^-15 of the layer's largest lose bits, but never more than 2^-28 of it: nothing beside what their sums can reach.
// - Biases of all channels have one unit in steps of the output (within a factor of 2), as fine as the largest of them allows: they are off by
//   at most 2^-13 of the largest, which is 1/32 of a step for 256 steps. A bias that keeps its channel at a limit of the output whatever the
//   sum is counts only as far as it must.
import {
  biasExponents,
  biasShift,
  type ChannelParameters,
  type CompactForm,
  expandChannel,
  fractionBits,
  largestBias,
  largestScale,
  mostBiasShift,
  scaleExponentOf,
  scaleExponents,
} from '@bitwright/runtime'

/** output - zeroPoint = clamp(round(factor * sum + offset)), in steps of the output. */
export interface RealChannel {
  /** 0 .. 2^30 */
  readonly factor: number
  readonly offset: number
  /** Largest possible |sum|. */
  readonly largest: number
}

export interface CompactParameters {
  readonly form: CompactForm
  readonly channels: readonly ChannelParameters[]
}

const fractionSteps = 2 ** fractionBits
/** As far left as biases go. */
const widestBias = largestBias * 2 ** mostBiasShift
const int32Max = 2 ** 31 - 1

const clamp = (value: number, low: number, high: number): number => Math.max(low, Math.min(high, value))

/**
 * @param limits smallest and largest value of the output, less its zero point
 * @throws RangeError where a factor is 2^30 or more, or no number
 */
export function compactParameters(channels: readonly RealChannel[], limits: readonly [number, number]): CompactParameters {
  const within = channels.map((channel) => withoutExcess(channel, limits))
  const factors = usableFactors(within)
  const scaleExponent = scaleExponentFor(Math.max(...factors))
  const held = factors.map((factor) => heldFactor(scaleExponent, factor))
  const biases = within.map(({ offset, middle }, c) => (offset + (held[c].value / factors[c] - 1) * (offset - middle)) / held[c].value)
  const biasExponent = biasExponentOf(biases, held)
  const form = { scaleExponent, biasExponent }
  const rounded = held.map(({ scale, exponent }, c) => {
    const unit = 2 ** biasShift(biasExponent, exponent)
    const most = Math.min(largestBias, Math.floor((int32Max - channels[c].largest) / unit))
    return expandChannel(form, { scale, bias: clamp(Math.round(biases[c] / unit), -most, most) + 0 })
  })
  return { form, channels: rounded }
}

/** The offset no further beyond the limits than it needs to be, and the middle of the values that the channel can take on. */
function withoutExcess({ factor, offset, largest }: RealChannel, [low, high]: readonly [number, number]) {
  const swing = factor * largest
  const kept = clamp(offset, low - swing - 1, high + swing + 1)
  const middle = clamp((Math.max(low, kept - swing) + Math.min(high, kept + swing)) / 2, low, high)
  return { factor, offset: kept, largest, middle }
}

/** Factors with which every bias fits; of channels without sums, which any factor suits, such that the bias is fine. */
function usableFactors(channels: readonly RealChannel[]): number[] {
  const least = channels.map(({ offset, largest }) => Math.abs(offset) / (0.999 * clamp(int32Max - largest, 1, widestBias)))
  const factors = channels.map(({ factor, largest }, c) => (largest > 0 ? Math.max(factor, least[c]) : 0))
  const finest = Math.max(Math.max(...factors) / 2 ** 14, 2 ** -40)
  return factors.map((factor, c) => (factor > 0 ? factor : Math.max(finest, least[c])))
}

/** In which the largest factor uses all bits. */
function scaleExponentFor(largest: number): number {
  if (!(largest < 2 ** 30 * (1 - 2 ** -15))) throw new RangeError(`a factor of ${largest} has no compact form: its size must be below 2^30`)
  const shift = Math.floor(Math.log2(largest)) + 1
  const isFull = Math.round(largest / 2 ** (shift - 1 - fractionBits)) >= 2 * fractionSteps
  return clamp(scaleExponentOf(isFull ? shift + 1 : shift), ...scaleExponents)
}

interface HeldFactor {
  readonly scale: number
  readonly value: number
  /** value is in [2^(exponent - 1), 2^exponent). */
  readonly exponent: number
}

/** The nearest to a factor that is not 0, so that the bias is not lost. */
function heldFactor(scaleExponent: number, factor: number): HeldFactor {
  const high = clamp(Math.floor(Math.log2(factor)) - scaleExponent - fractionBits + 1, 1, 15)
  const fraction = Math.round(factor / 2 ** (scaleExponent + high - 1))
  const scale = clamp((high - 1) * fractionSteps + fraction, 1, largestScale)
  const top = Math.max(1, Math.floor(scale / fractionSteps))
  const value = (scale - (top - 1) * fractionSteps) * 2 ** (scaleExponent + top - 1)
  return { scale, value, exponent: Math.floor(Math.log2(value)) + 1 }
}

/** The smallest with which all biases have room. */
function biasExponentOf(biases: readonly number[], held: readonly HeldFactor[]): number {
  const wanted = held.map(({ exponent }, c) => exponent + Math.max(0, Math.ceil(Math.log2(Math.abs(biases[c]) / largestBias))))
  const needed = wanted.filter((exponent, c) => exponent > held[c].exponent)
  return clamp(Math.max(Math.min(...held.map(({ exponent }) => exponent)), ...needed), ...biasExponents)
}
