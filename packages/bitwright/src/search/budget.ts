// Hard limits on a network, checked before anything is trained.
import type { CostModel } from '../hardware/cost-model.ts'
import { excessOver, limitedCosts, limits } from '../hardware/limits.ts'
import type { Network } from '../network/network.ts'
import { withBits } from '../network/transform.ts'
import { choicesOf, decisionMacs, extremes, isAdditive } from '../spaces/decisions.ts'
import type { AdditiveSpace, Space } from '../spaces/space.ts'
import type { BitsSpec, BudgetSpec } from '../study/api.ts'
import type { Cost } from '../study/events.ts'
import { UsageError } from '../errors.ts'

export interface PricedNetwork {
  readonly network: Network
  readonly cost: Cost
}

export interface Admitted extends PricedNetwork {
  readonly decisions: number[]
}

/** What a budget is measured on: widths that are trained are priced at 8 bits, which they cannot exceed; searched ones are the network's own. */
export interface BudgetOptions {
  readonly budget: BudgetSpec
  readonly hardware: CostModel
  readonly weightBits: BitsSpec
  readonly activationBits: BitsSpec
}

/** What a run records of a price. */
export function costOf({ params, macs, flashBytes, ramBytes, latencyMs, cycles, energyUj }: Cost): Cost {
  return {
    params,
    macs,
    flashBytes,
    ramBytes,
    ...(latencyMs !== undefined && { latencyMs }),
    ...(cycles !== undefined && { cycles }),
    ...(energyUj !== undefined && { energyUj }),
  }
}

export class Budget {
  readonly options: BudgetOptions
  constructor(options: BudgetOptions) {
    this.options = options
  }

  /** The exact cost of a network at the widths it will be shipped with. */
  price(network: Network): Cost {
    const sized = (choice: BitsSpec) => (choice === 'trained' ? 8 : choice)
    const [weightBits, activationBits] = [sized(this.options.weightBits), sized(this.options.activationBits)]
    const shipped =
      weightBits === 'searched' || activationBits === 'searched'
        ? network
        : withBits(network, { weightBits, activationBits }, { edges: 'same' })
    return costOf(this.options.hardware.price(shipped))
  }

  /** The first limit that is exceeded, in words; undefined when the cost fits. */
  excess(cost: Cost): string | undefined {
    return excessOver(this.options.budget, cost)
  }

  /** How far a cost is over the limits, each in its own size; 0 when it fits. */
  violation(cost: Cost): number {
    return limitedCosts.reduce((sum, key) => {
      const limit = this.options.budget[key]
      return sum + (limit === undefined ? 0 : Math.max(0, (cost[key] ?? Infinity) / limit - 1))
    }, 0)
  }

  /** The network of these decisions with its cost, or undefined when it does not fit; MACs are checked before anything is built, where they add up. */
  admit(space: Space, decisions: readonly number[]): PricedNetwork | undefined {
    const { macs } = this.options.budget
    if (macs !== undefined && isAdditive(space) && decisionMacs(space, decisions) > macs) return undefined
    const network = space.build(decisions)
    const cost = this.price(network)
    return this.excess(cost) ? undefined : { network, cost }
  }

  /** @throws UsageError when even the smallest member does not fit, at any width: fewer bits are fewer bytes, but can take longer. */
  requireFeasible(space: Space): void {
    const { smallest } = extremes(space)
    const bits = choicesOf(space, 'bits')
    const isWeights = (choice: number) => space.choices[choice].name.endsWith('.weightBits')
    const widthsOf = (which: readonly number[]) =>
      Array.from({ length: which.length > 0 ? space.choices[which[0]].options.length : 1 }, (_, option) => option)
    const ofActivations = widthsOf(bits.filter((choice) => !isWeights(choice)))
    const members = widthsOf(bits.filter(isWeights)).flatMap((weights) =>
      ofActivations.map((activations) =>
        smallest.map((option, choice) => (bits.includes(choice) ? (isWeights(choice) ? weights : activations) : option)),
      ),
    )
    const costs = members.map((decisions) => this.price(space.build(decisions)))
    const excess = this.excess(costs.reduce((least, cost) => (this.violation(cost) < this.violation(least) ? cost : least)))
    if (excess)
      throw new UsageError(
        `the budget cannot be met: the smallest member of ${space.name} is over it (${excess}); raise the limit (${limits.map(({ flag }) => flag).join(', ')}) or choose another space`,
      )
  }
}

