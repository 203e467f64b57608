// Activations whose grids nest, with one learned range for all widths: the activation side of nested-bits.ts. Unsigned the grids reach the
// same largest value, 3 = 15 / 5 = 255 / 85 steps; signed their steps are powers of four apart, from -2, -8 and -128 steps on.
import type { ActivationStatistics } from './activation-statistics.ts'
import { largestInteger } from './activation-quantizer.ts'
import { BitSharingActivation, type BitSharingActivationOptions, coarse, geometricMean } from './bit-sharing.ts'
import { nestedWidths } from './nested-bits.ts'
import { ParameterGroup, smallestScale } from './uniform.ts'

/** Steps of the 8-bit grid in the range, and in a step of each width. */
const unsignedSteps = { range: 255, 2: 85, 4: 17, 8: 1 } as const
const signedSteps = { range: 128, 2: 64, 4: 16, 8: 1 } as const

export class NestedBitsActivation extends BitSharingActivation {
  private readonly range = new ParameterGroup(1)
  private readonly groupsOfParameters = [this.range]
  private readonly steps: typeof unsignedSteps | typeof signedSteps

  /** Widths 2, 4, 8 or some of them. */
  constructor(options: BitSharingActivationOptions) {
    super('nested bits', options, nestedWidths)
    this.steps = options.signed ? signedSteps : unsignedSteps
    this.range.set([1])
  }

  /** At the mean of the ranges of least squared error of all widths. */
  initialize(statistics: ActivationStatistics): void {
    const ranges = this.widths.map((bits) => statistics.optimalStep(largestInteger(bits, this.signed)) * this.rangeInSteps(bits))
    this.range.set([geometricMean(ranges)])
  }
  private rangeInSteps(bits: number): number {
    return this.steps.range / this.steps[bits as 2 | 4 | 8]
  }

  parameters(): readonly ParameterGroup[] {
    return this.groupsOfParameters
  }
  protected scale(): number {
    return coarse(this.range.values[0] / this.steps.range) * this.steps[this.bits() as 2 | 4 | 8]
  }
  constrain(): void {
    this.range.values[0] = Math.max(smallestScale * this.steps.range, this.range.values[0])
  }
  backward(inside: number, low: number, high: number): void {
    const { minimum, maximum } = this.grid()
    this.range.gradients[0] += (inside + minimum * low + maximum * high) / this.rangeInSteps(this.bits())
  }
}
