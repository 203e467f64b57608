// The honest baseline (Li & Talwalkar, "Random search and reproducibility for neural architecture search", 2019): networks drawn at random from
// those that fit the budget, each trained alone for an equal share of the epochs a search would take; the best on validation clips is chosen.
// Where MACs are limited, draws use at least 80 % of them where that is possible, as a budget is there to be used.
import { type Engine, Random } from '@bitwright/engine'
import { RunError } from '../errors.ts'
import { decisionMacs, randomDecisions } from '../spaces/decisions.ts'
import type { AdditiveSpace } from '../spaces/space.ts'
import type { SampleSource } from '../training/sample-source.ts'
import { argMax, Evaluator } from '../training/evaluate.ts'
import { createStore } from '../training/initialize.ts'
import { DivergedError, Trainer, type TrainerOptions } from '../training/trainer.ts'
import type { Admitted, Budget } from './budget.ts'
import type { Between, Candidate, SearchEpoch, Strategy } from './strategy.ts'

export interface RandomSearchOptions {
  readonly networks: number
  readonly epochsEach: number
  readonly seed: number
  readonly training: Omit<TrainerOptions, 'epochs' | 'purpose'>
}

/** Share of the MACs allowed that a draw should use. */
const leastUse = 0.8
const mostDraws = 2000

/**
 * Random decisions that fit the budget (and use it), with their network. Where none of many draws does, draws are taken down, one choice
 * after another to a random option with fewer operations, until they fit.
 * @throws RunError where not even that helps
 */
export function drawWithin(space: AdditiveSpace, budget: Budget, random: Random): Admitted {
  const limit = budget.options.budget.macs
  for (let draw = 0; draw < mostDraws; draw++) {
    const decisions = randomDecisions(space, random)
    if (limit !== undefined && decisionMacs(space, decisions) < leastUse * limit) continue
    const admitted = budget.admit(space, decisions)
    if (admitted) return { decisions, ...admitted }
  }
  const decisions = randomDecisions(space, random)
  for (;;) {
    const admitted = budget.admit(space, decisions)
    if (admitted) return { decisions, ...admitted }
    const cheaper = space.optionMacs.map((macs, choice) =>
      macs.flatMap((count, option) => (count < macs[decisions[choice]] ? [option] : [])),
    )
    const open = cheaper.flatMap((options, choice) => (options.length > 0 ? [choice] : []))
    if (open.length === 0)
      throw new RunError(`random search: no member of ${space.name} fits the budget; raise the limit (--macs, --flash, --ram)`)
    const choice = open[random.integer(open.length)]
    decisions[choice] = cheaper[choice][random.integer(cheaper[choice].length)]
  }
}

export function randomSearch(
  engine: Engine,
  space: AdditiveSpace,
  source: SampleSource,
  budget: Budget,
  options: RandomSearchOptions,
): Strategy {
  const { seed, networks, epochsEach } = options
  const scored: { decisions: number[]; score: number; dropped?: string }[] = []
  const drawn = Array.from({ length: networks }, (_, i) => drawWithin(space, budget, new Random(seed, 'random', i)))
  let current: { index: number; trainer: Trainer; dispose: () => void; score: () => Promise<number> } | undefined

  function open(index: number) {
    const { network } = drawn[index]
    const store = createStore(engine, [network], seed + index)
    const trainer = new Trainer(engine, network, store, source, { ...options.training, epochs: epochsEach, purpose: `random ${index}` })
    const { validation } = source.dataset.splits
    return {
      index,
      trainer,
      score: async () => {
        const evaluator = new Evaluator(engine, network, store)
        const { logits } = await evaluator.logits(source, validation)
        evaluator.dispose()
        return logits.filter((row, i) => argMax(row) === validation[i].label).length / validation.length
      },
      dispose: () => {
        trainer.dispose()
        store.dispose()
      },
    }
  }

  async function epoch(at: number, between: Between): Promise<SearchEpoch | undefined> {
    const index = Math.floor(at / epochsEach)
    const place = { stage: 'search', index: at, of: networks * epochsEach } as const
    const given = scored[index]?.dropped
    if (given !== undefined) return { ...place, loss: 0, accuracy: 0, learningRate: 0, dropped: given }
    if (current?.index !== index) {
      current?.dispose()
      current = open(index)
    }
    let result: Awaited<ReturnType<Trainer['epoch']>>
    try {
      result = await current.trainer.epoch(at % epochsEach, between)
    } catch (error) {
      if (!(error instanceof DivergedError)) throw error
      scored[index] = { decisions: drawn[index].decisions, score: 0, dropped: error.message }
      return { ...place, loss: 0, accuracy: 0, learningRate: 0, dropped: error.message }
    }
    if (!result) return undefined
    if ((at + 1) % epochsEach === 0) scored[index] = { decisions: drawn[index].decisions, score: await current.score() }
    return { ...place, ...result }
  }

  return {
    name: 'random',
    epochs: networks * epochsEach,
    epoch,
    choose: async (offer) => {
      const candidates: Candidate[] = scored.map(({ score, dropped }, i) => ({
        ...drawn[i],
        score,
        scoreKind: 'trained',
        ...(dropped !== undefined ? { dropped } : {}),
      }))
      for (const candidate of candidates) offer(candidate)
      const sound = candidates.filter(({ dropped }) => dropped === undefined)
      if (sound.length === 0) throw new RunError('random search: every network diverged; use a smaller --learning-rate')
      return sound.reduce((best, candidate) => (candidate.score > best.score ? candidate : best))
    },
    state: () => ({ scored: [...scored], current: current && { index: current.index, trainer: current.trainer.state() } }),
    restore: (state) => {
      const saved = state as { scored: typeof scored; current?: { index: number; trainer: ReturnType<Trainer['state']> } }
      scored.splice(0, scored.length, ...saved.scored)
      current?.dispose()
      current = undefined
      if (saved.current) {
        current = open(saved.current.index)
        current.trainer.restore(saved.current.trainer)
      }
    },
    dispose: () => {
      current?.dispose()
      current = undefined
    },
  }
}
