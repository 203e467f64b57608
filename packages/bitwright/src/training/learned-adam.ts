// Adam (Kingma and Ba 2015, arXiv 1412.6980, algorithm 1) on the numbers that quantizers learn. Those that decide widths move by bits, not by the
// learning rate.
import type { LearnedParameters } from '../quantizers/index.ts'

const [beta1, beta2] = [0.9, 0.999]

interface Moments {
  readonly parameters: LearnedParameters
  readonly first: Float64Array
  readonly second: Float64Array
}

export class LearnedAdam {
  private readonly moments: readonly Moments[]
  private readonly widths: ReadonlyMap<LearnedParameters, 1 | undefined>
  private readonly sparse: boolean
  private count = 0

  /**
   * @param widths the numbers that decide widths, with what one bit is to them: 1, or undefined where it is a factor of two
   * @param sparse numbers without any gradient, which no path used, stand still
   */
  constructor(learned: readonly LearnedParameters[], widths: ReadonlyMap<LearnedParameters, 1 | undefined>, sparse = false) {
    this.widths = widths
    this.sparse = sparse
    this.moments = learned.map((parameters) => ({
      parameters,
      first: new Float64Array(parameters.values.length),
      second: new Float64Array(parameters.values.length),
    }))
  }

  get updates(): number {
    return this.count
  }

  /** One step; gradients are zero after it. @param widthStep in bits @param frozen widths stand still */
  step(rate: number, widthStep: number, frozen: boolean): void {
    this.count++
    for (const { parameters, first, second } of this.moments) {
      const { values, gradients, learningRateScale } = parameters
      const isWidth = this.widths.has(parameters)
      const still = frozen && isWidth
      // a step or range that doubles or halves is a bit
      const unit = this.widths.get(parameters) ?? Math.LN2 * values[0]
      const length = isWidth ? widthStep * unit : rate * learningRateScale
      for (let i = 0; i < values.length; i++) {
        if (!still && !(this.sparse && gradients[i] === 0)) {
          first[i] = beta1 * first[i] + (1 - beta1) * gradients[i]
          second[i] = beta2 * second[i] + (1 - beta2) * gradients[i] ** 2
          const step = first[i] / (1 - beta1 ** this.count) / (Math.sqrt(second[i] / (1 - beta2 ** this.count)) + 1e-12)
          values[i] -= length * step
        }
        gradients[i] = 0
      }
    }
  }

  /** First and second moments in turn; with `updates` everything that the next step depends on. */
  state(): number[][] {
    return this.moments.flatMap(({ first, second }) => [[...first], [...second]])
  }

  restore(updates: number, state: readonly (readonly number[])[]): void {
    this.count = updates
    this.moments.forEach(({ first, second }, i) => {
      first.set(state[2 * i])
      second.set(state[2 * i + 1])
    })
  }
}
