// A table of any rows: one column a field, numbers to three digits on the right, the rest on the left.
type Cell = string | number | null | undefined

export function columns(rows: readonly object[]): string {
  const fields = [...new Set(rows.flatMap((row) => Object.keys(row)))]
  const cells = rows.map((row) => fields.map((field) => (row as Record<string, Cell>)[field]))
  const lines = [fields, ...cells.map((line) => line.map(text))]
  const widths = fields.map((_, column) => Math.max(...lines.map((line) => line[column].length)))
  const isNumber = fields.map((_, column) => cells.some((line) => typeof line[column] === 'number'))
  return lines
    .map((line) =>
      line
        .map((cell, column) => (isNumber[column] ? cell.padStart(widths[column]) : cell.padEnd(widths[column])))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

function text(cell: Cell): string {
  if (typeof cell !== 'number') return cell ?? ''
  return Number.isInteger(cell) || Math.abs(cell) >= 1000 ? cell.toFixed(0) : cell.toPrecision(3)
}
