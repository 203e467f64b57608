// From a search request to the strategy that does it, with all that it owns.
import type { Engine } from '@bitwright/engine'
import type { Dataset } from '../data/dataset.ts'
import type { Budget } from '../search/budget.ts'
import { joint, jointDefaults, type JointOptions } from '../search/joint.ts'
import { proxyless, proxylessDefaults } from '../search/proxyless.ts'
import { randomSearch } from '../search/random.ts'
import { RememberingSource } from '../search/remembering-source.ts'
import type { Strategy } from '../search/strategy.ts'
import { Supernet } from '../search/supernet.ts'
import { type JointSpace, jointSpace, networksOfEveryRole, requireAdditive, type Space } from '../spaces/index.ts'
import { nestedWidths } from '../quantizers/index.ts'
import { openSource, type SampleSource } from '../training/sample-source.ts'
import { SharedQuantization } from '../training/shared-quantization.ts'
import type { SearchSpec } from './api.ts'
import { spaceOf } from './networks.ts'
import { augmentationOf, graphSupernet, supernetRate, training } from './session.ts'

/** Networks that the baseline trains. */
const randomNetworks = 5

/** The space of a request; with widths where they are searched. */
export function searchedSpace(spec: SearchSpec, dataset: Dataset): Space {
  const space = spaceOf(spec, dataset)
  return spec.search === 'joint' ? jointSpace(space) : space
}

export interface OpenedStrategy extends Strategy {
  /** Epochs before `search`. */
  readonly warmups: number
  /** Of a strategy with shared weights that a network may go on from. */
  readonly supernet?: Supernet
  /** Where that one's samples come from. */
  readonly source?: RememberingSource
}

/** `others`: samples from elsewhere than the dataset alone, and settings of a joint search that no request has. */
export function openStrategy(
  engine: Engine,
  spec: SearchSpec,
  space: Space,
  dataset: Dataset,
  budget: Budget,
  others: { readonly source?: SampleSource; readonly joint?: Partial<JointOptions> } = {},
): OpenedStrategy {
  const { seed, epochs } = spec
  const isGraph = dataset.kind === 'graph'
  // a step on a graph learns from all its labels
  const batchSize = isGraph ? dataset.splits.train.length : spec.batchSize
  const { labelSmoothing, weightDecay } = isGraph ? graphSupernet : training
  const frontEnd = space.build(space.choices.map(() => 0)).frontEnd
  const source = others.source ?? openSource(engine, dataset, frontEnd, augmentationOf(spec))
  const openSupernet = (from: SampleSource) =>
    new Supernet(engine, space, from, {
      seed,
      batchSize,
      labelSmoothing,
      weightDecay,
    })
  const common = {
    seed,
    batchSize,
    learningRate: supernetRate[dataset.kind],
    warmupEpochs: epochs.warmup,
    searchEpochs: epochs.search,
  }
  switch (spec.search) {
    case 'proxyless':
      return { ...proxyless(openSupernet(source), source, budget, { ...proxylessDefaults, ...common }), warmups: epochs.warmup }
    case 'random': {
      const strategy = randomSearch(engine, requireAdditive(space, spec.search), source, budget, {
        networks: randomNetworks,
        epochsEach: Math.max(1, Math.round((epochs.warmup + epochs.search) / randomNetworks)),
        seed,
        training: { ...training, batchSize, seed },
      })
      return { ...strategy, warmups: 0 }
    }
    case 'joint': {
      const remembering = new RememberingSource(engine, source)
      const supernet = openSupernet(remembering)
      const { widths, roleOf } = space as JointSpace
      const networks = networksOfEveryRole(space as JointSpace)
      const quantization = new SharedQuantization(supernet.store, networks, roleOf, {
        weightWidths: widths.weightBits,
        activationWidths: widths.activationBits,
        sharing: widths.weightBits.every((bits) => nestedWidths.includes(bits)) ? 'nested' : 'latent',
        granularity: spec.granularity,
      })
      const { start: _start, ...given } = spec.joint!
      const strategy = joint(space as JointSpace, supernet, quantization, remembering, budget, {
        ...jointDefaults,
        ...common,
        ...given,
        ...others.joint,
      })
      return { ...strategy, warmups: epochs.warmup, supernet, source: remembering }
    }
    default:
      throw new Error(`unknown search ${spec.search satisfies never}`)
  }
}
