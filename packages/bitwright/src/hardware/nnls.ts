// Least squares with no negative coefficient: the active-set method of Lawson and Hanson (Solving Least Squares Problems, 1974, chapter 23),
// on the normal equations, whose columns are scaled to length one first.

export interface Row {
  /** Column and value; others are 0. */
  readonly terms: readonly (readonly [column: number, value: number])[]
  readonly target: number
}

const tolerance = 1e-10

/** @returns x of `columns` numbers, none below 0, with the least sum of (row . x - target)^2 */
export function nonNegativeLeastSquares(rows: readonly Row[], columns: number): Float64Array {
  const gram = Array.from({ length: columns }, () => new Float64Array(columns))
  const right = new Float64Array(columns)
  for (const { terms, target } of rows) {
    for (const [i, a] of terms) {
      right[i] += a * target
      for (const [j, b] of terms) gram[i][j] += a * b
    }
  }
  const scale = Float64Array.from(gram, (row, i) => (row[i] > 0 ? 1 / Math.sqrt(row[i]) : 0))
  for (let i = 0; i < columns; i++) {
    right[i] *= scale[i]
    for (let j = 0; j < columns; j++) gram[i][j] *= scale[i] * scale[j]
  }
  return solve(gram, right).map((value, i) => value * scale[i])
}

function solve(gram: readonly Float64Array[], right: Float64Array): Float64Array {
  const columns = right.length
  const x = new Float64Array(columns)
  const passive = new Set<number>()
  const refused = new Set<number>()
  const size = Math.max(1e-300, ...right.map(Math.abs))
  for (let round = 0; round < 10 * columns; round++) {
    const gradient = right.map((value, i) => value - gram[i].reduce((sum, g, j) => sum + g * x[j], 0))
    let best = -1
    for (let i = 0; i < columns; i++) {
      if (!passive.has(i) && !refused.has(i) && gram[i][i] > 0 && (best < 0 || gradient[i] > gradient[best])) best = i
    }
    if (best < 0 || gradient[best] <= tolerance * size) break
    passive.add(best)
    for (;;) {
      const held = [...passive]
      const wanted = solveSymmetric(gram, right, held)
      if (wanted === undefined) {
        // a column that the others already make
        passive.delete(best)
        refused.add(best)
        break
      }
      if (wanted.every((value) => value > 0)) {
        x.fill(0)
        held.forEach((column, i) => (x[column] = wanted[i]))
        refused.clear()
        break
      }
      let step = 1
      held.forEach((column, i) => {
        if (wanted[i] <= 0) step = Math.min(step, x[column] / (x[column] - wanted[i]))
      })
      held.forEach((column, i) => {
        x[column] += step * (wanted[i] - x[column])
        if (x[column] <= 1e-14) {
          x[column] = 0
          passive.delete(column)
          if (column === best) refused.add(column)
        }
      })
    }
  }
  return x
}

/** Cholesky on the columns that are held; undefined where they depend on each other. */
function solveSymmetric(gram: readonly Float64Array[], right: Float64Array, held: readonly number[]): Float64Array | undefined {
  const n = held.length
  const lower = Array.from({ length: n }, () => new Float64Array(n))
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = gram[held[i]][held[j]]
      for (let k = 0; k < j; k++) sum -= lower[i][k] * lower[j][k]
      if (i > j) lower[i][j] = sum / lower[j][j]
      else if (sum < 1e-11) return undefined
      else lower[i][i] = Math.sqrt(sum)
    }
  }
  const x = new Float64Array(n)
  for (let i = 0; i < n; i++) {
    let sum = right[held[i]]
    for (let k = 0; k < i; k++) sum -= lower[i][k] * x[k]
    x[i] = sum / lower[i][i]
  }
  for (let i = n - 1; i >= 0; i--) {
    let sum = x[i]
    for (let k = i + 1; k < n; k++) sum -= lower[k][i] * x[k]
    x[i] = sum / lower[i][i]
  }
  return x
}
