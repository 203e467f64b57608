// Activations with a learned step for every width (LSQ, arXiv 1902.08153, section 2.1): the activation side of latent-bits.ts.
import { largestInteger } from './activation-quantizer.ts'
import type { ActivationStatistics } from './activation-statistics.ts'
import { BitSharingActivation, type BitSharingActivationOptions } from './bit-sharing.ts'
import { ParameterGroup, smallestScale } from './uniform.ts'

export class LatentBitsActivation extends BitSharingActivation {
  /** By width, as in `widths`. */
  private readonly steps: readonly ParameterGroup[]

  /** Widths 2 to 8. */
  constructor(options: BitSharingActivationOptions) {
    super('latent bits', options)
    this.steps = this.widths.map(() => new ParameterGroup(1))
    for (const step of this.steps) step.set([1])
  }

  initialize(statistics: ActivationStatistics): void {
    this.steps.forEach((step, i) => step.set([statistics.optimalStep(largestInteger(this.widths[i], this.signed))]))
  }
  parameters(): readonly ParameterGroup[] {
    return this.steps
  }
  private step(): ParameterGroup {
    return this.steps[this.widths.indexOf(this.bits())]
  }
  protected scale(): number {
    return this.step().values[0]
  }
  constrain(): void {
    for (const { values } of this.steps) values[0] = Math.max(smallestScale, values[0])
  }
  backward(inside: number, low: number, high: number): void {
    const { minimum, maximum } = this.grid()
    this.step().gradients[0] += inside + minimum * low + maximum * high
  }
}
