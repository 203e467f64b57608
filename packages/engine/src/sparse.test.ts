import { expect, it } from 'vitest'
import { Random } from './random.ts'
import { sparseColumns, sparseOnes } from './sparse.ts'

function randomPairs(rows: number, columns: number, share: number): [number, number][] {
  const random = new Random(3, 'pairs', rows)
  const all = Array.from({ length: rows * columns }, (_, i): [number, number] => [Math.floor(i / columns), i % columns])
  const order = random.permutation(all.length)
  return Array.from(order, (i) => all[i]).filter(() => random.uniform() < share)
}

it('holds the pairs by row and by column, whatever order they come in', () => {
  for (const share of [0, 0.2, 1]) {
    const pairs = randomPairs(13, 7, share)
    const matrix = sparseOnes(13, 7, pairs)
    const sorted = pairs.toSorted((a, b) => a[0] - b[0] || a[1] - b[1])
    const rowOf = (entry: number) => matrix.starts.findLastIndex((start) => start <= entry)
    expect(Array.from(matrix.indices, (column, entry) => [rowOf(entry), column])).toEqual(sorted)
    const { starts, rows, entries } = sparseColumns(matrix)
    const byColumn = Array.from({ length: 7 }, (_, column) =>
      Array.from(rows.subarray(starts[column], starts[column + 1]), (row) => [row, column]),
    ).flat()
    expect(byColumn).toEqual(pairs.toSorted((a, b) => a[1] - b[1] || a[0] - b[0]))
    expect(Array.from(entries, (entry) => [rowOf(entry), matrix.indices[entry]])).toEqual(byColumn)
  }
})
