// Bit sharing with one latent tensor and a learned step for every width (BatchQuant, Bai et al., arXiv 2105.08952, with the steps of LSQ,
// arXiv 1902.08153, section 2): widths share the weights and nothing else, and their grids have nothing to do with each other.
import { type BitSharingOptions, BitSharingWeights } from './bit-sharing.ts'
import { areOdd, mseOptimalStep, ParameterGroup, quantize, smallestScale, weightLimit } from './uniform.ts'

export class LatentBits extends BitSharingWeights {
  private readonly options: BitSharingOptions
  /** By width, as in `widths`. */
  private readonly steps: readonly ParameterGroup[]

  /** Widths 1 to 8, ternary among them. `of`: what learns the same numbers for more channels. */
  constructor(size: number, channels: number, options: BitSharingOptions, of?: LatentBits) {
    super('latent bits', size, channels, options)
    this.options = options
    this.steps = this.widths.map((_, i) => new ParameterGroup(this.groups, of?.steps[i]))
    if (!of) for (const steps of this.steps) steps.values.fill(1)
  }

  slice(size: number, channels: number): LatentBits {
    const slice = new LatentBits(size, channels, this.options, this)
    slice.select(this.bits())
    return slice
  }

  initialize(weights: Float32Array): void {
    this.steps.forEach((steps, i) => {
      const [limit, isOdd] = [weightLimit(this.widths[i]), areOdd(this.widths[i])]
      steps.set(
        Float32Array.from({ length: this.groups }, (_, group) =>
          mseOptimalStep(this.magnitudesOf(weights, group), limit, undefined, isOdd),
        ),
      )
    })
  }

  override parameters(): readonly ParameterGroup[] {
    return this.steps
  }
  override constrain(): void {
    for (const { values } of this.steps) for (let i = 0; i < values.length; i++) values[i] = Math.max(smallestScale, values[i])
  }

  private step(): ParameterGroup {
    return this.steps[this.widths.indexOf(this.bits())]
  }
  protected scales(): Float32Array {
    return this.step().values.slice()
  }

  backward(weights: Float32Array, dOut: Float32Array, dWeights: Float32Array): void {
    const { values, gradients } = this.step()
    const [limit, isOdd] = [this.limit(), this.isOdd()]
    const sums = new Float64Array(this.groups)
    for (let i = 0; i < this.size; i++) {
      const group = i % this.groups
      const ratio = weights[i] / values[group]
      const inside = Math.abs(ratio) <= limit
      if (inside) dWeights[i] += dOut[i]
      sums[group] += dOut[i] * (inside ? quantize(weights[i], values[group], limit, isOdd) - ratio : Math.sign(ratio) * limit)
    }
    const gradientScale = 1 / Math.sqrt((this.size / this.groups) * limit)
    for (let group = 0; group < this.groups; group++) gradients[group] += gradientScale * sums[group]
  }
}
