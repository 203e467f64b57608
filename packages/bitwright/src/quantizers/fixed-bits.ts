// Fixed width, scale from the weights themselves. From 2 bits: symmetric, scale = max|w| / largest integer (the weight
// quantizer of arXiv 2104.06666), gradients straight through the rounding, the scale seen as a constant. 1 bit: sign(w) * mean|w|
// (XNOR-Net, arXiv 1603.05279), gradients straight through where |w| <= 1 (Hubara et al., arXiv 1602.02830, section 1.3).
import { smallestScale, UniformWeightQuantizer } from './uniform.ts'
import type { WeightQuantizerOptions } from './weight-quantizer.ts'

export class FixedBits extends UniformWeightQuantizer {
  private readonly width: number

  /** Bits 1 to 8, or ternary. */
  constructor(size: number, channels: number, options: WeightQuantizerOptions) {
    super('fixed bits', 1, size, channels, options)
    this.width = options.bits
  }

  initialize(_weights: Float32Array): void {}

  bits(): number {
    return this.width
  }

  protected scales(weights: Float32Array): Float32Array {
    if (this.width > 1) return this.largest(weights).magnitude.map((largest) => Math.max(smallestScale, largest / this.limit()))
    const sums = new Float64Array(this.groups)
    for (let i = 0; i < this.size; i++) sums[i % this.groups] += Math.abs(weights[i])
    return Float32Array.from(sums, (sum) => Math.max(smallestScale, (sum * this.groups) / this.size))
  }

  backward(weights: Float32Array, dOut: Float32Array, dWeights: Float32Array): void {
    const bound = this.width === 1 ? 1 : Infinity
    for (let i = 0; i < this.size; i++) if (Math.abs(weights[i]) <= bound) dWeights[i] += dOut[i]
  }
}
