// Pareto fronts of scored networks: what a joint search gives instead of one network. Nobody on it is matched by another in accuracy,
// bytes and speed (milliseconds where the target tells them, else MACs) at once.
import { isWeighted, storedWeightBits } from '../network/graph.ts'
import { countNetwork } from '../network/counts.ts'
import type { Network } from '../network/network.ts'
import { inferShapes } from '../network/shapes.ts'
import { storageOf } from '../network/storage.ts'
import { limitedCosts } from '../hardware/limits.ts'
import type { BudgetSpec } from '../study/api.ts'
import type { FrontMember } from '../study/events.ts'
import type { Candidate } from './strategy.ts'

/** What a member is compared by, all to be minimised. */
export function frontObjectives({ accuracy, flashBytes, latencyMs, macs }: Omit<FrontMember, 'network'>): number[] {
  return [-accuracy, flashBytes, latencyMs ?? macs]
}

/** Members that no other one is at least as good as in everything and better in something, by rising bytes; of equals, the first. */
export function paretoFront<T>(members: readonly T[], objectives: (member: T) => readonly number[]): T[] {
  const points = members.map(objectives)
  const isBeaten = (index: number) =>
    points.some((other, at) => {
      if (other.some((value, i) => value > points[index][i])) return false
      return other.some((value, i) => value < points[index][i]) || at < index
    })
  return members.filter((_, index) => !isBeaten(index))
}

/** Averages over the parameters, and over the numbers that layers multiply, as a training reports them: pixels and raw audio have no width of their own. */
export function averageWidths(network: Network): { weightBits: number; activationBits: number } {
  const params = new Map(countNetwork(network).nodes.map((node) => [node.id, node.params]))
  const shapes = inferShapes(network)
  const { values, inputs } = storageOf(network)
  const multiplied = new Map<string, { bits: number; count: number }>()
  for (const [id, { value, narrowed, bits }] of inputs) {
    const count = shapes.get(value)!.reduce((product, length) => product * length, 1)
    if (narrowed || values.get(value)!.scale === undefined) multiplied.set(narrowed ? `${id} narrows` : value, { bits, count })
  }
  return {
    weightBits: average(network.nodes.filter(isWeighted).map((node) => ({ bits: storedWeightBits(node), count: params.get(node.id)! }))),
    activationBits: average([...multiplied.values()]),
  }
}

function average(items: readonly { bits: number; count: number }[]): number {
  const total = items.reduce((sum, { count }) => sum + count, 0)
  return items.reduce((sum, { bits, count }) => sum + bits * count, 0) / Math.max(1, total)
}

/** The front of the candidates that were not given up, by rising bytes. */
export function frontOf(candidates: readonly Candidate[]): FrontMember[] {
  const members = candidates
    .filter(({ dropped }) => dropped === undefined)
    .map(({ network, cost, score, decisions }) => {
      const { flashBytes, ramBytes, macs, latencyMs } = cost
      const widths = averageWidths(network)
      return { flashBytes, ramBytes, macs, ...(latencyMs !== undefined && { latencyMs }), ...widths, accuracy: score, decisions, network }
    })
  return paretoFront(members, frontObjectives).toSorted((a, b) => a.flashBytes - b.flashBytes || a.accuracy - b.accuracy)
}

/** The most accurate member within a budget; undefined where none is. */
export function bestWithin(front: readonly FrontMember[], budget: BudgetSpec): FrontMember | undefined {
  return front
    .filter((member) =>
      limitedCosts.every((key) => {
        const limit = budget[key]
        return limit === undefined || (member[key] ?? Infinity) <= limit
      }),
    )
    .reduce<FrontMember | undefined>((best, member) => (best && best.accuracy >= member.accuracy ? best : member), undefined)
}
