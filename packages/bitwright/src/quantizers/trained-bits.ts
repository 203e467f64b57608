// Trained width (arXiv 2104.06666, which uses Brevitas's mechanics; papers.md section 2): bits = round(|offset| + 2), straight through the
// rounding; scale = max|w| / limit, the limit being 2^(bits-1) - 1, or 2^bits - 1 of odd numbers below 4 bits. The loss reaches the width, and the largest weight, through the scale; a penalty on the
// average width, lambda * bits, pulls it down. Bits are one number for the tensor, at least 2; ours: at most 8.
import { ParameterGroup, quantize, smallestScale, UniformWeightQuantizer, weightLimitSlope } from './uniform.ts'
import type { WeightQuantizerOptions } from './weight-quantizer.ts'

/** Adam's steps on a width are this much longer than the learning rate: a bit is a large unit, and 8 of them lie between the ends. */
export const bitsLearningRateScale = 10

/** The learned offset of a width: shared by weights and activations. */
export class TrainedWidth {
  readonly offset = new ParameterGroup(1)

  constructor(bits: number) {
    this.start(bits)
  }

  start(bits: number): void {
    this.offset.values[0] = bits - 2
    this.offset.learningRateScale = bitsLearningRateScale
  }
  bits(): number {
    return Math.min(8, Math.round(Math.abs(this.offset.values[0]) + 2))
  }
  /** Accumulates dLoss / dBits; |offset| has slope 1 at 0. */
  backward(dBits: number): void {
    this.offset.gradients[0] += this.offset.values[0] < 0 ? -dBits : dBits
  }
  constrain(): void {
    this.offset.values[0] = Math.max(-6, Math.min(6, this.offset.values[0]))
  }
}

export class TrainedBits extends UniformWeightQuantizer {
  private readonly initialBits: number
  private readonly width: TrainedWidth
  private readonly groupsOfParameters: readonly ParameterGroup[]

  /** Bits at the start, 2 to 8. */
  constructor(size: number, channels: number, options: WeightQuantizerOptions) {
    super('trained bits', 2, size, channels, options)
    this.initialBits = options.bits
    this.width = new TrainedWidth(options.bits)
    this.groupsOfParameters = [this.width.offset]
  }

  initialize(_weights: Float32Array): void {
    this.width.start(this.initialBits)
  }

  bits(): number {
    return this.width.bits()
  }
  override parameters(): readonly ParameterGroup[] {
    return this.groupsOfParameters
  }
  override penaltyGradient(dBits: number): void {
    this.width.backward(dBits)
  }
  override constrain(): void {
    this.width.constrain()
  }

  protected scales(weights: Float32Array): Float32Array {
    return this.largest(weights).magnitude.map((largest) => Math.max(smallestScale, largest / this.limit()))
  }

  backward(weights: Float32Array, dOut: Float32Array, dWeights: Float32Array): void {
    const { magnitude, index } = this.largest(weights)
    const limit = this.limit()
    const isOdd = this.isOdd()
    const scales = this.scales(weights)
    const dScale = new Float64Array(this.groups)
    for (let i = 0; i < this.size; i++) {
      const group = i % this.groups
      dWeights[i] += dOut[i]
      dScale[group] += dOut[i] * (quantize(weights[i], scales[group], limit, isOdd) - weights[i] / scales[group])
    }
    let dBits = 0
    for (let group = 0; group < this.groups; group++) {
      dWeights[index[group]] += (Math.sign(weights[index[group]]) * dScale[group]) / limit
      dBits -= (dScale[group] * magnitude[group] * weightLimitSlope(this.bits())) / limit ** 2
    }
    this.width.backward(dBits)
  }
}
