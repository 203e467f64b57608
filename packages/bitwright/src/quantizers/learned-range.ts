// Learned step and range, width inferred (Uhlich et al., "Mixed precision DNNs: all you need is a good parametrization", arXiv 1905.11452;
// papers.md section 11): step d used at the nearest power of two, range x_max, bits = ceil(log2(x_max / d + 1) + 1). Gradients, case
// (d, x_max): d gets (Q(w) - w) / d inside the range, x_max gets sign(w) outside; both are clipped to +-d. A penalty on the width (a byte
// budget) reaches both straight through ceil and power of two. One step and range per tensor, as in the paper; widths 2 to 8.
import { UsageError } from '../errors.ts'
import { ParameterGroup, powerOfTwoStep, quantize, signedLimit, smallestScale, UniformWeightQuantizer } from './uniform.ts'
import type { WeightQuantizerOptions } from './weight-quantizer.ts'

const powerOfTwo = (value: number): number => 2 ** Math.round(Math.log2(value))

/** Step and range of a tensor whose integers have a sign bit or not: shared by weights and activations. */
export class StepAndRange {
  readonly step = new ParameterGroup(1)
  readonly range = new ParameterGroup(1)
  private readonly signBits: 0 | 1
  private readonly leastBits: number
  private readonly largestLimit: number

  constructor(signed: boolean) {
    this.signBits = signed ? 1 : 0
    this.leastBits = signed ? 2 : 1
    this.largestLimit = signed ? 127 : 255
    this.start(1, 1)
  }

  /** From a step that is a power of two. */
  start(step: number, limit: number): void {
    this.step.set([step])
    this.range.set([step * limit])
  }
  /** The power of two in use. */
  scale(): number {
    return Math.max(smallestScale, powerOfTwo(this.step.values[0]))
  }
  /** Largest integer. */
  limit(): number {
    return Math.max(1, Math.min(this.largestLimit, Math.round(this.range.values[0] / this.scale())))
  }
  bits(): number {
    const ratio = this.range.values[0] / this.scale()
    return Math.max(this.leastBits, Math.min(8, Math.ceil(Math.log2(ratio + 1) + this.signBits - 1e-6)))
  }

  /** Accumulates gradients clipped to +-d. */
  backward(dStep: number, dRange: number): void {
    const bound = this.scale()
    const clip = (value: number): number => Math.max(-bound, Math.min(bound, value))
    this.step.gradients[0] += clip(dStep)
    this.range.gradients[0] += clip(dRange)
  }
  /** bits = log2(x_max / d + 1) + sign; straight through. */
  penalty(dBits: number): void {
    const scale = this.scale()
    const range = this.range.values[0]
    const slope = 1 / (Math.LN2 * (range + scale))
    this.backward((-dBits * slope * range) / scale, dBits * slope)
  }
  /** smallestScale <= d <= x_max, and no more than 8 bits. */
  constrain(): void {
    const { values: step } = this.step
    const { values: range } = this.range
    range[0] = Math.max(smallestScale, range[0])
    const least = 2 ** Math.ceil(Math.log2(range[0] / this.largestLimit))
    step[0] = Math.max(smallestScale, least, Math.min(range[0], step[0]))
  }
}

export class LearnedRange extends UniformWeightQuantizer {
  private readonly initialBits: number
  private readonly grid = new StepAndRange(true)
  private readonly groupsOfParameters: readonly ParameterGroup[]

  /**
   * Bits at the start, 2 to 8.
   * @throws UsageError for granularity 'channel'.
   */
  constructor(size: number, channels: number, options: WeightQuantizerOptions) {
    super('learned range', 2, size, channels, options)
    if (options.granularity === 'channel') throw new UsageError('learned range: one step per tensor; use granularity "tensor"')
    this.initialBits = options.bits
    this.groupsOfParameters = [this.grid.step, this.grid.range]
  }

  initialize(weights: Float32Array): void {
    const limit = signedLimit(this.initialBits)
    this.grid.start(powerOfTwoStep(this.magnitudesOf(weights, 0), limit), limit)
  }

  bits(): number {
    return this.grid.bits()
  }
  override parameters(): readonly ParameterGroup[] {
    return this.groupsOfParameters
  }
  override penaltyGradient(dBits: number): void {
    this.grid.penalty(dBits)
  }
  override constrain(): void {
    this.grid.constrain()
  }
  protected override limit(): number {
    return this.grid.limit()
  }
  /** Its range is learned, not a power of two: zero stays a level. */
  protected override isOdd(): boolean {
    return false
  }
  protected scales(): Float32Array {
    return Float32Array.of(this.grid.scale())
  }

  backward(weights: Float32Array, dOut: Float32Array, dWeights: Float32Array): void {
    const scale = this.grid.scale()
    const limit = this.limit()
    let dStep = 0
    let dRange = 0
    for (let i = 0; i < this.size; i++) {
      const ratio = weights[i] / scale
      if (Math.abs(ratio) <= limit) {
        dWeights[i] += dOut[i]
        dStep += dOut[i] * (quantize(weights[i], scale, limit) - ratio)
      } else {
        dRange += dOut[i] * Math.sign(ratio)
      }
    }
    this.grid.backward(dStep, dRange)
  }
}
