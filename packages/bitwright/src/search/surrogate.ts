// What a network that was not scored would score, from those that were: ridge regression on which option every choice takes (surrogates in
// evolutionary search: Lu et al., "NSGANetV2", arXiv 2007.10396). Ours: the model is linear, as widths and blocks each cost or gain about the same
// wherever they stand, and its ridge is the one with the least leave-one-out error.

export interface ScoredGenes {
  readonly genes: readonly number[]
  readonly score: number
}

/** Candidates for the ridge, in shares of the kernel's diagonal. */
const ridges = [1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1, 3, 10]

/** Share of the choices in which two networks agree: the inner product of their one-hot codes, over the number of choices. */
function agreement(a: readonly number[], b: readonly number[]): number {
  let same = 0
  for (let i = 0; i < a.length; i++) if (a[i] === b[i]) same++
  return a.length > 0 ? same / a.length : 1
}

/** Inverse of a symmetric positive definite matrix [n][n] by Gauss-Jordan elimination, in place. */
function invert(matrix: Float64Array, n: number): void {
  for (let pivot = 0; pivot < n; pivot++) {
    const scale = 1 / matrix[pivot * n + pivot]
    matrix[pivot * n + pivot] = 1
    for (let column = 0; column < n; column++) matrix[pivot * n + column] *= scale
    for (let row = 0; row < n; row++) {
      const factor = matrix[row * n + pivot]
      if (row === pivot || factor === 0) continue
      matrix[row * n + pivot] = 0
      for (let column = 0; column < n; column++) matrix[row * n + column] -= factor * matrix[pivot * n + column]
    }
  }
}

export class Surrogate {
  /** Share of the kernel's diagonal that was added to it. */
  readonly ridge: number
  /** Root of the mean squared error of each score, predicted from all others. */
  readonly leaveOneOutError: number
  private readonly mean: number
  /** What every option of every choice adds. */
  private readonly gains: readonly ReadonlyMap<number, number>[]

  /** @param samples at least two, each of other genes */
  constructor(samples: readonly ScoredGenes[]) {
    const n = samples.length
    this.mean = samples.reduce((sum, { score }) => sum + score, 0) / n
    const kernel = new Float64Array(n * n)
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) kernel[i * n + j] = agreement(samples[i].genes, samples[j].genes)
    const fits = ridges.map((ridge) => {
      const inverse = kernel.slice()
      for (let i = 0; i < n; i++) inverse[i * n + i] += ridge
      invert(inverse, n)
      const weights = new Float64Array(n)
      let squares = 0
      for (let i = 0; i < n; i++) {
        for (let j = 0; j < n; j++) weights[i] += inverse[i * n + j] * (samples[j].score - this.mean)
        squares += (weights[i] / inverse[i * n + i]) ** 2
      }
      return { ridge, weights, error: Math.sqrt(squares / n) }
    })
    const best = fits.reduce((one, other) => (other.error < one.error ? other : one))
    this.ridge = best.ridge
    this.leaveOneOutError = best.error
    this.gains = samples[0].genes.map((_, choice) => {
      const gain = new Map<number, number>()
      for (const [i, { genes }] of samples.entries())
        gain.set(genes[choice], (gain.get(genes[choice]) ?? 0) + best.weights[i] / genes.length)
      return gain
    })
  }

  predict(genes: readonly number[]): number {
    return genes.reduce((sum, gene, choice) => sum + (this.gains[choice].get(gene) ?? 0), this.mean)
  }
}
