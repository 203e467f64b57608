// What reports on data sets share: the table of classes and splits, and the files left out.

import type { SkippedFile, SplitName } from './dataset.ts'
import { splitNames } from './plan.ts'

export type ClassCounts = { readonly name: string } & Readonly<Record<SplitName, number>>

/** Lines of a table with a row for each class and their sum. */
export function classTable(classes: readonly ClassCounts[]): string[] {
  const rows = classes.map(({ name, train, validation, test }) => [name, train, validation, test, train + validation + test])
  const totals = splitNames.map((split) => classes.reduce((total, entry) => total + entry[split], 0))
  const table = [['class', ...splitNames, 'all'], ...rows, ['all', ...totals, totals.reduce((a, b) => a + b)]].map((row) => row.map(String))
  const widths = table[0].map((_, column) => Math.max(...table.map((row) => row[column].length)))
  return table.map((row) => row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  '))
}

const most = 10

export function formatSkipped(skipped: readonly SkippedFile[]): string[] {
  const lines = skipped.slice(0, most).map(({ path, reason }) => `skipped: ${path} ${reason}`)
  return skipped.length > most ? [...lines, `skipped: ${skipped.length - most} more`] : lines
}