/** How many members are refused before those with fewer operations are preferred. */
const patience = 2000
/** What the operations of an option, as a share of the largest option's, count against the logarithm of its probability. */
const pulls = [0, 2, 5, 10, 30, 100]

/**
 * Members of a space that fit the budget, by falling probability. Where none of the most probable ones fits, fewer operations count more
 * and more until one does; the last order is by operations alone, so that a member is found wherever `requireFeasible` passes.
 * probabilities[choice][option]
 */
export function* probableWithin(space: AdditiveSpace, budget: Budget, probabilities: readonly (readonly number[])[]): Generator<Admitted> {
  const largest = Math.max(1, ...space.optionMacs.flat())
  const shares = space.optionMacs.map((macs) => macs.map((count) => count / largest))
  const scores = (pull: number) => probabilities.map((row, choice) => row.map((p, option) => Math.log(p) - pull * shares[choice][option]))
  for (const order of [...pulls.map(scores), shares.map((row) => row.map((share) => -share))]) {
    let found = false
    let refused = 0
    for (const decisions of bestFirst(order)) {
      const admitted = budget.admit(space, decisions)
      if (admitted) {
        found = true
        yield { decisions, ...admitted }
      } else if (++refused === patience) break
    }
    if (found) return
  }
}

/**
 * Decisions in order of falling total score (the sum of one score per choice), lazily: the k best without listing them all.
 * scores[choice][option]; larger is better.
 */
export function* bestFirst(scores: readonly (readonly number[])[]): Generator<number[]> {
  const order = scores.map((row) => row.map((_, option) => option).toSorted((a, b) => row[b] - row[a]))
  const total = (ranks: readonly number[]) => ranks.reduce((sum, rank, choice) => sum + scores[choice][order[choice][rank]], 0)
  const start = scores.map(() => 0)
  const heap: { ranks: number[]; score: number }[] = [{ ranks: start, score: total(start) }]
  const seen = new Set([start.join()])
  while (heap.length > 0) {
    const { ranks } = pop(heap)
    yield ranks.map((rank, choice) => order[choice][rank])
    for (let choice = 0; choice < ranks.length; choice++) {
      if (ranks[choice] + 1 >= order[choice].length) continue
      const next = ranks.with(choice, ranks[choice] + 1)
      const key = next.join()
      if (seen.has(key)) continue
      seen.add(key)
      push(heap, { ranks: next, score: total(next) })
    }
  }
}

interface Scored {
  readonly ranks: number[]
  readonly score: number
}
function push(heap: Scored[], item: Scored): void {
  heap.push(item)
  for (let i = heap.length - 1; i > 0;) {
    const parent = (i - 1) >> 1
    if (heap[parent].score >= heap[i].score) return
    ;[heap[parent], heap[i]] = [heap[i], heap[parent]]
    i = parent
  }
}
function pop(heap: Scored[]): Scored {
  const top = heap[0]
  const last = heap.pop()!
  if (heap.length > 0) {
    heap[0] = last
    for (let i = 0; ;) {
      let best = i
      for (const child of [2 * i + 1, 2 * i + 2]) if (child < heap.length && heap[child].score > heap[best].score) best = child
      if (best === i) break
      ;[heap[best], heap[i]] = [heap[i], heap[best]]
      i = best
    }
  }
  return top
}
