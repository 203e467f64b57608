// Fills a batch with clips, in training with augmentation: played a little faster or slower (as kws_streaming does, arXiv 2005.06720: it
// stands for other voices), shifted in time, then background noise mixed in as x (1 - v) + noise v (arXiv 2012.10138). Every draw is keyed by seed, epoch and clip, so it is the same in any batch and on any thread.

import { Random } from '@bitwright/engine'
import type { AudioDataset, Sample } from './dataset.ts'
import type { EpochOptions } from './sampler.ts'

export interface AugmentationKey {
  readonly seed: number
  readonly epoch: number
}

export interface AugmentationOptions {
  /** Speed is uniform within 1 -+ this, around the middle of the clip; default 0.15. Between samples it is interpolated linearly. */
  readonly speedChange?: number
  /** Largest shift to either side, default 100 ms; what moves in is zero. */
  readonly shiftMs?: number
  /** Probability that noise is mixed in, default 0.8. */
  readonly noiseProbability?: number
  /** v is uniform between 0 and this, default 0.1. */
  readonly noiseVolume?: number
  /** Instead of `noiseVolume`: the clip is uniformly between so many dB louder than the noise. */
  readonly signalToNoise?: { readonly lowest: number; readonly highest: number }
}

/**
 * For networks that will hear a stream: there is nearly always something behind a word, as loud as it likes, and far more of what is said is
 * no keyword.
 */
export const streamTraining: AugmentationOptions & EpochOptions = {
  noiseProbability: 0.9,
  signalToNoise: { lowest: 0, highest: 35 },
  unknownShare: 0.5,
  silenceShare: 0.15,
}

/** Clips softer than this, in 16-bit units, count as this loud: noise alone is heard at the levels at which it lies behind words. */
const softestClip = 1000

/** One clip after another as it is played, with the place of its first sample in a batch [clips.length, samples]. */
function eachPlayed(
  dataset: AudioDataset,
  clips: readonly Sample[],
  key: AugmentationKey | null,
  options: AugmentationOptions,
  write: (clip: Float32Array, to: number, augmentation: ReturnType<typeof drawAugmentation>) => void,
): void {
  const clip = new Float32Array(dataset.samples)
  for (let row = 0; row < clips.length; row++) {
    const augmentation = drawAugmentation(dataset, clips[row], key, options)
    play(dataset, clips[row], augmentation, clip)
    write(clip, row * dataset.samples, augmentation)
  }
}

/**
 * Writes clips as floats in [-1, 1) into `out` [clips.length, samples]. With a key each is augmented, with null it is taken as it is.
 * `out` may be longer; the rest is left alone.
 */
export function fillBatch(
  dataset: AudioDataset,
  clips: readonly Sample[],
  key: AugmentationKey | null,
  out: Float32Array,
  options: AugmentationOptions = {},
): void {
  eachPlayed(dataset, clips, key, options, (clip, to, { noise, noiseStart, volume }) => {
    const gain = (1 - volume) / 32768
    const noiseGain = volume / 32768
    if (noise) for (let i = 0; i < clip.length; i++) out[to + i] = gain * clip[i] + noiseGain * noise[noiseStart + i]
    else for (let i = 0; i < clip.length; i++) out[to + i] = gain * clip[i]
  })
}

/** The same batch as 16-bit samples, rounded to the nearest, for front ends that take integers: [clips.length, samples]. */
export function fillBatchPcm(
  dataset: AudioDataset,
  clips: readonly Sample[],
  key: AugmentationKey | null,
  out: Int16Array,
  options: AugmentationOptions = {},
): void {
  eachPlayed(dataset, clips, key, options, (clip, to, { noise, noiseStart, volume }) => {
    const gain = 1 - volume
    if (noise) for (let i = 0; i < clip.length; i++) out[to + i] = round(gain * clip[i] + volume * noise[noiseStart + i])
    else for (let i = 0; i < clip.length; i++) out[to + i] = round(clip[i])
  })
}

/** The clip at its speed and place, in units of 16-bit samples; zeros where it has nothing. */
function play({ pcm, samples }: AudioDataset, { index }: Sample, { shift, speed }: Augmentation, out: Float32Array): void {
  const from = index * samples
  if (speed === 1) {
    const [begin, end] = [Math.max(0, shift), Math.min(samples, samples + shift)]
    out.fill(0, 0, begin)
    for (let i = begin; i < end; i++) out[i] = pcm[from + i - shift]
    out.fill(0, end)
    return
  }
  const sound = pcm.subarray(from, from + samples)
  const middle = samples / 2
  const heard = (i: number): boolean => {
    const position = (i - shift - middle) * speed + middle
    return position >= 0 && position < samples - 1
  }
  // positions only rise or only fall, so what is heard is one piece; its loop decides nothing
  let [begin, end] = [0, samples]
  while (begin < end && !heard(begin)) begin++
  while (end > begin && !heard(end - 1)) end--
  out.fill(0, 0, begin)
  for (let i = begin; i < end; i++) {
    const position = (i - shift - middle) * speed + middle
    const left = position | 0
    const value = sound[left]
    out[i] = value + (position - left) * (sound[left + 1] - value)
  }
  out.fill(0, end)
}

/** Nearest integer of a 16-bit value, halves upwards; the mix of two such values with weights that sum to one stays in range. */
function round(value: number): number {
  return ((value + 32768.5) | 0) - 32768
}

interface Augmentation {
  /** Samples by which the clip moves to the right. */
  readonly shift: number
  /** Samples of the recording per sample of the result. */
  readonly speed: number
  readonly noise?: Int16Array
  readonly noiseStart: number
  /** 0 without noise. */
  readonly volume: number
}

function drawAugmentation(dataset: AudioDataset, clip: Sample, key: AugmentationKey | null, options: AugmentationOptions): Augmentation {
  if (!key) return { shift: 0, speed: 1, noiseStart: 0, volume: 0 }
  const { speedChange = 0.15, shiftMs = 100, noiseProbability = 0.8, noiseVolume = 0.1, signalToNoise } = options
  const { background, sampleRate, samples, pcm } = dataset
  const random = new Random(key.seed, 'augmentation', key.epoch, clip.index)
  const most = Math.min(samples, Math.round((shiftMs / 1000) * sampleRate))
  const shift = random.integer(2 * most + 1) - most
  const speed = speedChange > 0 ? random.uniform(1 - speedChange, 1 + speedChange) : 1
  if (background.length === 0 || random.uniform() >= noiseProbability) return { shift, speed, noiseStart: 0, volume: 0 }
  const noise = background[random.integer(background.length)]
  const noiseStart = random.integer(noise.length - samples + 1)
  if (!signalToNoise) return { shift, speed, noise, noiseStart, volume: random.uniform(0, noiseVolume) }
  const signal = Math.max(softestClip, loudness(pcm.subarray(clip.index * samples, (clip.index + 1) * samples)))
  const behind = loudness(noise.subarray(noiseStart, noiseStart + samples))
  // noise at volume v beside a clip at 1 - v
  const ratio = signal / Math.max(1, behind) / 10 ** (random.uniform(signalToNoise.lowest, signalToNoise.highest) / 20)
  return { shift, speed, noise, noiseStart, volume: ratio / (1 + ratio) }
}

/** Root mean square. */
function loudness(samples: Int16Array): number {
  let energy = 0
  for (let i = 0; i < samples.length; i++) energy += samples[i] * samples[i]
  return Math.sqrt(energy / samples.length)
}
