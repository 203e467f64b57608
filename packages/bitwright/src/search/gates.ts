// Binary gates over the options of each choice (ProxylessNAS, arXiv 1812.00332, section 3.2; as used by arXiv 2012.10138 and 2104.06666):
// one path is sampled from softmax(alpha), the loss's gradient to every gate g_k is <output of option k, gradient of the sum>, and
// dL/dalpha_i = sum_k dL/dg_k p_k (delta_ik - p_i). The expected-operations term reaches alpha through p. Pure arithmetic; what it costs
// to get dL/dg is in proxyless.ts.
import type { Random } from '@bitwright/engine'

export function softmax(alpha: ArrayLike<number>): number[] {
  const largest = Math.max(...Array.from(alpha))
  const powers = Array.from(alpha, (a) => Math.exp(a - largest))
  const sum = powers.reduce((total, power) => total + power, 0)
  return powers.map((power) => power / sum)
}

/** dL/dalpha from dL/dgate through p = softmax(alpha): p_i (dL/dg_i - sum_k p_k dL/dg_k). */
export function alphaGradient(p: readonly number[], dGates: readonly number[]): number[] {
  const mean = p.reduce((sum, pk, k) => sum + pk * dGates[k], 0)
  return p.map((pi, i) => pi * (dGates[i] - mean))
}

export interface GatesOptions {
  /** Operations of every option, [choice][option], and of what is fixed. */
  readonly optionMacs: readonly (readonly number[])[]
  readonly fixedMacs: number
  /** Expected operations the penalty is measured against; with a budget, the budget. */
  readonly referenceMacs: number
  /** Exponent of the operations term at the start. */
  readonly beta: number
  /** Whether the exponent follows the budget: it rises while the expected operations are above the reference. */
  readonly adaptive: boolean
}

/** What the exponent moves per architecture step and relative excess. Our own addition, so that the mean of the gates meets a budget. */
const betaRate = 0.15
const betaLimit = 30

export class Gates {
  readonly alpha: Float64Array[]
  private readonly options: GatesOptions
  private readonly second: Float64Array[]
  private updates = 0
  private beta: number

  /** alpha starts normal with deviation 1e-3. */
  constructor(options: GatesOptions, random: Random) {
    this.options = options
    this.beta = options.beta
    this.alpha = options.optionMacs.map((macs) => Float64Array.from(macs, () => random.normal() * 1e-3))
    this.second = options.optionMacs.map((macs) => new Float64Array(macs.length))
  }

  probabilities(): number[][] {
    return this.alpha.map(softmax)
  }

  /** One option per choice: uniform while weights warm up, from the gates afterwards. */
  sample(random: Random, uniform: boolean): number[] {
    return this.alpha.map((alpha) => {
      if (uniform) return random.integer(alpha.length)
      const p = softmax(alpha)
      let rest = random.uniform()
      for (let i = 0; i < p.length; i++) {
        rest -= p[i]
        if (rest < 0) return i
      }
      return p.length - 1
    })
  }

  expectedMacs(): number {
    return this.probabilities().reduce(
      (sum, p, choice) => sum + p.reduce((inner, pi, i) => inner + pi * this.options.optionMacs[choice][i], 0),
      this.options.fixedMacs,
    )
  }

  /**
   * One Adam step (beta1 0, beta2 0.999) on L = CE (log E[ops] / log reference)^beta.
   * @param crossEntropy the loss of the sampled path
   * @param dGates dCE/dgate, [choice][option]
   */
  update(crossEntropy: number, dGates: readonly (readonly number[])[], learningRate: number): void {
    const { optionMacs, referenceMacs, adaptive } = this.options
    const expected = this.expectedMacs()
    const ratio = Math.log(expected) / Math.log(referenceMacs)
    const weight = ratio ** this.beta
    const dExpected = (crossEntropy * this.beta * ratio ** (this.beta - 1)) / (expected * Math.log(referenceMacs))
    this.updates++
    const p = this.probabilities()
    this.alpha.forEach((alpha, choice) => {
      const fromLoss = alphaGradient(p[choice], dGates[choice])
      const fromMacs = alphaGradient(p[choice], optionMacs[choice])
      for (let i = 0; i < alpha.length; i++) {
        const gradient = weight * fromLoss[i] + dExpected * fromMacs[i]
        this.second[choice][i] = 0.999 * this.second[choice][i] + 0.001 * gradient ** 2
        alpha[i] -= (learningRate * gradient) / (Math.sqrt(this.second[choice][i] / (1 - 0.999 ** this.updates)) + 1e-8)
      }
    })
    if (adaptive) this.beta = Math.min(betaLimit, Math.max(0, this.beta + betaRate * (expected / referenceMacs - 1)))
  }

  state(): number[][] {
    return [[this.updates, this.beta], ...this.alpha.map((row) => [...row]), ...this.second.map((row) => [...row])]
  }

  restore([[updates, beta], ...rows]: readonly (readonly number[])[]): void {
    this.updates = updates
    this.beta = beta
    this.alpha.forEach((row, i) => row.set(rows[i]))
    this.second.forEach((row, i) => row.set(rows[this.alpha.length + i]))
  }
}
