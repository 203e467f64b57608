// Activations with learned power-of-two step and learned range, width inferred (arXiv 1905.11452; papers.md section 11): for values that
// cannot be negative bits = ceil(log2(x_max / d + 1)), one more for the sign. d has its gradient from inside the range, x_max from outside.
import { ActivationQuantizer, largestInteger, type ActivationQuantizerOptions } from './activation-quantizer.ts'
import type { ActivationStatistics } from './activation-statistics.ts'
import { StepAndRange } from './learned-range.ts'
import type { ParameterGroup } from './uniform.ts'

export class LearnedRangeActivation extends ActivationQuantizer {
  private readonly stepAndRange: StepAndRange
  private readonly groupsOfParameters: readonly ParameterGroup[]

  constructor(options: ActivationQuantizerOptions) {
    super('learned range', options)
    this.stepAndRange = new StepAndRange(options.signed)
    this.stepAndRange.start(1, largestInteger(options.bits, options.signed))
    this.groupsOfParameters = [this.stepAndRange.step, this.stepAndRange.range]
  }

  initialize(statistics: ActivationStatistics): void {
    const limit = largestInteger(this.initialBits, this.signed)
    this.stepAndRange.start(statistics.powerOfTwoStep(limit), limit)
  }
  bits(): number {
    return this.stepAndRange.bits()
  }
  parameters(): readonly ParameterGroup[] {
    return this.groupsOfParameters
  }
  protected scale(): number {
    return this.stepAndRange.scale()
  }
  protected override limit(): number {
    return this.stepAndRange.limit()
  }
  constrain(): void {
    this.stepAndRange.constrain()
  }
  override penaltyGradient(dBits: number): void {
    this.stepAndRange.penalty(dBits)
  }
  backward(inside: number, low: number, high: number): void {
    // the lowest level is -range - step
    this.stepAndRange.backward(inside - (this.signed ? low : 0), high - (this.signed ? low : 0))
  }
}
