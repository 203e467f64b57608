// What the stages of a study share: the open run, its defaults, and how a run is asked to stop.
import type { Engine } from '@bitwright/engine'
import { streamTraining } from '../data/augment.ts'
import type { Dataset } from '../data/dataset.ts'
import type { SourceOptions } from '../training/sample-source.ts'
import type { Hooks, SearchSpec, TrainSpec } from './api.ts'
import type { Checkpoint } from './checkpoint.ts'
import type { StageName, StudyEvent } from './events.ts'
import type { Journal } from './journal.ts'
import type { RunDirectory } from './run-directory.ts'

export type Spec = SearchSpec | TrainSpec

/** Training defaults; the search's are in search/proxyless.ts. */
export const training = { optimizer: 'adam', learningRate: 3e-3, weightDecay: 0.05, labelSmoothing: 0.1 } as const
/** Images are many and the same number of epochs is many more steps; measured on CIFAR-10 (docs/images.md). */
const imageTraining = { ...training, learningRate: 6e-3 } as const

/** The defaults for a kind of samples. */
export const recipeOf = ({ kind }: Pick<Dataset, 'kind'>) => (kind === 'image' ? imageTraining : training)

/** Quantization starts from trained weights: a share of the rate. */
export const quantizeShare = 0.5

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
  save(checkpoint: Omit<Checkpoint, 'seconds'>): void
  seconds(): number
  /** Runs a stage between its two events. */
  stage<T>(stage: StageName, work: () => Promise<T>): Promise<T>
  /** For the steps of an epoch: reports progress, and false once the run shall stop. */
  between(stage: StageName, text: string): (done: number, total: number) => boolean
}
