// What a search space is to everybody else: named discrete decisions, and a Network for each set of them. Nothing else knows how a
// space is made. A space has no state; every method is a pure function, and the networks it builds share weights by parameter names:
// the same option of the same choice has the same names whatever else was decided (architecture, decision 2).
import type { Network, NetworkNode } from '../network/network.ts'

/**
 * `path`: its options stand at one place, give the same shape and can be computed in each other's stead. `size`: widths, and what else changes
 * shapes elsewhere. `bits`: a width of one layer's weights or of what it reads.
 */
export type ChoiceKind = 'path' | 'size' | 'bits'

export interface Choice {
  readonly name: string
  readonly kind: ChoiceKind
  /** At least one; unique. */
  readonly options: readonly string[]
}

/** The option of every choice: by choice name, or as option indices in choice order. */
export type Decisions = Readonly<Record<string, string>> | readonly number[]

/** The nodes that implement one option at one place. An option without nodes (identity) hands its input on: output = input. */
export interface Fragment {
  /** Topological order; they read `input` and each other. */
  readonly nodes: readonly NetworkNode[]
  /** Id of the value it reads. */
  readonly input: string
  /** Id of the value it gives, which no activation limits: gates are learned from the gradient of its normalisation. */
  readonly output: string
}

export interface Space {
  readonly name: string
  readonly choices: readonly Choice[]

  /**
   * The network of these decisions, in float.
   * @throws UsageError naming the choice when one is missing, unknown, or has no such option.
   */
  build(decisions: Decisions): Network

  /** Where the chosen paths sit in `build(decisions)`: one entry per `path` choice, in choice order, with the very nodes of that network. */
  edges(decisions: Decisions): readonly Fragment[]

  /**
   * Another option of one `path` choice reading the value `input`, in the network of these decisions. Its output has the same shape as
   * every other option's there, so a supernet may compute it in the place of, or beside, the one in `edges`.
   */
  fragment(choice: number, option: number, input: string, decisions: Decisions): Fragment

  /** Names of parameters depend on `bits` choices too. Absent: they do not. */
  readonly namesHaveWidths?: boolean

  /** The same network's decisions with every choice that it does not depend on at its first option. Absent: it depends on all. */
  canonical?(decisions: readonly number[]): number[]
}

/** A space whose networks have as many MACs as their options together. One with sizes to choose is none. */
export interface AdditiveSpace extends Space {
  /** MACs of what is not decided; a network has fixedMacs + the sum of its options' optionMacs, exactly. */
  readonly fixedMacs: number
  /** [choice][option] */
  readonly optionMacs: readonly (readonly number[])[]
}
