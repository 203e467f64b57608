// What a dataset is to the rest of the house: samples (sounds or images) with labels in three splits, decoded once into memory.
import type { SparseMatrix } from '@bitwright/engine'
import { UsageError } from '../errors.ts'

export type SplitName = 'train' | 'validation' | 'test'

export interface Sample {
  /** Path relative to the dataset's folder, with forward slashes; silence made from noise: '_silence_/<n>'. */
  readonly path: string
  /** Index into `classes`. */
  readonly label: number
  /** Speaker id where the layout tells it (Speech Commands: the part before `_nohash_`), else undefined. */
  readonly speaker?: string
  /** Row of its values. */
  readonly index: number
}

export interface SkippedFile {
  readonly path: string
  readonly reason: string
}

interface DatasetBase {
  readonly directory: string
  readonly classes: readonly string[]
  readonly splits: Readonly<Record<SplitName, readonly Sample[]>>
  readonly skipped: readonly SkippedFile[]
  /** Of a run that adapts to new data: how many rows in front are those of the old. */
  readonly oldRows?: number
}

export interface AudioDataset extends DatasetBase {
  readonly kind: 'audio'
  readonly sampleRate: number
  /** Samples of every clip after cropping or zero filling (default 16000). */
  readonly samples: number
  /** PCM of clip i at [i * samples, (i + 1) * samples), 16 bits, shared between threads. */
  readonly pcm: Int16Array
  /** Background recordings for augmentation, 16 bits; may be empty. */
  readonly background: readonly Int16Array[]
}

export interface ImageDataset extends DatasetBase {
  readonly kind: 'image'
  readonly height: number
  readonly width: number
  readonly channels: 1 | 3
  /** Of image i at [i * size, (i + 1) * size), size = height * width * channels, channels last; shared between threads. */
  readonly pixels: Uint8Array
}

/** The samples are the nodes of one graph. */
export interface GraphDataset extends DatasetBase {
  readonly kind: 'graph'
  readonly nodes: number
  /** [nodes][features] */
  readonly features: SparseMatrix
  /** Ones at [node][neighbour], both directions of every edge, and every node is its own neighbour. */
  readonly neighbours: SparseMatrix
}

export type Dataset = AudioDataset | ImageDataset | GraphDataset

/** What integer models take. */
export type RowsDataset = AudioDataset | ImageDataset

/** @throws UsageError for a graph, whose nodes no integer model takes */
export function requireRows(dataset: Dataset): asserts dataset is RowsDataset {
  if (dataset.kind === 'graph') throw new UsageError(`${dataset.directory}: is a graph, and there are no integer models for graphs`)
}

/** Rows of equal size, each what a model takes as its input. */
export interface InputRows {
  readonly values: Int16Array | Uint8Array
  readonly size: number
}

export function inputRows(dataset: Dataset): InputRows {
  requireRows(dataset)
  if (dataset.kind === 'audio') return { values: dataset.pcm, size: dataset.samples }
  return { values: dataset.pixels, size: dataset.height * dataset.width * dataset.channels }
}
