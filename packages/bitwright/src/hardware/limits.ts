// What a network may have a limit of: one list for budgets, flags and the report.
import type { Cost } from '../study/events.ts'

export const limits = [
  { key: 'macs', flag: '--macs' },
  { key: 'flashBytes', flag: '--flash' },
  { key: 'ramBytes', flag: '--ram' },
  { key: 'latencyMs', flag: '--latency' },
] as const satisfies readonly { readonly key: keyof Cost; readonly flag: string }[]

export type LimitedCost = (typeof limits)[number]['key']

/** In the order in which excess is named. */
export const limitedCosts: readonly LimitedCost[] = limits.map(({ key }) => key)

/** The first limit that a cost exceeds, in words. A limit on what the cost does not tell is exceeded. */
export function excessOver(budget: Partial<Record<LimitedCost, number>>, cost: Cost): string | undefined {
  for (const key of limitedCosts) {
    const [limit, value] = [budget[key], cost[key]]
    if (limit !== undefined && !(value !== undefined && value <= limit)) {
      return `${key} ${key === 'latencyMs' ? Number(value?.toPrecision(5)) : value} exceeds ${limit}`
    }
  }
  return undefined
}
