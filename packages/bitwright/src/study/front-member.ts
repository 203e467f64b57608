// A member of the front that a joint search left, opened with the shared weights it starts from.
import type { Engine } from '@bitwright/engine'
import type { Dataset } from '../data/dataset.ts'
import { UsageError } from '../errors.ts'
import { memory } from '../hardware/index.ts'
import { Budget } from '../search/budget.ts'
import { readCheckpoint } from './checkpoint.ts'
import { frontOfRun } from './front-of-run.ts'
import { existingRunDirectory } from './run-directory.ts'
import type { Found } from './search-stage.ts'
import { openStrategy, searchedSpace } from './search-strategy.ts'
import { readRequest } from './spec.ts'

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
