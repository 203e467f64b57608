// What training takes its batches from, whatever the samples are. One file per kind of samples.
import type { Engine, Stored } from '@bitwright/engine'
import type { AugmentationKey, AugmentationOptions } from '../data/augment.ts'
import type { ImageAugmentation } from '../data/augment-image.ts'
import type { Dataset, Sample } from '../data/dataset.ts'
import type { EpochOptions } from '../data/sampler.ts'
import type { FrontEnd } from '../network/network.ts'
import { AudioSource } from './audio-source.ts'
import { GraphSource, type GraphVariation } from './graph-source.ts'
import { ImageSource } from './image-source.ts'

export interface SampleSource {
  readonly dataset: Dataset
  /** The training samples of one epoch, in its order; the same seed and epoch give the same. */
  epochOrder(seed: number, epoch: number): Sample[]
  /** Writes the samples into the first rows of the input map [batch, ...] and clears the rest; augmented if a key is given. */
  fill(input: Stored, samples: readonly Sample[], key: AugmentationKey | null): void
}

export interface SourceOptions {
  readonly audio?: AugmentationOptions & EpochOptions
  readonly image?: ImageAugmentation
  readonly graph?: GraphVariation
}

/** @throws RunError where the network takes other inputs than the dataset has */
export function openSource(engine: Engine, dataset: Dataset, frontEnd: FrontEnd, options: SourceOptions = {}): SampleSource {
  if (dataset.kind === 'graph') return new GraphSource(engine, dataset, frontEnd, options.graph)
  return dataset.kind === 'audio'
    ? new AudioSource(engine, dataset, frontEnd, options.audio)
    : new ImageSource(engine, dataset, frontEnd, options.image)
}
