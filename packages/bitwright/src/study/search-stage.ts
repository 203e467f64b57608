// The search of a study: warm-up and search epochs of a strategy, each with its event and checkpoint, and the choice at the end.
import { performance } from 'node:perf_hooks'
import type { Budget } from '../search/budget.ts'
import { proxyless, proxylessDefaults } from '../search/proxyless.ts'
import { randomSearch } from '../search/random.ts'
import type { Candidate, Strategy } from '../search/strategy.ts'
import { Supernet } from '../search/supernet.ts'
import { openSource } from '../training/sample-source.ts'
import { requireAdditive } from '../spaces/decisions.ts'
import type { SearchSpec } from './api.ts'
import type { Checkpoint } from './checkpoint.ts'
import { spaceOf } from './networks.ts'
import { augmentationOf, Interrupted, type Session, training } from './session.ts'

/** @returns the chosen network; `before` is the checkpoint of an interrupted search */
export async function searchStage(session: Session, spec: SearchSpec, budget: Budget, before: Checkpoint | undefined): Promise<Candidate> {
  const { engine, dataset, hooks } = session
  const space = requireAdditive(spaceOf(spec, dataset), spec.search)
  budget.requireFeasible(space)
  const source = openSource(engine, dataset, space.build(space.choices.map(() => 0)).frontEnd, augmentationOf(spec))
  const { warmup, search: searchEpochs } = spec.epochs
  let strategy: Strategy
  if (spec.search === 'proxyless') {
    const supernet = new Supernet(engine, space, source, {
      seed: spec.seed,
      batchSize: spec.batchSize,
      labelSmoothing: training.labelSmoothing,
      weightDecay: training.weightDecay,
    })
    strategy = proxyless(supernet, source, budget, {
      ...proxylessDefaults,
      seed: spec.seed,
      batchSize: spec.batchSize,
      warmupEpochs: warmup,
      searchEpochs,
    })
  } else {
    const networks = 5
    strategy = randomSearch(engine, space, source, budget, {
      networks,
      epochsEach: Math.max(1, Math.round((warmup + searchEpochs) / networks)),
      seed: spec.seed,
      training: { ...training, batchSize: spec.batchSize, seed: spec.seed },
    })
  }
  const resumed = before?.stage === 'search' ? before : undefined
  if (resumed) strategy.restore(resumed.strategy)
  const warmups = spec.search === 'proxyless' ? warmup : 0
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
        })
      session.save({ stage: 'search', epoch: epoch + 1, strategy: strategy.state() })
      if (hooks.shouldStop()) throw new Interrupted(stage, (stage === 'search' ? epoch - warmups : epoch) + 1)
    }
  }
  const first = resumed?.epoch ?? 0
  if (first < warmups) await session.stage('warmup', () => epochs('warmup', first, warmups))
  const chosen = await session.stage('search', async () => {
    await epochs('search', Math.max(first, warmups), strategy.epochs)
    const offered: Candidate[] = []
    const choice = await strategy.choose((candidate) => offered.push(candidate), session.between('search', 'candidates'))
    if (!choice) throw new Interrupted('search', strategy.epochs)
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
    return choice
  })
  strategy.dispose()
  return chosen
}
