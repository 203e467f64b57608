// Which training clips an epoch sees, in which order: all keywords, and of unknown and silence a fresh tenth (research/papers.md, section 0).

import { Random } from '@bitwright/engine'
import type { AudioDataset, Sample } from './dataset.ts'
import { silenceLabel, unknownLabel } from './scan.ts'

export interface EpochOptions {
  /** Clips of `_unknown_` per keyword clip, default 0.1. */
  readonly unknownShare?: number
  /** Clips of `_silence_` per keyword clip, default 0.1. */
  readonly silenceShare?: number
}

/**
 * The training clips of one epoch, shuffled: each keyword clip once, unknown and silence as their shares say. They are drawn without
 * replacement; where the data has fewer than the share asks for, all are taken again. The same seed and epoch give the same order.
 */
export function epochOrder(dataset: AudioDataset, seed: number, epoch: number, options: EpochOptions = {}): Sample[] {
  const { unknownShare = 0.1, silenceShare = 0.1 } = options
  const pool = (name: string) => dataset.splits.train.filter((clip) => dataset.classes[clip.label] === name)
  const unknown = pool(unknownLabel)
  const silence = pool(silenceLabel)
  const keywords = dataset.splits.train.filter(
    ({ label }) => dataset.classes[label] !== unknownLabel && dataset.classes[label] !== silenceLabel,
  )
  const clips = [
    ...keywords,
    ...draw(unknown, Math.round(unknownShare * keywords.length), new Random(seed, 'unknown', epoch)),
    ...draw(silence, Math.round(silenceShare * keywords.length), new Random(seed, 'silence', epoch)),
  ]
  return Array.from(new Random(seed, 'order', epoch).permutation(clips.length), (index) => clips[index])
}

function draw(pool: readonly Sample[], count: number, random: Random): Sample[] {
  const drawn: Sample[] = []
  while (pool.length > 0 && drawn.length < count) {
    for (const index of random.permutation(pool.length).subarray(0, count - drawn.length)) drawn.push(pool[index])
  }
  return drawn
}
