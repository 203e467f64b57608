// When a network that is deployed gives way to another one. Ours: its own trained weights are worth more than the shared ones that both were
// scored with, so that another network has to be better by more than two standard errors of the two scores' difference.
import type { Candidate } from './strategy.ts'

/** Standard errors that a better score has to be away. */
const wanted = 2

/** @param best score of the other one @param samples that both were scored on */
export function staysIn(incumbent: Pick<Candidate, 'score' | 'dropped'>, best: number, samples: number): boolean {
  if (incumbent.dropped !== undefined) return false
  const variance = (share: number) => (share * (1 - share)) / Math.max(1, samples)
  return best - incumbent.score <= wanted * Math.sqrt(variance(best) + variance(incumbent.score))
}
