// Sparse matrices by rows (CSR): what a graph's edges and a bag of words are to the engine.

export interface SparseMatrix {
  readonly rows: number
  readonly columns: number
  /** Entries of row i: [starts[i], starts[i + 1]). */
  readonly starts: Int32Array
  /** Column of every entry, ascending within a row. */
  readonly indices: Int32Array
  /** By entry; absent: all 1. */
  readonly values?: Float32Array
}

/** The way back: for every column its entries, by rising row. */
export interface SparseColumns {
  /** Of column j: [starts[j], starts[j + 1]). */
  readonly starts: Int32Array
  /** Row of every entry. */
  readonly rows: Int32Array
  /** Where in the matrix's own order each of them stands. */
  readonly entries: Int32Array
}

/** A matrix of ones at these [row, column] pairs, each of which is there once. */
export function sparseOnes(rows: number, columns: number, pairs: readonly (readonly [number, number])[]): SparseMatrix {
  const starts = new Int32Array(rows + 1)
  for (const [row] of pairs) starts[row + 1]++
  for (let row = 0; row < rows; row++) starts[row + 1] += starts[row]
  const next = starts.slice(0, rows)
  const indices = new Int32Array(pairs.length)
  for (const [row, column] of pairs) indices[next[row]++] = column
  for (let row = 0; row < rows; row++) indices.subarray(starts[row], starts[row + 1]).sort()
  return { rows, columns, starts, indices }
}

export function sparseColumns({ rows, columns, starts, indices }: SparseMatrix): SparseColumns {
  const back = new Int32Array(columns + 1)
  for (const column of indices) back[column + 1]++
  for (let column = 0; column < columns; column++) back[column + 1] += back[column]
  const next = back.slice(0, columns)
  const rowOf = new Int32Array(indices.length)
  const entries = new Int32Array(indices.length)
  for (let row = 0; row < rows; row++)
    for (let entry = starts[row]; entry < starts[row + 1]; entry++) {
      const at = next[indices[entry]]++
      rowOf[at] = row
      entries[at] = entry
    }
  return { starts: back, rows: rowOf, entries }
}
