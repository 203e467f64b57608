// The choice among a search's best: each is trained alone, then the better half once more from another seed, until one is left (successive halving,
// arXiv 1502.07943). What counts is the mean of a network's accuracies on validation samples: a score with shared weights orders candidates roughly,
// and one training is chance too. Ours.
import { Random } from '@bitwright/engine'
import { RunError } from '../errors.ts'
import type { Budget } from '../search/budget.ts'
import { DivergedError } from '../training/trainer.ts'
import type { Checkpoint, Unstamped } from './checkpoint.ts'
import type { StudyEvent } from './events.ts'
import { scoreModels } from './score.ts'
import type { Finalist, Found } from './search-stage.ts'
import { Interrupted, type Session } from './session.ts'
import { trainNetwork } from './train-network.ts'

interface Standings {
  /** Of each of its trainings so far, 0..1. */
  readonly accuracies: readonly number[]
  /** Why a training of it was given up. */
  readonly dropped?: string
}

export interface Standing {
  readonly finalists: readonly (Finalist & Standings)[]
  /** Multiply-accumulates of all trainings so far. */
  readonly macs: number
}

const half = (count: number): number => Math.ceil(count / 2)
const meanOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length)

/** Trainings that a choice among so many takes. */
export function trainingsOf(count: number): number {
  let sum = 0
  for (let left = count; left > 1; left = half(left)) sum += left
  return sum
}

/**
 * Which finalist is to be trained next, and how often each in its round has been, or who has won: of equals, the one that comes first.
 * A finalist that was given up is worth nothing.
 */
export function nextOf(finalists: readonly Standings[]): { readonly index: number; readonly round: number } | { readonly winner: number } {
  let left = finalists.map((_, index) => index)
  for (let round = 0; left.length > 1; round++) {
    const open = left.find((index) => finalists[index].dropped === undefined && finalists[index].accuracies.length <= round)
    if (open !== undefined) return { index: open, round }
    const worth = ({ accuracies, dropped }: Standings) => (dropped === undefined ? meanOf(accuracies.slice(0, round + 1)) : -1)
    left = left
      .toSorted((a, b) => worth(finalists[b]) - worth(finalists[a]) || a - b)
      .slice(0, half(left.length))
      .toSorted((a, b) => a - b)
  }
  return { winner: left[0] }
}

/** Milliseconds between two checkpoints of a training, whose epochs may take much less. */
const savedEvery = 5000

/** A round's seed; the first one is that of the training that follows. */
const seedOf = (seed: number, round: number): number => (round === 0 ? seed : new Random(seed, 'finalists', round).uint32())

/** @param finalists absent where `before` has how they stand */
export async function bestFinalist(
  session: Session,
  finalists: readonly Finalist[] | undefined,
  budget: Budget,
  before: Checkpoint | undefined,
): Promise<Found> {
  if (finalists?.length === 1) return finalists[0]
  const standing = before?.standing ?? { finalists: finalists!.map((found) => ({ ...found, accuracies: [] })), macs: 0 }
  return session.stage('finalists', () => new Tournament(session, budget, standing).run(before?.training))
}

class Tournament {
  private readonly session: Session
  private readonly budget: Budget
  private standing: Standing
  private savedAt = performance.now()

  constructor(session: Session, budget: Budget, standing: Standing) {
    this.session = session
    this.budget = budget
    this.standing = standing
  }

  async run(interrupted: Unstamped | undefined): Promise<Found> {
    const { session } = this
    this.save()
    let training = interrupted
    for (;;) {
      const next = nextOf(this.standing.finalists)
      if ('winner' in next) return this.conclude(next.winner)
      if (session.hooks.shouldStop()) throw new Interrupted('finalists', this.done)
      const result = await this.train(next.index, next.round, training)
      training = undefined
      const finalists = this.standing.finalists.with(next.index, result)
      this.standing = { ...this.standing, finalists }
      this.save()
      this.tell(next.index, false)
    }
  }

  private get done(): number {
    return this.standing.finalists.reduce((sum, { accuracies }) => sum + accuracies.length, 0)
  }

  private save(training?: Unstamped): void {
    this.savedAt = performance.now()
    this.session.save({ stage: 'finalists', epoch: this.done, standing: this.standing, ...(training && { training }) })
  }

  /** The finalist with one accuracy more. */
  private async train(index: number, round: number, interrupted: Unstamped | undefined): Promise<Finalist & Standings> {
    const { session } = this
    const { spec, engine, dataset } = session
    const finalist = this.standing.finalists[index]
    const trainings = trainingsOf(this.standing.finalists.length)
    const epochs = spec.epochs.train + spec.epochs.quantize
    const began = this.done * epochs
    let epochsDone = interrupted ? interrupted.epoch + (interrupted.stage === 'quantize' ? spec.epochs.train : 0) : 0
    let latest: Unstamped | undefined
    const own: Session = {
      ...session,
      spec: { ...spec, seed: seedOf(spec.seed, round) },
      stage: (_, work) => work(),
      emit: (event) => {
        if (event.type !== 'epoch') return
        epochsDone++
        this.standing = { ...this.standing, macs: this.standing.macs + (event.macs ?? 0) }
        session.hooks.onProgress({ stage: 'finalists', done: began + epochsDone, total: trainings * epochs, text: 'epochs' })
      },
      save: (checkpoint) => {
        latest = checkpoint
        if (performance.now() - this.savedAt > savedEvery) this.save(latest)
      },
      between: () => () => !session.hooks.shouldStop(),
    }
    try {
      const { initial } = finalist
      const { store, source, quantization } = await trainNetwork(
        own,
        finalist.network,
        initial ? { initial } : {},
        this.budget,
        interrupted,
      )
      const { accuracy } = await scoreModels.network(engine, quantization.network, store, source, dataset.splits.validation, quantization)
      quantization.dispose()
      store.dispose()
      return { ...finalist, accuracies: [...finalist.accuracies, accuracy] }
    } catch (error) {
      if (error instanceof DivergedError) return { ...finalist, dropped: error.message }
      if (!(error instanceof Interrupted)) throw error
      this.save(latest)
      throw new Interrupted('finalists', this.done)
    }
  }

  /** Its candidate's event anew, with what it reached alone. */
  private tell(index: number, isChosen: boolean): void {
    const { id, accuracies, dropped } = this.standing.finalists[index]
    const known = this.events.findLast((event) => event.type === 'candidate' && event.id === id)
    if (known?.type !== 'candidate') throw new Error(`candidate ${id} is not in the journal`)
    const { dropped: _dropped, ...candidate } = known
    this.session.emit({
      ...candidate,
      score: dropped === undefined ? meanOf(accuracies) : 0,
      scoreKind: 'trained',
      accuracies,
      sharedScore: known.sharedScore ?? known.score,
      chosen: isChosen,
      ...(dropped !== undefined && { dropped }),
    })
  }

  private conclude(winner: number): Found {
    const { finalists, macs } = this.standing
    const { network, initial, dropped } = finalists[winner]
    if (dropped !== undefined) throw new RunError(`finalists: no training of any came to its end (${dropped})`)
    for (const [index] of finalists.entries()) this.tell(index, index === winner)
    const front = this.events.findLast((event) => event.type === 'front')
    if (front?.type === 'front') {
      const text = JSON.stringify(network)
      const chosen = front.members.findIndex((member) => JSON.stringify(member.network) === text)
      this.session.emit({ ...front, chosen, ...(front.macs !== undefined && { macs: front.macs + macs }) })
    }
    return { network, ...(initial && { initial }) }
  }

  private get events(): readonly StudyEvent[] {
    return this.session.journal.events
  }
}
