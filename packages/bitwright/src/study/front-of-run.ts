// The front that a joint search left in its journal, and the choice of a member: also while its winner is still being trained.
import { UsageError } from '../errors.ts'
import { bestWithin } from '../search/front.ts'
import type { BudgetSpec } from './api.ts'
import type { FrontMember } from './events.ts'
import { readJournal } from './journal.ts'
import { existingRunDirectory } from './run-directory.ts'

const lastFront = (run: string) => readJournal(existingRunDirectory(run).journal).findLast((event) => event.type === 'front')

export const hasFront = (run: string): boolean => lastFront(run) !== undefined

/** @throws UsageError where the run is no joint search that got to its front */
export function frontOfRun(run: string): readonly FrontMember[] {
  const front = lastFront(run)
  if (!front) throw new UsageError(`--from ${run}: has no front to choose a member from; give a run of search --search joint`)
  return front.members
}

/**
 * The index of a member: the one asked for, or the most accurate within the budget.
 * @throws UsageError where there is no such member
 */
export function chooseMember(run: string, front: readonly FrontMember[], member: number | undefined, budget: BudgetSpec): number {
  if (member !== undefined) {
    if (member < front.length) return member
    throw new UsageError(`--member ${member}: the front of ${run} has members 0 to ${front.length - 1}`)
  }
  const best = bestWithin(front, budget)
  if (best) return front.indexOf(best)
  const least = Math.min(...front.map(({ flashBytes }) => flashBytes))
  throw new UsageError(
    `--from ${run}: no member of its front is within the budget; the smallest takes ${least} bytes of flash (bitwright report ${run} shows all)`,
  )
}
