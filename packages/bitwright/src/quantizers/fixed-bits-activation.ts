// Activations of fixed width with one learned number: the step (LSQ, arXiv 1902.08153, gradient times 1 / sqrt(elements * qmax), section
// 2.2) or the range alpha = step * qmax (as in arXiv 2104.06666 for fixed widths). Both start at the MSE-optimal step.
import { ActivationQuantizer, type ActivationQuantizerOptions } from './activation-quantizer.ts'
import type { ActivationStatistics } from './activation-statistics.ts'
import { ParameterGroup, smallestScale } from './uniform.ts'

export class FixedBitsActivation extends ActivationQuantizer {
  /** The step, or the range. */
  private readonly learned = new ParameterGroup(1)
  private readonly groupsOfParameters = [this.learned]
  private readonly stepsPerUnit: number
  private readonly gradientScale: number

  /** `learn`: default 'step'. */
  constructor(options: ActivationQuantizerOptions & { readonly learn?: 'step' | 'range' }) {
    super('fixed bits', options)
    const limit = this.limit()
    const isStep = (options.learn ?? 'step') === 'step'
    this.stepsPerUnit = isStep ? 1 : limit
    this.gradientScale = isStep ? 1 / Math.sqrt(this.elements * limit) : 1
    this.learned.set([1])
  }

  initialize(statistics: ActivationStatistics): void {
    this.learned.set([statistics.optimalStep(this.limit()) * this.stepsPerUnit])
  }
  bits(): number {
    return this.initialBits
  }
  parameters(): readonly ParameterGroup[] {
    return this.groupsOfParameters
  }
  protected scale(): number {
    return this.learned.values[0] / this.stepsPerUnit
  }
  constrain(): void {
    this.learned.values[0] = Math.max(smallestScale * this.stepsPerUnit, this.learned.values[0])
  }
  backward(inside: number, low: number, high: number): void {
    const { minimum, maximum } = this.grid()
    const dStep = inside + minimum * low + maximum * high
    this.learned.gradients[0] += (this.gradientScale * dStep) / this.stepsPerUnit
  }
}
