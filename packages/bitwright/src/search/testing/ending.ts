// A strategy run to its end, as a study does it.
import { expect } from 'vitest'
import type { Candidate, Strategy } from '../strategy.ts'

export interface Ending {
  readonly chosen: Candidate
  readonly offered: readonly Candidate[]
  readonly state: unknown
}

/** The epochs from this one on, the choice, and what is left of it. */
export async function finish(strategy: Strategy, from = 0): Promise<Ending> {
  for (let epoch = from; epoch < strategy.epochs; epoch++) expect(await strategy.epoch(epoch, () => true)).toBeDefined()
  const offered: Candidate[] = []
  const chosen = await strategy.choose(
    (candidate) => offered.push(candidate),
    () => true,
  )
  const state = strategy.state()
  strategy.dispose()
  return { chosen: chosen!, offered, state }
}
