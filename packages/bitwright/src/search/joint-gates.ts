// Gates over every choice of a space, paths, sizes and bits alike, learned towards CE + sum_m lambda_m log(E[cost_m] / limit_m): HQNAS's
// hardware-aware objective (arXiv 2210.08485) in our own form, for the paper does not say how its cost is expected. Any cost model will do:
// the cost of the sampled path with one choice set to another option is an unbiased derivative of the expected cost by that option's
// probability, so nothing need be additive. Paths and bits learn from gate gradients; sizes, which cannot be computed in each other's
// stead, by the score function (Williams 1992) with a moving baseline. Each lambda follows its own limit.
import type { Random } from '@bitwright/engine'
import type { Choice } from '../spaces/space.ts'
import { alphaGradient, softmax } from './gates.ts'

export interface JointStep {
  readonly sampled: readonly number[]
  /** Cross-entropy of the sampled path. */
  readonly loss: number
  /** dCE/dgate by choice index; a choice without them learns by the score function. */
  readonly dGates: ReadonlyMap<number, readonly number[]>
  /** By choice index, [option][limit]: what the sampled path costs with this option in its place. Of some choices or of all. */
  readonly swaps: ReadonlyMap<number, readonly (readonly number[])[]>
}

/** What a lambda moves per step and relative excess, and where it stands still. */
const lambdaRate = 0.05
const firstLambda = 0.05
const mostLambda = 20
/** Of the moving means of costs and of the baseline. */
const memory = 0.9

export class JointGates {
  readonly alpha: Float64Array[]
  private readonly choices: readonly Choice[]
  private readonly limits: readonly number[]
  private readonly second: Float64Array[]
  private readonly lambda: number[]
  private expected: number[] = []
  private baseline: number | undefined
  private updates = 0

  constructor(choices: readonly Choice[], limits: readonly number[], random: Random) {
    this.choices = choices
    this.limits = limits
    this.lambda = limits.map(() => firstLambda)
    this.alpha = choices.map(({ options }) => Float64Array.from(options, () => random.normal() * 1e-3))
    this.second = choices.map(({ options }) => new Float64Array(options.length))
  }

  probabilities(): number[][] {
    return this.alpha.map(softmax)
  }

  sample(random: Random): number[] {
    return this.probabilities().map((p) => {
      let rest = random.uniform()
      for (let i = 0; i < p.length; i++) {
        rest -= p[i]
        if (rest < 0) return i
      }
      return p.length - 1
    })
  }

  /** Costs to be expected, by limit, as far as samples have told. */
  expectedCosts(): readonly number[] {
    return this.expected
  }

  lambdas(): readonly number[] {
    return this.lambda
  }

  /**
   * An unbiased estimate of dE[cost]/dalpha, [choice][option], from swaps of a sampled path. Where only some choices were swapped they stand
   * for all: each is as often among them.
   */
  costGradient(swaps: JointStep['swaps'], limit: number): number[][] {
    const p = this.probabilities()
    const factor = this.choices.length / Math.max(1, swaps.size)
    return p.map((row, choice) => {
      const costs = swaps.get(choice)
      if (!costs) return row.map(() => 0)
      return alphaGradient(
        row,
        costs.map((cost) => factor * cost[limit]),
      )
    })
  }

  /** One Adam step (beta1 0, beta2 0.999), and one of every lambda. */
  update({ sampled, loss, dGates, swaps }: JointStep, learningRate: number): void {
    const p = this.probabilities()
    this.expected = this.limits.map((_, limit) => {
      const means = [...swaps].map(([choice, costs]) => costs.reduce((sum, cost, option) => sum + p[choice][option] * cost[limit], 0))
      const mean = means.reduce((sum, each) => sum + each, 0) / Math.max(1, means.length)
      const known = this.expected[limit]
      return known === undefined ? mean : memory * known + (1 - memory) * mean
    })
    const advantage = loss - (this.baseline ?? loss)
    this.baseline = this.baseline === undefined ? loss : memory * this.baseline + (1 - memory) * loss
    const ofCosts = this.limits.map((_, limit) => this.costGradient(swaps, limit))
    this.updates++
    this.alpha.forEach((alpha, choice) => {
      const known = dGates.get(choice)
      const ofLoss = known
        ? alphaGradient(p[choice], known)
        : p[choice].map((pi, option) => advantage * ((sampled[choice] === option ? 1 : 0) - pi))
      for (let i = 0; i < alpha.length; i++) {
        const gradient = ofCosts.reduce(
          (sum, ofCost, limit) => sum + (this.lambda[limit] * ofCost[choice][i]) / this.expected[limit],
          ofLoss[i],
        )
        this.second[choice][i] = 0.999 * this.second[choice][i] + 0.001 * gradient ** 2
        alpha[i] -= (learningRate * gradient) / (Math.sqrt(this.second[choice][i] / (1 - 0.999 ** this.updates)) + 1e-8)
      }
    })
    this.limits.forEach((limit, i) => {
      const moved = this.lambda[i] + lambdaRate * (this.expected[i] / limit - 1)
      this.lambda[i] = Math.min(mostLambda, Math.max(0, moved))
    })
  }

  state(): number[][] {
    const numbers = [this.updates, ...(this.baseline === undefined ? [] : [this.baseline])]
    return [numbers, [...this.lambda], [...this.expected], ...this.alpha.map((row) => [...row]), ...this.second.map((row) => [...row])]
  }

  restore([[updates, baseline], lambda, expected, ...rows]: readonly (readonly number[])[]): void {
    this.updates = updates
    this.baseline = baseline
    lambda.forEach((value, i) => (this.lambda[i] = value))
    this.expected = [...expected]
    this.alpha.forEach((row, i) => row.set(rows[i]))
    this.second.forEach((row, i) => row.set(rows[this.alpha.length + i]))
  }
}
