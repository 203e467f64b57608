// A joint search that goes on from another one: its shared weights and ranges on new data, and evolution from its front.
import { isDeepStrictEqual } from 'node:util'
import { existsSync } from 'node:fs'
import { scoredDecisions, warmState } from '../search/joint.ts'
import type { Budget } from '../search/budget.ts'
import type { Dataset } from '../data/dataset.ts'
import type { Network } from '../network/network.ts'
import type { SampleSource } from '../training/sample-source.ts'
import type { SearchSpec } from './api.ts'
import { type Checkpoint, readCheckpoint } from './checkpoint.ts'
import { frontOfRun, hasFront } from './front-of-run.ts'
import { existingRunDirectory } from './run-directory.ts'
import { type Found, searchStage } from './search-stage.ts'
import { openStrategy, searchedSpace } from './search-strategy.ts'
import type { Session, Spec } from './session.ts'

/** Of a run that searches again; the first generation has the front. */
const population = 16

/** Whether a run has what a search can go on from. */
export const isSearchable = (spec: Spec, run: string): spec is SearchSpec =>
  'space' in spec && spec.search === 'joint' && hasFront(run) && existsSync(existingRunDirectory(run).search)

const stateOf = (run: string): unknown => readCheckpoint(existingRunDirectory(run).search)!.strategy

/** The decisions of a deployed network, undefined where it is none that the search has scored (it was pruned, say). */
export function decisionsOf(dataset: Dataset, spec: SearchSpec, from: string, deployed: Network): readonly number[] | undefined {
  const space = searchedSpace(spec, dataset)
  const known = [...frontOfRun(from).map(({ decisions }) => decisions), ...scoredDecisions(stateOf(from))]
  return known.find((decisions) => isDeepStrictEqual(space.build(decisions), deployed))
}

/** Searches again for the request's budget; the deployed network stays unless another one is better by more than chance. */
export async function searchAgain(
  session: Session,
  spec: SearchSpec,
  from: string,
  budget: Budget,
  source: SampleSource,
  incumbent: readonly number[] | undefined,
  before: Checkpoint | undefined,
): Promise<Found> {
  const front = frontOfRun(from).toSorted((a, b) => b.accuracy - a.accuracy)
  const [found] = await searchStage(session, spec, budget, before?.stage === 'search' ? before : undefined, (space) => {
    const founders = [...(incumbent ? [incumbent] : []), ...front.map(({ decisions }) => decisions)]
    const strategy = openStrategy(session.engine, spec, space, session.dataset, budget, {
      source,
      joint: {
        population,
        warm: { founders, ...(incumbent && { incumbent }) },
      },
    })
    strategy.restore(warmState(stateOf(from)))
    return strategy
  })
  return found
}
