// LSQ: the step is learned (Esser et al., "Learned step size quantization", arXiv 1902.08153). Section 2: gradient of the step, equation 3,
// times 1 / sqrt(n * limit), equation 4, where n weights share the step. Ours: the step starts at the MSE optimum, which at 2 to 4 bits
// begins closer to the float network than the paper's 2 mean|w| / sqrt(limit); the grid is symmetric (no -2^(b-1)), odd below 4 bits.
import { mseOptimalStep, ParameterGroup, quantize, smallestScale, UniformWeightQuantizer } from './uniform.ts'
import type { WeightQuantizerOptions } from './weight-quantizer.ts'

export class LearnedStep extends UniformWeightQuantizer {
  private readonly width: number
  private readonly steps: ParameterGroup
  private readonly groupsOfParameters: readonly ParameterGroup[]

  /** Bits 1 to 8, or ternary. */
  constructor(size: number, channels: number, options: WeightQuantizerOptions) {
    super('learned step', 1, size, channels, options)
    this.width = options.bits
    this.steps = new ParameterGroup(this.groups)
    this.steps.values.fill(1)
    this.groupsOfParameters = [this.steps]
  }

  initialize(weights: Float32Array): void {
    this.steps.set(
      Float32Array.from({ length: this.groups }, (_, group) =>
        mseOptimalStep(this.magnitudesOf(weights, group), this.limit(), undefined, this.isOdd()),
      ),
    )
  }

  bits(): number {
    return this.width
  }
  override parameters(): readonly ParameterGroup[] {
    return this.groupsOfParameters
  }
  override constrain(): void {
    const { values } = this.steps
    for (let group = 0; group < values.length; group++) values[group] = Math.max(smallestScale, values[group])
  }

  protected scales(): Float32Array {
    return this.steps.values.slice()
  }

  backward(weights: Float32Array, dOut: Float32Array, dWeights: Float32Array): void {
    const limit = this.limit()
    const isOdd = this.isOdd()
    const sums = new Float64Array(this.groups)
    for (let i = 0; i < this.size; i++) {
      const group = i % this.groups
      const step = this.steps.values[group]
      const ratio = weights[i] / step
      const inside = Math.abs(ratio) <= limit
      if (inside) dWeights[i] += dOut[i]
      sums[group] += dOut[i] * (inside ? quantize(weights[i], step, limit, isOdd) - ratio : Math.sign(ratio) * limit)
    }
    const gradientScale = 1 / Math.sqrt((this.size / this.groups) * limit)
    for (let group = 0; group < this.groups; group++) this.steps.gradients[group] += gradientScale * sums[group]
  }
}
