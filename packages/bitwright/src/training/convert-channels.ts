// What becomes of a layer's accumulators, channel by channel: batch norm or bias as y = slope * x + offset, and that as the integer
// model's whole bias and factor.
import type { ParameterStore } from '@bitwright/engine'
import { normalizationPrefix, parameterPrefix } from '../network/graph.ts'
import type { WeightedNetworkNode } from '../network/network.ts'
import { batchNormEpsilon, logMagnitudeEpsilon } from './record.ts'

/** y = slope[c] * x + offset[c], in evaluation: running statistics. */
export interface ChannelAffine {
  readonly slope: Float64Array
  readonly offset: Float64Array
}

/** Slope and offset rounded to float32 as the kernels do (kernels/normalization.c). */
export function channelAffine(store: ParameterStore, node: WeightedNetworkNode): ChannelAffine {
  const { channels, normalization } = node
  // a place that options share is as large as the largest
  const own = (name: string): Float32Array => store.value(name).subarray(0, channels)
  const at = (suffix: string): Float32Array => own(`${normalizationPrefix(node)}.${suffix}`)
  if (node.bias) return { slope: new Float64Array(channels).fill(1), offset: Float64Array.from(own(`${parameterPrefix(node)}.bias`)) }
  if (normalization === 'none') return { slope: new Float64Array(channels).fill(1), offset: new Float64Array(channels) }
  const scale = normalization === 'affine' ? at('scale') : new Float32Array(channels).fill(1)
  const shift = normalization === 'affine' ? at('offset') : new Float32Array(channels)
  const [mean, variance] = [at('mean'), at('variance')]
  const exact = Float64Array.from(scale, (gamma, c) => gamma / Math.sqrt(variance[c] + Math.fround(batchNormEpsilon)))
  return { slope: exact.map(Math.fround), offset: exact.map((slope, c) => Math.fround(shift[c] - slope * mean[c])) }
}

/** Another slope may differ by this part of itself, another offset by a step of the output: what is further away only does the same. */
const slopeTolerance = 2 ** -12

/** Changes a batch norm so that channelAffine gives these numbers, where they are near what it gives. @param step of the output */
export function setChannelAffine(
  store: ParameterStore,
  node: WeightedNetworkNode,
  wanted: { readonly slope: readonly number[]; readonly offset: readonly number[] },
  step: number,
): void {
  const given = channelAffine(store, node)
  const at = (suffix: string): Float32Array => store.value(`${normalizationPrefix(node)}.${suffix}`)
  const epsilon = Math.fround(batchNormEpsilon)
  const isAffine = node.normalization === 'affine'
  for (let c = 0; c < node.channels; c++) {
    const slope = Math.abs(wanted.slope[c] / given.slope[c] - 1) < slopeTolerance ? wanted.slope[c] : given.slope[c]
    const offset = Math.abs(wanted.offset[c] - given.offset[c]) < step ? wanted.offset[c] : given.offset[c]
    if (isAffine) {
      at('scale')[c] = slope * Math.sqrt(at('variance')[c] + epsilon)
      at('offset')[c] = offset + slope * at('mean')[c]
    } else if (1 / slope ** 2 > epsilon) {
      at('variance')[c] = 1 / slope ** 2 - epsilon
      at('mean')[c] = -offset / slope
    }
  }
}

/** The epsilon of a log-magnitude in whole units of the sums. @param unit what one of them is worth */
export function wholeEpsilon(unit: number): number {
  return Math.max(1, Math.round(logMagnitudeEpsilon / unit))
}

export interface FoldedOffset {
  /** Whole units to add. */
  readonly bias: number
  /** Factor of unit and bias: perUnit unless the bias would not fit. */
  readonly factor: number
}

/**
 * perUnit * units + offset as factor * (units + bias) with |bias| <= room. Where the bias does not fit, perUnit is as good as nothing
 * beside offset / room: the bias is as large as it may be and the factor makes it right.
 */
export function foldOffset(perUnit: number, offset: number, room: number): FoldedOffset {
  const exact = offset / perUnit
  if (Math.abs(exact) <= room) return { bias: Math.round(exact) + 0, factor: perUnit }
  if (offset === 0) return { bias: 0, factor: perUnit }
  const bias = exact > 0 ? Math.floor(room) : -Math.floor(room)
  return { bias, factor: offset / bias }
}
