// The search of a study: warm-up and search epochs of a strategy, each with its event and checkpoint, and the choice at the end.
import { performance } from 'node:perf_hooks'
import type { Network } from '../network/network.ts'
import type { Budget } from '../search/budget.ts'
import { frontOf } from '../search/front.ts'
import type { Candidate, Strategy } from '../search/strategy.ts'
import type { Space } from '../spaces/index.ts'
import type { SearchSpec } from './api.ts'
import { type Checkpoint, writeCheckpoint } from './checkpoint.ts'
import { type OpenedStrategy, openStrategy, searchedSpace } from './search-strategy.ts'
import { Interrupted, type Session } from './session.ts'

export interface Found {
  readonly network: Network
  /** What the network's training starts from, by name; absent: from scratch. */
  readonly initial?: ReadonlyMap<string, Float32Array>
}

export interface Finalist extends Found {
  /** Of its candidate event. */
  readonly id: number
}

/**
 * The candidates of the best scores, the strategy's own choice first: of those that differ in widths alone only the best, unless there is nothing
 * but widths to choose.
 */
function bestOf(offered: readonly Candidate[], choice: Candidate, space: Space): Candidate[] {
  const others = space.choices.flatMap(({ kind }, index) => (kind === 'bits' ? [] : [index]))
  const architecture = ({ decisions }: Candidate) => (others.length === 0 ? decisions : others.map((index) => decisions[index])).join()
  const best = new Map<string, Candidate>()
  for (const candidate of [choice, ...offered.toSorted((a, b) => b.score - a.score)])
    if (candidate.dropped === undefined && !best.has(architecture(candidate))) best.set(architecture(candidate), candidate)
  return [...best.values()]
}

/** The best of different architectures, each followed by its widest form, which is offered where it was not among the candidates. */
async function finalistsOf(offered: Candidate[], choice: Candidate, space: Space, strategy: Strategy, count: number): Promise<Candidate[]> {
  const finalists = new Set<Candidate>()
  for (const candidate of bestOf(offered, choice, space)) {
    if (finalists.size >= count) break
    finalists.add(candidate)
    if (finalists.size >= count || !strategy.widened) continue
    const widened = await strategy.widened(candidate)
    const known = offered.find(({ decisions }) => decisions.join() === widened.decisions.join())
    if (!known) offered.push(widened)
    if ((known ?? widened).dropped === undefined) finalists.add(known ?? widened)
  }
  return [...finalists]
}

/** @returns the chosen network, or as many finalists as are asked for, best first; `before` is the checkpoint of an interrupted search */
export async function searchStage(
  session: Session,
  spec: SearchSpec,
  budget: Budget,
  before: Checkpoint | undefined,
  open: (space: Space) => OpenedStrategy = (space) => openStrategy(session.engine, spec, space, session.dataset, budget),
): Promise<readonly Finalist[]> {
  const { dataset, hooks } = session
  const space = searchedSpace(spec, dataset)
  budget.requireFeasible(space)
  const strategy = open(space)
  const { warmups } = strategy
  const resumed = before?.stage === 'search' ? before : undefined
  if (resumed) strategy.restore(resumed.strategy)
  const save = (epoch: number) => session.save({ stage: 'search', epoch, strategy: strategy.state() })
  const epochs = async (stage: 'warmup' | 'search', from: number, to: number): Promise<void> => {
    for (let epoch = from; epoch < to; epoch++) {
      const start = performance.now()
      const result = await strategy.epoch(epoch, session.between(stage, 'steps'))
      if (!result) throw new Interrupted(stage, stage === 'search' ? epoch - warmups : epoch)
      if (result.dropped === undefined)
        session.emit({
          type: 'epoch',
          stage,
          epoch: result.index + 1,
          epochs: result.of,
          learningRate: result.learningRate,
          seconds: (performance.now() - start) / 1000,
          trainLoss: result.loss,
          trainAccuracy: result.accuracy,
          ...(result.expectedMacs !== undefined ? { expectedMacs: result.expectedMacs } : {}),
          ...(result.lostSteps ? { lostSteps: result.lostSteps } : {}),
        })
      save(epoch + 1)
      if (hooks.shouldStop()) throw new Interrupted(stage, (stage === 'search' ? epoch - warmups : epoch) + 1)
    }
  }
  const first = resumed?.epoch ?? 0
  if (first < warmups) await session.stage('warmup', () => epochs('warmup', first, warmups))
  const finalists = await session.stage('search', async () => {
    await epochs('search', Math.max(first, warmups), strategy.epochs)
    const offered: Candidate[] = []
    const choice = await strategy.choose(
      (candidate) => offered.push(candidate),
      session.between('search', 'candidates'),
      () => save(strategy.epochs),
    )
    if (!choice) throw new Interrupted('search', strategy.epochs - warmups)
    const chosen = await finalistsOf(offered, choice, space, strategy, spec.joint?.finalists ?? 1)
    offered.forEach((candidate, id) =>
      session.emit({
        type: 'candidate',
        id,
        origin: strategy.name,
        network: candidate.network,
        cost: candidate.cost,
        score: candidate.score,
        scoreKind: candidate.scoreKind,
        chosen: candidate === choice,
        ...(candidate.dropped !== undefined ? { dropped: candidate.dropped } : {}),
      }),
    )
    if (strategy.givesFront) {
      const members = frontOf(offered)
      const macs = strategy.macs?.()
      session.emit({
        type: 'front',
        members,
        chosen: members.findIndex(({ decisions }) => decisions.join() === choice.decisions.join()),
        ...(macs !== undefined && { macs }),
      })
      writeCheckpoint(session.directory.search, {
        stage: 'search',
        epoch: strategy.epochs,
        seconds: session.seconds(),
        strategy: strategy.state(),
      })
    }
    return chosen.map((candidate) => ({ candidate, id: offered.indexOf(candidate) }))
  })
  const found = finalists.map(({ candidate: { network }, id }): Finalist => {
    const initial = spec.joint?.start === 'shared' ? strategy.supernet?.parametersOf(network) : undefined
    return { id, network, ...(initial && { initial }) }
  })
  strategy.dispose()
  return found
}
