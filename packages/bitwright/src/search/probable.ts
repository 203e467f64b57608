// Members of any space that fit a budget, by falling probability under its gates. `probableWithin` (budget.ts) is the same where operations
// add up; here an option's pull towards less is what it adds to the smallest member in shares of the limits.
import { canonicalDecisions, extremes } from '../spaces/decisions.ts'
import type { Space } from '../spaces/space.ts'
import { limitedCosts } from '../hardware/limits.ts'
import { type Admitted, bestFirst, type Budget } from './budget.ts'

/** How many members are refused before those that cost less are preferred. */
const patience = 300
const pulls = [0, 1, 3, 10, 30, 100, 1000]

/** At most `count` different networks. */
export function mostProbable(space: Space, budget: Budget, probabilities: readonly (readonly number[])[], count: number): Admitted[] {
  const { smallest } = extremes(space)
  const limits = limitedCosts.filter((key) => budget.options.budget[key] !== undefined)
  const burden = (decisions: readonly number[]) => {
    const cost = budget.price(space.build(decisions))
    return limits.reduce((sum, key) => sum + cost[key]! / budget.options.budget[key]!, 0)
  }
  const shares = space.choices.map(({ options }, choice) => options.map((_, option) => burden(smallest.with(choice, option))))
  const found = new Map<string, Admitted>()
  for (const pull of pulls) {
    let refused = 0
    for (const drawn of bestFirst(
      probabilities.map((row, choice) => row.map((p, option) => Math.log(p) - pull * shares[choice][option])),
    )) {
      const decisions = canonicalDecisions(space, drawn)
      if (found.has(decisions.join())) continue
      const admitted = budget.admit(space, decisions)
      if (admitted) found.set(decisions.join(), { decisions, ...admitted })
      if (found.size === count || (!admitted && ++refused === patience)) break
    }
    if (found.size > 0) break
  }
  return [...found.values()]
}
