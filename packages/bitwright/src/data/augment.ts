// Fills a batch with clips, in training with the augmentation of the papers (research/papers.md, section 0): a shift in time, then background
// noise mixed in as x (1 - v) + noise v. Every draw is keyed by seed, epoch and clip, so it is the same in any batch and on any thread.

import { Random } from '@bitwright/engine'
import type { AudioDataset, Clip } from './dataset.ts'

export interface AugmentationKey {
  readonly seed: number
  readonly epoch: number
}

export interface AugmentationOptions {
  /** Largest shift to either side, default 100 ms; what moves in is zero. */
  readonly shiftMs?: number
  /** Probability that noise is mixed in, default 0.8. */
  readonly noiseProbability?: number
  /** v is uniform between 0 and this, default 0.1. */
  readonly noiseVolume?: number
}

/**
 * Writes clips as floats in [-1, 1) into `out` [clips.length, samples]. With a key each is augmented, with null it is taken as it is.
 * `out` may be longer; the rest is left alone.
 */
export function fillBatch(
  dataset: AudioDataset,
  clips: readonly Clip[],
  key: AugmentationKey | null,
  out: Float32Array,
  options: AugmentationOptions = {},
): void {
  const { pcm, samples } = dataset
  for (let row = 0; row < clips.length; row++) {
    const { shift, noise, noiseStart, volume } = drawAugmentation(dataset, clips[row], key, options)
    const from = clips[row].index * samples - shift
    const to = row * samples
    const begin = Math.max(0, shift)
    const end = Math.min(samples, samples + shift)
    const gain = (1 - volume) / 32768
    const noiseGain = volume / 32768
    if (noise) {
      for (let i = 0; i < begin; i++) out[to + i] = noiseGain * noise[noiseStart + i]
      for (let i = begin; i < end; i++) out[to + i] = gain * pcm[from + i] + noiseGain * noise[noiseStart + i]
      for (let i = end; i < samples; i++) out[to + i] = noiseGain * noise[noiseStart + i]
    } else {
      out.fill(0, to, to + begin)
      for (let i = begin; i < end; i++) out[to + i] = gain * pcm[from + i]
      out.fill(0, to + end, to + samples)
    }
  }
}

/** The same batch as 16-bit samples, rounded to the nearest, for front ends that take integers: [clips.length, samples]. */
export function fillBatchPcm(
  dataset: AudioDataset,
  clips: readonly Clip[],
  key: AugmentationKey | null,
  out: Int16Array,
  options: AugmentationOptions = {},
): void {
  const { pcm, samples } = dataset
  for (let row = 0; row < clips.length; row++) {
    const { shift, noise, noiseStart, volume } = drawAugmentation(dataset, clips[row], key, options)
    const from = clips[row].index * samples - shift
    const to = row * samples
    const begin = Math.max(0, shift)
    const end = Math.min(samples, samples + shift)
    if (noise) {
      const gain = 1 - volume
      for (let i = 0; i < begin; i++) out[to + i] = round(volume * noise[noiseStart + i])
      for (let i = begin; i < end; i++) out[to + i] = round(gain * pcm[from + i] + volume * noise[noiseStart + i])
      for (let i = end; i < samples; i++) out[to + i] = round(volume * noise[noiseStart + i])
    } else {
      out.fill(0, to, to + begin)
      out.set(pcm.subarray(from + begin, from + end), to + begin)
      out.fill(0, to + end, to + samples)
    }
  }
}

/** Nearest integer of a 16-bit value, halves upwards; the mix of two such values with weights that sum to one stays in range. */
function round(value: number): number {
  return ((value + 32768.5) | 0) - 32768
}

interface Augmentation {
  /** Samples by which the clip moves to the right. */
  readonly shift: number
  readonly noise?: Int16Array
  readonly noiseStart: number
  /** 0 without noise. */
  readonly volume: number
}

function drawAugmentation(dataset: AudioDataset, clip: Clip, key: AugmentationKey | null, options: AugmentationOptions): Augmentation {
  if (!key) return { shift: 0, noiseStart: 0, volume: 0 }
  const { shiftMs = 100, noiseProbability = 0.8, noiseVolume = 0.1 } = options
  const { background, sampleRate, samples } = dataset
  const random = new Random(key.seed, 'augmentation', key.epoch, clip.index)
  const most = Math.min(samples, Math.round((shiftMs / 1000) * sampleRate))
  const shift = random.integer(2 * most + 1) - most
  if (background.length === 0 || random.uniform() >= noiseProbability) return { shift, noiseStart: 0, volume: 0 }
  const noise = background[random.integer(background.length)]
  return { shift, noise, noiseStart: random.integer(noise.length - samples + 1), volume: random.uniform(0, noiseVolume) }
}
