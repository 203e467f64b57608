// A joint search that goes on from another one: its shared weights and ranges on new data, and evolution from its front.
import { isDeepStrictEqual } from 'node:util'
import { existsSync } from 'node:fs'
import { scoredDecisions, warmState } from '../search/joint.ts'
import type { Budget } from '../search/budget.ts'
import type { Network } from '../network/network.ts'
import type { SampleSource } from '../training/sample-source.ts'
import type { SearchSpec } from './api.ts'
import { type Checkpoint, readCheckpoint } from './checkpoint.ts'
import { frontOfRun, hasFront } from './front-member.ts'
import { existingRunDirectory } from './run-directory.ts'
import { type Found, searchStage } from './search-stage.ts'
import { openStrategy } from './search-strategy.ts'
import { adaptRate, supernetRate, type Session, type Spec } from './session.ts'

/** Of a run that searches again; the first generation has the front. */
const population = 16

/** Whether a run has what a search can go on from. */
export const isSearchable = (spec: Spec, run: string): spec is SearchSpec =>
  'space' in spec && spec.search === 'joint' && hasFront(run) && existsSync(existingRunDirectory(run).search)

/** Searches again for the request's budget; the deployed network stays unless another one is better by more than chance. */
export function searchAgain(
  session: Session,
  spec: SearchSpec,
  from: string,
  budget: Budget,
  source: SampleSource,
  deployed: Network,
  before: Checkpoint | undefined,
): Promise<Found> {
  const state = readCheckpoint(existingRunDirectory(from).search)!.strategy
  const front = frontOfRun(from).toSorted((a, b) => b.accuracy - a.accuracy)
  return searchStage(session, spec, budget, before?.stage === 'search' ? before : undefined, (space) => {
    const known = [...front.map(({ decisions }) => decisions), ...scoredDecisions(state)]
    const incumbent = known.find((decisions) => isDeepStrictEqual(space.build(decisions), deployed))
    const founders = [...(incumbent ? [incumbent] : []), ...front.map(({ decisions }) => decisions)]
    const strategy = openStrategy(session.engine, spec, space, session.dataset, budget, {
      source,
      joint: {
        population,
        learningRate: supernetRate[session.dataset.kind] * adaptRate,
        warm: { founders, ...(incumbent && { incumbent }) },
      },
    })
    strategy.restore(warmState(state))
    return strategy
  })
}
