// From a plan and what could be decoded of it to splits, or to a refusal.

import { join } from 'node:path'
import { RunError } from '../errors.ts'
import type { Sample, SkippedFile, SplitName } from './dataset.ts'
import { planProblems, type Plan } from './plan.ts'

/** The planned samples whose files could be read, each with its place in the plan as its index. */
export function plannedSplits({ clips }: Plan, failed: ReadonlyMap<number, string>): Record<SplitName, Sample[]> {
  const splits: Record<SplitName, Sample[]> = { train: [], validation: [], test: [] }
  for (const [index, { path, label, speaker, split }] of clips.entries()) {
    if (!failed.has(index)) splits[split].push({ path, label, ...(speaker === undefined ? {} : { speaker }), index })
  }
  return splits
}

/** Throws where broken files (at least one) are an error or leave too little to train on. */
export function refuseBroken(
  directory: string,
  plan: Plan,
  skipped: readonly SkippedFile[],
  failed: ReadonlyMap<number, string>,
  strict: boolean,
): void {
  const [{ path, reason }] = skipped
  const others = skipped.length > 1 ? ` (and ${skipped.length - 1} more)` : ''
  if (strict) throw new RunError(`${join(directory, path)} ${reason}${others}; without --strict broken files are skipped`)
  const before = planProblems(plan)
  const clips = plan.clips.filter((_, index) => !failed.has(index))
  const problem = planProblems({ ...plan, clips }).find((text) => !before.includes(text))
  const what = problem ?? (clips.length === 0 ? `no ${plan.media.thing} is left` : undefined)
  if (what) throw new RunError(`${directory}: without the broken files, of which ${path} ${reason}${others}, ${what}`)
}
