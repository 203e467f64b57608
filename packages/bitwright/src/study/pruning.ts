// Pruning in the training in float: for its first half channels have gates (training/channel-gates.ts), then those that are shut leave, and the
// other half trains the smaller network. What presses channels out of a network: the price of a channel, under the hardware's exact model, of everything that is limited (`--prune budget`:
// until the network is within the budget), or of its bytes (`--prune 0.5`: a channel stays if it is worth more than its share of that).
import type { ParameterStore } from '@bitwright/engine'
import { UsageError } from '../errors.ts'
import { limitedCosts } from '../hardware/limits.ts'
import type { Network } from '../network/network.ts'
import type { Budget } from '../search/budget.ts'
import { type ByBlock, ChannelGates, type Pressure } from '../training/channel-gates.ts'
import { expandedBlocks, withBlockChannels } from '../training/pruned-channels.ts'
import type { SampleSource } from '../training/sample-source.ts'
import { Trainer } from '../training/trainer.ts'
import type { PruneSpec, TrainSpec } from './api.ts'
import type { TrainerState, Unstamped } from './checkpoint.ts'
import { scoreModels } from './score.ts'
import type { Session } from './session.ts'
import { runEpochs, trainerOptions } from './train-stages.ts'

/** Of the pressure towards a budget: loss for as much as the budget. */
const budgetStrength = 0.5

/** What is pressed on, each in its limit, or in what the whole network takes. */
function costsOf(prune: PruneSpec, whole: Network, budget: Budget): (network: Network) => number[] {
  if (prune !== 'budget') {
    const { flashBytes } = budget.price(whole)
    return (network) => [budget.price(network).flashBytes / flashBytes]
  }
  const limits = budget.options.budget
  const keys = limitedCosts.filter((key) => limits[key] !== undefined)
  return (network) => {
    const cost = budget.price(network)
    return keys.map((key) => cost[key]! / limits[key]!)
  }
}

/**
 * The pressure on the blocks of a network near these numbers of open channels, where costs count as linear: what a block's channels cost is
 * the price of half of them.
 */
export function pressureAround(prune: PruneSpec, whole: Network, budget: Budget, open: ByBlock): Pressure {
  const costs = costsOf(prune, whole, budget)
  const [strength, target] = prune === 'budget' ? [budgetStrength, 1] : [prune, 0]
  const near = new Map([...open].map(([block, count]) => [block, Math.max(1, Math.round(count))]))
  const here = costs(withBlockChannels(whole, near))
  const slopes = new Map(
    [...near].map(([block, count]) => {
      // of a last channel, what another one would cost
      const other = count > 1 ? count >> 1 : 2
      const there = costs(withBlockChannels(whole, new Map(near).set(block, other)))
      return [block, here.map((cost, m) => (cost - there[m]) / (count - other))]
    }),
  )
  return (now) => {
    const isPressed = here.map(
      (cost, m) => [...slopes].reduce((sum, [block, slope]) => sum + slope[m] * (now.get(block)! - near.get(block)!), cost) > target,
    )
    return new Map(
      [...slopes].map(([block, slope]) => [block, slope.reduce((sum, each, m) => sum + (isPressed[m] ? strength * each : 0), 0)]),
    )
  }
}

/** Share of the training's epochs in which channels have gates. */
const gatedShare = 0.5

const fits = (network: Network, budget: Budget): boolean => budget.excess(budget.price(network)) === undefined

/**
 * Holds a given network against the budget.
 * @throws UsageError where it is over it, or cannot be pruned as it is asked for
 */
export function requireFit(spec: TrainSpec, network: Network, budget: Budget): void {
  const { prune } = spec
  if (prune !== undefined && expandedBlocks(network).size === 0)
    throw new UsageError(`--prune ${prune}: ${spec.network} has no expanded block, which alone can lose channels; leave it away`)
  const least = prune === 'budget' ? ChannelGates.least(network) : network
  const excess = budget.excess(budget.price(least))
  if (!excess) return
  const what = prune === 'budget' ? 'even with one channel in every block ' : ''
  throw new UsageError(`--network ${spec.network}: ${what}${excess}; raise the limit or train another network`)
}

export interface Pruned {
  readonly network: Network
  readonly store: ParameterStore
  /** What the training of the smaller network goes on from. */
  readonly trainer: TrainerState
}

/** The part of the training with gates, and the network that it leaves; the store is replaced. */
export async function pruneChannels(
  session: Session,
  network: Network,
  store: ParameterStore,
  source: SampleSource,
  budget: Budget,
  resumed: Unstamped | undefined,
): Promise<Pruned> {
  const { spec, engine, dataset, emit } = session
  const prune = spec.prune!
  return session.stage('train', async () => {
    const gates = new ChannelGates(store, network, spec.seed)
    const trainer = new Trainer(engine, network, store, source, { ...trainerOptions(session, 'train'), gates, freezeBitsAt: gatedShare })
    if (resumed?.trainer) {
      trainer.restore(resumed.trainer)
      gates.restore(resumed.pruning!)
    }
    await runEpochs(
      session,
      'train',
      trainer,
      store,
      source,
      network,
      resumed?.epoch ?? 0,
      undefined,
      () => ({ network, pruning: gates.state() }),
      {
        to: Math.ceil(gatedShare * spec.epochs.train),
        // near what is open at the start of an epoch, so that a resumed run presses alike
        prepare: () => (gates.pressure = pressureAround(prune, network, budget, gates.open())),
        score: async () => {
          const kept = store.snapshot()
          gates.settle(gates.decide())
          const scores = await scoreModels.network(engine, network, store, source, dataset.splits.validation)
          store.restore(kept)
          return scores
        },
      },
    )
    const pruned = gates.decide(prune === 'budget' ? (smaller) => fits(smaller, budget) : undefined)
    gates.settle(pruned)
    const small = gates.without(pruned)
    const state = { ...trainer.state(), parameters: small.store.snapshot() }
    emit({
      type: 'pruned',
      channels: [...pruned.values()].reduce((sum, { length }) => sum + length, 0),
      of: [...expandedBlocks(network).values()].reduce((sum, { depthwise }) => sum + depthwise.channels, 0),
      before: budget.price(network),
      after: budget.price(small.network),
    })
    trainer.dispose()
    gates.dispose()
    store.dispose()
    return { ...small, trainer: state }
  })
}
