// The regression against explicit leave-one-out fits in float64, and what it is for: scores of networks that nobody scored.
import { Random } from '@bitwright/engine'
import { describe, expect, it } from 'vitest'
import { Surrogate, type ScoredGenes } from './surrogate.ts'

const options = [3, 3, 3, 2, 4, 3, 3, 7, 3, 2]

/** Every option of every choice gains something of its own; `noise` is what a score is off by. */
function additive(seed: number, count: number, noise: number): { samples: ScoredGenes[]; truth: (genes: readonly number[]) => number } {
  const gains = new Random(seed, 'gains')
  const table = options.map((length) => Array.from({ length }, () => gains.uniform(-1, 1)))
  const truth = (genes: readonly number[]) => genes.reduce((sum, gene, i) => sum + table[i][gene], 60)
  const random = new Random(seed, 'samples')
  const samples = Array.from({ length: count }, () => {
    const genes = options.map((length) => random.integer(length))
    return { genes, score: truth(genes) + noise * random.uniform(-1, 1) }
  })
  return { samples, truth }
}

describe('Surrogate', () => {
  it('knows sums of what options gain, from a few dozen scores', () => {
    const { samples, truth } = additive(1, 80, 0)
    const surrogate = new Surrogate(samples)
    const fresh = additive(1, 300, 0).samples.slice(80)
    for (const { genes } of fresh) expect(Math.abs(surrogate.predict(genes) - truth(genes))).toBeLessThan(0.05)
    expect(surrogate.leaveOneOutError).toBeLessThan(0.05)
  })

  it('is nearer to the truth of what was not scored than a noisy score is', () => {
    for (let seed = 2; seed < 8; seed++) {
      const { samples, truth } = additive(seed, 120, 2.5)
      const surrogate = new Surrogate(samples)
      const fresh = additive(seed, 320, 2.5).samples.slice(120)
      const real = fresh.map(({ genes }) => truth(genes))
      const predicted = correlation(
        fresh.map(({ genes }) => surrogate.predict(genes)),
        real,
      )
      const scored = correlation(
        fresh.map(({ score }) => score),
        real,
      )
      expect(predicted).toBeGreaterThan(scored)
    }
  })

  it('gives the leave-one-out error of its ridge, which no other ridge beats', () => {
    const { samples } = additive(3, 24, 1)
    const { ridge, leaveOneOutError } = new Surrogate(samples)
    expect(leaveOneOutError).toBeCloseTo(explicitError(samples, ridge), 9)
    for (const other of [1e-3, 0.1, 10]) expect(leaveOneOutError).toBeLessThanOrEqual(explicitError(samples, other) + 1e-12)
  })

  it('says the mean where scores tell nothing, and takes two', () => {
    const genes = (a: number) => [a, ...options.slice(1).map(() => 0)]
    const two = new Surrogate([
      { genes: genes(0), score: 0.4 },
      { genes: genes(1), score: 0.6 },
    ])
    expect(two.predict(genes(2))).toBeCloseTo(0.5, 9)
    expect(two.predict(genes(1))).toBeGreaterThan(two.predict(genes(0)))
  })
})

/** Each score from all others by normal equations on the one-hot codes, around the mean of all. */
function explicitError(samples: readonly ScoredGenes[], ridge: number): number {
  const mean = samples.reduce((sum, { score }) => sum + score, 0) / samples.length
  const code = ({ genes }: ScoredGenes) => genes.flatMap((gene, i) => oneHot(gene, options[i]))
  let squares = 0
  for (const left of samples) {
    const others = samples.filter((sample) => sample !== left)
    const rows = others.map(code)
    // minimises sum (x.w - y)^2 / choices + ridge |w|^2 by solving the normal equations
    const size = rows[0].length
    const a = Array.from({ length: size }, (_, i) =>
      Array.from({ length: size }, (_, j) => rows.reduce((sum, row) => sum + row[i] * row[j], 0) / options.length + (i === j ? ridge : 0)),
    )
    const b = Array.from({ length: size }, (_, i) => rows.reduce((sum, row, k) => sum + row[i] * (others[k].score - mean), 0))
    const w = solve(a, b)
    const predicted = mean + code(left).reduce((sum, x, i) => sum + x * w[i], 0) / options.length
    squares += (left.score - predicted) ** 2
  }
  return Math.sqrt(squares / samples.length)
}

/** Pearson's. */
function correlation(a: readonly number[], b: readonly number[]): number {
  const centred = (values: readonly number[]) => {
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length
    return values.map((value) => value - mean)
  }
  const [x, y] = [centred(a), centred(b)]
  const product = (one: readonly number[], other: readonly number[]) => one.reduce((sum, value, i) => sum + value * other[i], 0)
  return product(x, y) / Math.sqrt(product(x, x) * product(y, y))
}

const oneHot = (index: number, length: number): number[] => Array.from({ length }, (_, i) => (i === index ? 1 : 0))

/** Gaussian elimination with pivoting. */
function solve(a: number[][], b: number[]): number[] {
  const rows = a.map((row, i) => [...row, b[i]])
  for (let p = 0; p < rows.length; p++) {
    const best = rows.reduce((at, row, i) => (i >= p && Math.abs(row[p]) > Math.abs(rows[at][p]) ? i : at), p)
    ;[rows[p], rows[best]] = [rows[best], rows[p]]
    for (let i = 0; i < rows.length; i++) {
      if (i === p) continue
      const factor = rows[i][p] / rows[p][p]
      for (let j = p; j <= rows.length; j++) rows[i][j] -= factor * rows[p][j]
    }
  }
  return rows.map((row, i) => row[rows.length] / row[i])
}
