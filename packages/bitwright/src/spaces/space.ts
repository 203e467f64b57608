// What a search space is to everybody else: named discrete decisions, and a Network for each set of them. Nothing else knows how a
// space is made. A space has no state; every method is a pure function, and the networks it builds share weights by parameter names:
// the same option of the same choice has the same names whatever else was decided (architecture, decision 2).
import type { Network, NetworkNode } from '../network/network.ts'

export interface Choice {
  readonly name: string
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

  /** Where the chosen options sit in `build(decisions)`: one entry per choice, in choice order, with the very nodes of that network. */
  edges(decisions: Decisions): readonly Fragment[]

  /**
   * Another option of one choice reading the value `input`. Its output has the same shape as every other option's there, so a supernet
   * may compute it in the place of, or beside, the one in `edges`.
   */
  fragment(choice: number, option: number, input: string): Fragment

  /** MACs of what is not decided; a network has fixedMacs + the sum of its options' optionMacs, exactly. */
  readonly fixedMacs: number
  /** [choice][option] */
  readonly optionMacs: readonly (readonly number[])[]
}
