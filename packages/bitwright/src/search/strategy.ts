// What a search strategy is to the study that drives it. The study owns data, journal, checkpoints and the final training; a strategy
// owns its state and offers networks that all fit the budget.
//
// Life of one: `epochs` times `epoch(i)` (weights and architecture learn; a strategy without shared weights may have none), then `candidates`, the
// networks it offers with a score each, best first by its own judgement. `state` between epochs, `restore` before the first.
import type { Cost } from '../study/events.ts'
import type { Network } from '../network/network.ts'

export interface Candidate {
  readonly decisions: readonly number[]
  readonly network: Network
  readonly cost: Cost
  /** Accuracy on the validation clips, 0..1; 0 when dropped. */
  readonly score: number
  /** Why it was given up, e.g. because its training diverged. */
  readonly dropped?: string
  readonly scoreKind: 'shared' | 'trained'
}

export interface SearchEpoch {
  readonly stage: 'warmup' | 'search'
  /** Steps that were given up because a loss was no number, and why the first was. */
  readonly lostSteps?: { readonly count: number; readonly reason: string }
  /** Number of this epoch within its stage, and how many the stage has. */
  readonly index: number
  readonly of: number
  readonly loss: number
  readonly accuracy: number
  readonly learningRate: number
  readonly expectedMacs?: number
  /** Why a candidate was given up in this epoch; loss and accuracy then say nothing. */
  readonly dropped?: string
}

/** Called after every step; false asks to end at once. */
export type Between = (step: number, steps: number) => boolean

export interface Strategy {
  readonly name: string
  /** Whether the networks it offers are a front to choose from, and not steps on the way to one. */
  readonly givesFront?: true
  readonly epochs: number
  /** One epoch, or undefined when `between` ended it; its effects are then lost with the next `restore`. */
  epoch(epoch: number, between: Between): Promise<SearchEpoch | undefined>
  /**
   * Offers networks to `offer` as they are scored; returns the chosen one, or undefined when interrupted. `checkpoint`: called where
   * `state` is worth keeping, for a choice that takes long.
   */
  choose(offer: (candidate: Candidate) => void, between: Between, checkpoint?: () => void): Promise<Candidate | undefined>
  /**
   * The candidate's architecture at the widest widths within the budget, scored as the others are: shared weights hardly see a few bits. Absent
   * where widths are not searched.
   */
  widened?(candidate: Candidate): Promise<Candidate>
  /** Multiply-accumulates so far, where they are counted. */
  macs?(): number
  state(): unknown
  restore(state: unknown): void
  dispose(): void
}
