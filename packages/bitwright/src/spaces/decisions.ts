// The two spellings of decisions, and random ones.
import type { Random } from '@bitwright/engine'
import { UsageError } from '../errors.ts'
import { countNetwork } from '../network/counts.ts'
import type { AdditiveSpace, Choice, ChoiceKind, Decisions, Space } from './space.ts'

const isList = (value: Decisions): value is readonly number[] => Array.isArray(value)

/**
 * Option index of every choice, in choice order.
 * @throws UsageError naming the choice when one is missing, unknown, or has no such option.
 */
export function decisionIndices(choices: readonly Choice[], decisions: Decisions): number[] {
  if (isList(decisions)) {
    if (decisions.length !== choices.length) throw new UsageError(`decisions: ${decisions.length} given for ${choices.length} choices`)
    return decisions.map((option, index) => {
      const { name, options } = choices[index]
      if (!(option in options)) throw new UsageError(`decisions: choice "${name}" has options 0 to ${options.length - 1}, got ${option}`)
      return option
    })
  }
  const unknown = Object.keys(decisions).find((key) => !choices.some(({ name }) => name === key))
  if (unknown !== undefined)
    throw new UsageError(`decisions: there is no choice "${unknown}"; choices are ${choices.map(({ name }) => name)}`)
  return choices.map(({ name, options }) => {
    if (!Object.hasOwn(decisions, name)) throw new UsageError(`decisions: choice "${name}" is not decided`)
    const index = options.indexOf(decisions[name])
    if (index < 0) throw new UsageError(`decisions: choice "${name}" has no option "${decisions[name]}"; options are ${options.join(', ')}`)
    return index
  })
}

/** Option name by choice name. */
export function namedDecisions(choices: readonly Choice[], decisions: Decisions): Record<string, string> {
  const indices = decisionIndices(choices, decisions)
  return Object.fromEntries(choices.map(({ name, options }, index) => [name, options[indices[index]]]))
}

/** Every choice uniform and independent. */
export function randomDecisions(space: Space, random: Random): number[] {
  return space.choices.map(({ options }) => random.integer(options.length))
}

/** MACs of the network of these decisions, without building it. */
export function decisionMacs(space: AdditiveSpace, decisions: Decisions): number {
  return decisionIndices(space.choices, decisions).reduce((sum, option, choice) => sum + space.optionMacs[choice][option], space.fixedMacs)
}

export function isAdditive(space: Space): space is AdditiveSpace {
  return 'optionMacs' in space
}

/** @throws UsageError where the space has sizes to choose, which the strategy cannot search. */
export function requireAdditive(space: Space, strategy: string): AdditiveSpace {
  if (isAdditive(space)) return space
  throw new UsageError(`--search ${strategy}: ${space.name} has sizes or bits to choose; use --search joint`)
}

/** Indices of the choices of a kind. */
export function choicesOf(space: Space, kind: ChoiceKind): number[] {
  return space.choices.flatMap((choice, index) => (choice.kind === kind ? [index] : []))
}

/** Equal for equal networks: every choice that does not matter is at its first option. */
export function canonicalDecisions(space: Space, decisions: readonly number[]): number[] {
  return space.canonical?.(decisions) ?? [...decisions]
}

/**
 * Decisions that together have every option of every path at every size, the largest ones included: of several sizes, choices stand in
 * ascending order.
 */
export function everyPath(space: Space): number[][] {
  const most = (kind: ChoiceKind) => Math.max(1, ...choicesOf(space, kind).map((choice) => space.choices[choice].options.length))
  const counts = { size: most('size'), path: most('path'), bits: space.namesHaveWidths ? most('bits') : 1 }
  return Array.from({ length: counts.size * counts.path * counts.bits }, (_, index) => {
    const at = {
      bits: index % counts.bits,
      path: Math.floor(index / counts.bits) % counts.path,
      size: Math.floor(index / counts.bits / counts.path),
    }
    return space.choices.map(({ kind, options }) => Math.min(at[kind], options.length - 1))
  })
}

/**
 * The members with the most and the least operations, parameters where these are equal, and bits: option by option, the others at the first.
 * Sizes and bits stand in ascending order.
 */
export function extremes(space: Space): { largest: number[]; smallest: number[] } {
  const first = space.choices.map(() => 0)
  const ordered = space.choices.map(({ kind, options }, choice) => {
    const indices = options.map((_, option) => option)
    if (kind !== 'path') return indices
    const counts = indices.map((option) => countNetwork(space.build(first.with(choice, option))))
    return indices.toSorted((a, b) => counts[a].macs - counts[b].macs || counts[a].params - counts[b].params)
  })
  return { largest: ordered.map((order) => order.at(-1)!), smallest: ordered.map(([order]) => order) }
}
