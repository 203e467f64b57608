// What the stages of a study share: the open run, its defaults, and how a run is asked to stop.
import type { Engine, OptimizerName } from '@bitwright/engine'
import { streamTraining } from '../data/augment.ts'
import type { Dataset } from '../data/dataset.ts'
import type { SourceOptions } from '../training/sample-source.ts'
import type { Hooks, SearchSpec, TrainSpec } from './api.ts'
import type { Unstamped } from './checkpoint.ts'
import type { StageName, StudyEvent } from './events.ts'
import type { Journal } from './journal.ts'
import type { RunDirectory } from './run-directory.ts'

export type Spec = SearchSpec | TrainSpec

/** Training defaults. */
export const training = { optimizer: 'adam', learningRate: 3e-3, weightDecay: 0.05, labelSmoothing: 0.1 } as const
interface Recipe {
  readonly optimizer: OptimizerName
  readonly learningRate: number
  readonly weightDecay: number
  readonly decayInLoss?: true
  readonly labelSmoothing: number
}
/** GCN's (arXiv 1609.02907). */
const graphRecipe: Recipe = { optimizer: 'adam', learningRate: 0.01, weightDecay: 5e-4, decayInLoss: true, labelSmoothing: 0 }
/** On shared weights, whose decay is a step of its own: ours. */
export const graphSupernet = { labelSmoothing: 0, weightDecay: 0.3 } as const
/** Of the training in float, and of quantization, which starts from trained weights. */
const recipes: Readonly<Record<Dataset['kind'], Readonly<Record<'train' | 'quantize', Recipe>>>> = {
  audio: { train: training, quantize: { ...training, learningRate: training.learningRate / 2 } },
  // measured on CIFAR-10 (docs/images.md)
  image: { train: { optimizer: 'sgd', learningRate: 0.2, weightDecay: 5e-4, labelSmoothing: 0.1 }, quantize: training },
  // measured on Cora and Citeseer (docs/graphs.md)
  graph: { train: graphRecipe, quantize: graphRecipe },
}

/** Peak of AdamW on shared weights. */
export const supernetRate: Readonly<Record<Dataset['kind'], number>> = { audio: training.learningRate, image: 8e-3, graph: 0.01 }

/** Where a trained network goes on from its widths to new data, in few epochs; that of sound is measured (docs/hqnas.md). */
const adaptedRate: Readonly<Record<Dataset['kind'], number>> = { audio: 6e-3, image: 3e-3, graph: 3e-3 }

/** A stage's defaults for a kind of samples; a peak rate that is given for the training in float moves that of quantization with it. */
export function recipeOf(kind: Dataset['kind'], stage: 'train' | 'quantize', learningRate?: number): Recipe {
  const { [stage]: recipe, train } = recipes[kind]
  return learningRate === undefined ? recipe : { ...recipe, learningRate: learningRate * (recipe.learningRate / train.learningRate) }
}

/** The same of a run that adapts another one: a peak rate that is given is that of the training at the network's widths. */
export function adaptRecipeOf(kind: Dataset['kind'], stage: 'train' | 'quantize', learningRate = adaptedRate[kind]): Recipe {
  const recipe = recipes[kind][stage]
  return stage === 'quantize' ? { ...recipe, learningRate } : recipe
}

/** How a run's training samples are varied. */
export function augmentationOf(spec: Spec): SourceOptions {
  return { ...(spec.streaming ? { audio: streamTraining } : {}), ...(spec.data.flip === false ? { image: { flip: false } } : {}) }
}

/** Share of the float network's answers in what the quantized one is asked for. */
export const teacherWeight = 0.7

/** Asked to stop between two steps; the last epoch's checkpoint stands. */
export class Interrupted extends Error {
  readonly stage: StageName
  readonly epoch: number
  constructor(stage: StageName, epoch: number) {
    super('interrupted')
    this.stage = stage
    this.epoch = epoch
  }
}

/** What all stages share. */
export interface Session {
  readonly spec: Spec
  readonly hooks: Hooks
  readonly directory: RunDirectory
  readonly journal: Journal
  readonly engine: Engine
  readonly dataset: Dataset
  emit(event: StudyEvent): void
  save(checkpoint: Unstamped): void
  seconds(): number
  /** Runs a stage between its two events. */
  stage<T>(stage: StageName, work: () => Promise<T>): Promise<T>
  /** For the steps of an epoch: reports progress, and false once the run shall stop. */
  between(stage: StageName, text: string): (done: number, total: number) => boolean
}
