// What a dataset is to the rest of the house: clips with labels in three splits, decoded once into memory.

export type SplitName = 'train' | 'validation' | 'test'

export interface Clip {
  /** Path relative to the dataset's folder, with forward slashes; silence made from noise: '_silence_/<n>'. */
  readonly path: string
  /** Index into `classes`. */
  readonly label: number
  /** Speaker id where the layout tells it (Speech Commands: the part before `_nohash_`), else undefined. */
  readonly speaker?: string
  /** Row in the sample matrix. */
  readonly index: number
}

export interface SkippedFile {
  readonly path: string
  readonly reason: string
}

export interface AudioDataset {
  readonly directory: string
  readonly classes: readonly string[]
  readonly sampleRate: number
  /** Samples of every clip after cropping or zero filling (default 16000). */
  readonly samples: number
  readonly splits: Readonly<Record<SplitName, readonly Clip[]>>
  readonly skipped: readonly SkippedFile[]
  /** PCM of clip i at [i * samples, (i + 1) * samples), 16 bits, shared between threads. */
  readonly pcm: Int16Array
  /** Background recordings for augmentation, 16 bits; may be empty. */
  readonly background: readonly Int16Array[]
}
