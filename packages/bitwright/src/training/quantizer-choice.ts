// Which quantizer each layer and each value is trained with, and from which widths training starts.
import type { ParameterStore } from '@bitwright/engine'
import { parameterPrefix } from '../network/graph.ts'
import type { Network, WeightedNetworkNode } from '../network/network.ts'
import { withBits } from '../network/transform.ts'
import {
  type ActivationQuantizer,
  FixedBits,
  FixedBitsActivation,
  type Granularity,
  type LearnedParameters,
  LearnedRange,
  LearnedStep,
  MadeFilters,
  TrainedBits,
  TrainedBitsActivation,
  type TrainedWidth,
  type WeightQuantizer,
} from '../quantizers/index.ts'
import { mostNarrowedBits } from './meet-average.ts'

export type BitsChoice = number | 'trained' | 'searched'

export interface QuantizationOptions {
  readonly weightBits: BitsChoice
  readonly activationBits: BitsChoice
  readonly granularity: Granularity
  /** Strength of the average-bits penalties, default 0.08 (arXiv 2104.06666: 0.04, over a training several times as long). */
  readonly penalty?: number
  /** Average that trained widths are pressed down to, weights and activations each; default 3. 0: pressed all the time. */
  readonly averageBits?: number
  /** With trained weight bits: learn step and range of each tensor towards this many bytes of weights (arXiv 1905.11452) instead of widths
   *  under an average-bits penalty. */
  readonly weightBytes?: number
  readonly learningRate?: number
}

/** Widths that trained bits start from. Layer inputs start below the 8 bits of a stream, so that each has a quantizer of its own. */
const startBits = 8
export const startActivationBits = mostNarrowedBits

/**
 * The network whose widths are fixed or at the start of their training; a fixed width is every layer's, the first and last included.
 * Searched ones are its own.
 */
export function withStartBits(
  network: Network,
  { weightBits, activationBits }: { weightBits: BitsChoice; activationBits: BitsChoice },
): Network {
  if (weightBits === 'searched' || activationBits === 'searched') return network
  const widths = {
    weightBits: weightBits === 'trained' ? startBits : weightBits,
    activationBits: activationBits === 'trained' ? startActivationBits : activationBits,
  }
  return withBits(network, widths, { edges: 'same' })
}

/** Widths below 5 bits gain from a learned step; above, the largest weight decides. */
const mostLearnedStepBits = 4

/** The quantizer of a layer's `count` weights. */
export function weightQuantizer(
  node: WeightedNetworkNode,
  count: number,
  store: ParameterStore,
  { weightBits, weightBytes, granularity }: QuantizationOptions,
): WeightQuantizer {
  const { channels } = node
  if (node.op === 'sinc') {
    const at = (suffix: string) => store.value(`${parameterPrefix(node)}.${suffix}`)
    return new MadeFilters(count / channels, channels, node.sampleRate, () => ({ lowHz: at('lowHz'), bandHz: at('bandHz') }))
  }
  const bits = node.weightBits ?? startBits
  if (weightBits === 'trained') {
    return weightBytes === undefined
      ? new TrainedBits(count, channels, { bits, granularity })
      : new LearnedRange(count, channels, { bits, granularity: 'tensor' })
  }
  return bits > 1 && bits <= mostLearnedStepBits
    ? new LearnedStep(count, channels, { bits, granularity })
    : new FixedBits(count, channels, { bits, granularity })
}

/** The quantizer of a stored value, or of a layer's own narrower input. `width`: that is trained. */
export function activationQuantizer(
  options: ConstructorParameters<typeof FixedBitsActivation>[0],
  width?: TrainedWidth,
): ActivationQuantizer {
  return width ? new TrainedBitsActivation(options, width) : new FixedBitsActivation(options)
}

/** Of a quantizer's learned numbers, those that decide its width, with what one bit is to them: 1, or undefined where it is a factor of two. */
export function widthParameters(quantizer: WeightQuantizer | ActivationQuantizer): [LearnedParameters, 1 | undefined][] {
  if (quantizer instanceof TrainedBits || quantizer instanceof TrainedBitsActivation) return [[quantizer.parameters().at(-1)!, 1]]
  if (quantizer instanceof LearnedRange) return quantizer.parameters().map((group) => [group, undefined])
  return []
}
