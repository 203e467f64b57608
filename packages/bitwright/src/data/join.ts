// Several datasets of one kind and one list of classes as one, one after another: its rows are theirs, in order.
import { UsageError } from '../errors.ts'
import type { Dataset, Sample, SplitName } from './dataset.ts'
import { inputRows, requireRows } from './dataset.ts'
import { splitNames } from './plan.ts'

/** @throws UsageError where they are not of one form */
export function joinDatasets(parts: readonly Dataset[]): Dataset {
  const [first, ...others] = parts
  if (others.length === 0) return first
  requireRows(first)
  for (const part of others) {
    if (formOf(part) !== formOf(first))
      throw new UsageError(`${part.directory} has ${formOf(part)}, ${first.directory} has ${formOf(first)}; they cannot be taken together`)
  }
  const sizes = parts.map((part) => inputRows(part).values.length)
  const total = sizes.reduce((sum, size) => sum + size, 0)
  const splits: Record<SplitName, Sample[]> = { train: [], validation: [], test: [] }
  let rows = 0
  for (const part of parts) {
    const before = rows
    for (const split of splitNames) for (const sample of part.splits[split]) splits[split].push({ ...sample, index: sample.index + before })
    rows += rowsOf(part)
  }
  const common = { directory: parts.at(-1)!.directory, classes: first.classes, splits, skipped: parts.flatMap(({ skipped }) => skipped) }
  if (first.kind === 'image') {
    const pixels = new Uint8Array(new SharedArrayBuffer(total))
    place(parts, sizes, pixels)
    return { ...first, ...common, pixels }
  }
  const pcm = new Int16Array(new SharedArrayBuffer(2 * total))
  place(parts, sizes, pcm)
  return { ...first, ...common, pcm, background: parts.flatMap((part) => (part.kind === 'audio' ? part.background : [])) }
}

/** How many rows of values a dataset has. */
export function rowsOf(dataset: Dataset): number {
  const { values, size } = inputRows(dataset)
  return values.length / size
}

function place(parts: readonly Dataset[], sizes: readonly number[], values: Int16Array | Uint8Array): void {
  let at = 0
  for (const [i, part] of parts.entries()) {
    values.set(inputRows(part).values, at)
    at += sizes[i]
  }
}

function formOf(dataset: Dataset): string {
  requireRows(dataset)
  const form =
    dataset.kind === 'audio'
      ? `clips of ${dataset.samples} samples at ${dataset.sampleRate} Hz`
      : `images of ${dataset.height}x${dataset.width}x${dataset.channels}`
  return `${form} and the classes ${dataset.classes.join(', ')}`
}
