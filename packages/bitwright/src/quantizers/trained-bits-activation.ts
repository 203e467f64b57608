// Activations of trained width (arXiv 2104.06666; Brevitas's mechanics, papers.md section 2): range alpha and width b = round(|offset| + 2)
// are learned, s = alpha / qmax(b). What is clipped comes out as alpha (or -alpha) whatever the width, so only what is inside the range
// has a gradient to the width: dLoss/db = inside * ds/db = -inside * alpha * qmax'(b) / qmax(b)^2. At least 2 bits; ours: at most 8.
import { ActivationQuantizer, type ActivationQuantizerOptions } from './activation-quantizer.ts'
import type { ActivationStatistics } from './activation-statistics.ts'
import { TrainedWidth } from './trained-bits.ts'
import { checkBits, ParameterGroup, smallestScale } from './uniform.ts'

export class TrainedBitsActivation extends ActivationQuantizer {
  private readonly range = new ParameterGroup(1)
  private readonly width: TrainedWidth
  private readonly groupsOfParameters: readonly ParameterGroup[]

  /** Bits at the start, 2 to 8. `width`: shared with what the same layer multiplies. */
  constructor(options: ActivationQuantizerOptions, width = new TrainedWidth(options.bits)) {
    super('trained bits', options)
    checkBits('trained bits', options.bits, 2)
    this.width = width
    this.range.set([1])
    this.groupsOfParameters = [this.range, this.width.offset]
  }

  initialize(statistics: ActivationStatistics): void {
    this.width.start(this.initialBits)
    this.range.set([statistics.optimalStep(this.limit()) * this.limit()])
  }
  bits(): number {
    return this.width.bits()
  }
  parameters(): readonly ParameterGroup[] {
    return this.groupsOfParameters
  }
  protected override scales(): readonly ParameterGroup[] {
    return [this.range]
  }
  protected scale(): number {
    return this.range.values[0] / this.limit()
  }
  constrain(): void {
    this.range.values[0] = Math.max(255 * smallestScale, this.range.values[0])
    this.width.constrain()
  }
  override penaltyGradient(dBits: number): void {
    this.width.backward(dBits)
  }
  backward(inside: number, low: number, high: number): void {
    const { minimum, maximum: limit } = this.grid()
    const slope = Math.LN2 * (limit + 1)
    this.range.gradients[0] += inside / limit + high + (minimum / limit) * low
    // the lowest level is -range - step, and the step is shorter with more bits
    const dStep = inside + (this.signed ? -low : 0)
    this.width.backward((-dStep * this.range.values[0] * slope) / limit ** 2)
  }
}
