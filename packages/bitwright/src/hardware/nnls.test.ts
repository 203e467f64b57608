import { Random } from '@bitwright/engine'
import { expect, it } from 'vitest'
import { nonNegativeLeastSquares, type Row } from './nnls.ts'

function randomRows(random: Random, count: number, columns: number): Row[] {
  const real = () => random.uniform() * 2 - 1
  return Array.from({ length: count }, () => ({
    terms: Array.from({ length: columns }, (_, i) => [i, real() * 10 ** (i % 3)] as const),
    target: real(),
  }))
}

/** Of half the sum of squares. */
const gradients = (rows: readonly Row[], x: Float64Array): number[] =>
  Array.from(x, (_, column) =>
    rows.reduce((sum, { terms, target }) => {
      const rest = terms.reduce((total, [i, value]) => total + value * x[i], -target)
      return sum + rest * (terms.find(([i]) => i === column)?.[1] ?? 0)
    }, 0),
  )

it('ends where no coefficient can improve: the conditions of Karush, Kuhn and Tucker', () => {
  const random = new Random(3, 'nnls')
  let atZero = 0
  for (let round = 0; round < 60; round++) {
    const columns = 1 + (round % 12)
    const rows = randomRows(random, 2 + round, columns)
    const x = nonNegativeLeastSquares(rows, columns)
    const slope = gradients(rows, x)
    for (const [i, value] of x.entries()) {
      expect(value).toBeGreaterThanOrEqual(0)
      const scale = 1e-6 * 10 ** (i % 3) * rows.length
      if (value > 0) expect(Math.abs(slope[i])).toBeLessThan(scale)
      else expect(slope[i]).toBeGreaterThan(-scale)
      if (value === 0) atZero++
    }
  }
  expect(atZero).toBeGreaterThan(50)
})

it('takes either of two columns that are the same, and none of an empty one', () => {
  const rows = [1, 2, 3].map((value): Row => ({ terms: [[0, value] as const, [1, value] as const], target: 5 * value }))
  const x = nonNegativeLeastSquares(rows, 3)
  expect(x[0] + x[1]).toBeCloseTo(5, 8)
  expect(x[2]).toBe(0)
})
