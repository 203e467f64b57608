// A member of the front that a finished joint search left, and the shared weights it may start from.
import type { Engine } from '@bitwright/engine'
import type { Dataset } from '../data/dataset.ts'
import { UsageError } from '../errors.ts'
import { memory } from '../hardware/index.ts'
import { Budget } from '../search/budget.ts'
import { bestWithin } from '../search/front.ts'
import type { BudgetSpec } from './api.ts'
import { readCheckpoint } from './checkpoint.ts'
import type { FrontMember } from './events.ts'
import { readJournal } from './journal.ts'
import { existingRunDirectory } from './run-directory.ts'
import type { Found } from './search-stage.ts'
import { openStrategy, searchedSpace } from './search-strategy.ts'
import { readRequest } from './spec.ts'

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

/** The member's network, and its parameters as the search left them. */
export function openMember(engine: Engine, run: string, member: number, dataset: Dataset): Found {
  const { network } = frontOfRun(run)[member]
  if (network.classes.join() !== dataset.classes.join())
    throw new UsageError(
      `--from ${run}: its networks tell ${network.classes.join(', ')} apart, the data has ${dataset.classes.join(', ')}; choose the words with --words`,
    )
  const request = readRequest(run)
  const saved = readCheckpoint(existingRunDirectory(run).search)
  if (!('space' in request) || !saved) throw new UsageError(`--from ${run}: has no shared weights; give a run of search --search joint`)
  const { weightBits, activationBits } = request
  const budget = new Budget({ budget: {}, hardware: memory, weightBits, activationBits })
  const strategy = openStrategy(engine, request, searchedSpace(request, dataset), dataset, budget)
  strategy.restore(saved.strategy)
  const initial = strategy.supernet!.parametersOf(network)
  strategy.dispose()
  return { network, initial }
}
