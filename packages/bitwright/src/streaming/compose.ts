// Long recordings with known contents, made from the clips of a split: keywords and other words, one after the other with pauses, over
// background noise. The same clips and seed give the same samples.
import { Random } from '@bitwright/engine'
import type { AudioDataset, Sample, SplitName } from '../data/dataset.ts'
import { pinkNoise } from '../data/noise.ts'
import { toPcm } from '../data/clip.ts'
import { wordSpan } from './word-span.ts'

/** A word in the recording; seconds from its start. */
export interface PlacedWord {
  /** Index into the classes. */
  readonly label: number
  /** Path of its clip in the dataset. */
  readonly clip: string
  readonly start: number
  readonly end: number
}

export interface LongAudio {
  readonly pcm: Int16Array
  readonly sampleRate: number
  /** Keywords in the order of time. */
  readonly words: readonly PlacedWord[]
  /** Words of the unknown class between them, likewise. */
  readonly others: readonly PlacedWord[]
}

export interface ComposeOptions {
  readonly split: SplitName
  readonly seconds: number
  readonly seed: number
}

/** Every word is this much louder than the noise behind it, in dB. */
export const signalToNoise = { lowest: 10, highest: 25 }
/** Of the noise, in dB below full scale; drawn anew for every stretch. */
const noiseLevel = { lowest: -45, highest: -35 }
/** Of the words, how many are keywords, where there are others. */
const keywordShare = 0.4
const pauseSeconds = { least: 0.5, most: 2.5 }
const stretchSeconds = 20
/** Around a word, faded in and out. */
const marginSeconds = 0.1
const fadeSeconds = 0.02

/** Whether a class is a word to be heard, rather than what is left: silence, unknown. */
export const isKeyword = (name: string): boolean => !name.startsWith('_')

/** A recording of the split's words. Without background recordings the noise is pink. */
export function composeAudio(dataset: AudioDataset, { split, seconds, seed }: ComposeOptions): LongAudio {
  const { sampleRate, classes } = dataset
  const random = new Random(seed, 'long audio', split)
  const length = Math.round(seconds * sampleRate)
  const clips = dataset.splits[split]
  const keywords = new Deck(
    clips.filter(({ label }) => isKeyword(classes[label])),
    random,
  )
  const others = new Deck(
    clips.filter(({ label }) => classes[label] === '_unknown_'),
    random,
  )
  const noise = makeNoise(length, dataset, random)
  const { mix } = noise
  const words: PlacedWord[] = []
  const otherWords: PlacedWord[] = []
  const pause = () => Math.round(random.uniform(pauseSeconds.least, pauseSeconds.most) * sampleRate)
  for (let at = pause(); ; at += pause()) {
    const isOther = others.size > 0 && (keywords.size === 0 || random.uniform(0, 1) >= keywordShare)
    const clip = (isOther ? others : keywords).draw()
    if (clip === undefined) break
    const { samples, from, to } = wordOf(dataset, clip)
    if (at + samples.length > length) break
    const word = samples.subarray(from, to)
    const louder = 10 ** (random.uniform(signalToNoise.lowest, signalToNoise.highest) / 20)
    const gain = (noise.levelAt(at) * louder) / (loudness(word) || 1)
    for (const [i, value] of samples.entries()) mix[at + i] += gain * value
    const placed = { label: clip.label, clip: clip.path, start: (at + from) / sampleRate, end: (at + to) / sampleRate }
    ;(isOther ? otherWords : words).push(placed)
    at += samples.length
  }
  return { pcm: toPcm(mix), sampleRate, words, others: otherWords }
}

/** Draws each clip once before any of them again. */
class Deck {
  readonly size: number
  private readonly clips: readonly Sample[]
  private readonly random: Random
  private order: number[] = []

  constructor(clips: readonly Sample[], random: Random) {
    this.clips = clips
    this.size = clips.length
    this.random = random
  }

  draw(): Sample | undefined {
    if (this.order.length === 0) this.order = [...this.random.permutation(this.size)]
    const index = this.order.pop()
    return index === undefined ? undefined : this.clips[index]
  }
}

/** The word of a clip with a little around it, faded at both ends, as floats; the word itself is samples [from, to). */
function wordOf({ pcm, samples: size, sampleRate }: AudioDataset, { index }: Sample): { samples: Float32Array; from: number; to: number } {
  const clip = pcm.subarray(index * size, (index + 1) * size)
  const word = wordSpan(clip, sampleRate)
  const margin = Math.round(marginSeconds * sampleRate)
  const [start, end] = [Math.max(0, word.from - margin), Math.min(size, word.to + margin)]
  const fade = Math.round(fadeSeconds * sampleRate)
  const samples = Float32Array.from(clip.subarray(start, end), (value, i) => {
    const edge = Math.min(i, end - start - 1 - i) / fade
    return (value / 32768) * Math.min(1, edge)
  })
  return { samples, from: word.from - start, to: word.to - start }
}

/** Root mean square. */
function loudness(samples: Float32Array): number {
  return Math.sqrt(samples.reduce((sum, value) => sum + value * value, 0) / Math.max(1, samples.length))
}

/** Stretches of the background recordings, each at a level of its own. */
function makeNoise(length: number, { background, sampleRate }: AudioDataset, random: Random) {
  const mix = new Float32Array(length)
  const stretch = stretchSeconds * sampleRate
  const fade = Math.round(fadeSeconds * sampleRate)
  const levels: number[] = []
  for (let at = 0; at < length; at += stretch) {
    const count = Math.min(stretch, length - at)
    const noise = background.length > 0 ? excerpt(background[random.integer(background.length)], count, random) : pinkNoise(count, random)
    const level = 10 ** (random.uniform(noiseLevel.lowest, noiseLevel.highest) / 20)
    const gain = level / (loudness(noise) || 1)
    for (let i = 0; i < count; i++) mix[at + i] = gain * noise[i] * Math.min(1, Math.min(i, count - 1 - i) / fade)
    levels.push(level)
  }
  return { mix, levelAt: (at: number) => levels[Math.floor(at / stretch)] }
}

/** `count` samples of a recording from a random place on, from its start again where it ends. */
function excerpt(recording: Int16Array, count: number, random: Random): Float32Array {
  const from = random.integer(recording.length)
  return Float32Array.from({ length: count }, (_, i) => recording[(from + i) % recording.length] / 32768)
}
