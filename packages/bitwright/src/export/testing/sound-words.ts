// A small vocabulary of made sounds, and a network trained on it within seconds: what a browser test can listen for.
import { Random } from '@bitwright/engine'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { encodeWav } from '../../data/wav.ts'
import { classifier, convolution, network } from '../../network/blocks.ts'
import { runDirectory } from '../../study/run-directory.ts'
import { trainStudy } from '../../study/run.ts'

export const sampleRate = 16_000
export const soundWords = ['high', 'low', 'sweep'] as const
export type SoundWord = (typeof soundWords)[number]
const wordSamples = 6400
const clipsPerClass = 48

/** Frequency at a moment of the word, 0 to 1. */
const frequencies: Readonly<Record<SoundWord, (at: number) => number>> = {
  high: () => 2600,
  low: () => 400,
  sweep: (at) => 600 + 1400 * at,
}

/** A recording of words at given seconds, over faint noise; each a little different. */
export function soundRecording(words: readonly (readonly [SoundWord, number])[], seconds: number, seed: number): Int16Array {
  const random = new Random(seed, 'sound-words')
  const samples = Float64Array.from({ length: Math.round(seconds * sampleRate) }, () => 60 * random.normal())
  for (const [word, second] of words) {
    const start = Math.round(second * sampleRate)
    const loudness = random.uniform(4000, 14_000)
    const tuning = random.uniform(0.95, 1.05)
    let phase = 0
    for (let i = 0; i < wordSamples && start + i < samples.length; i++) {
      const at = i / wordSamples
      phase += (2 * Math.PI * tuning * frequencies[word](at)) / sampleRate
      samples[start + i] += loudness * Math.sin(phase) * Math.sin(Math.PI * at) ** 0.5
    }
  }
  return Int16Array.from(samples, (sample) => Math.max(-32768, Math.min(32767, Math.round(sample))))
}

/** Trains in a folder; the .bw file. Silence is a class of its own. */
export async function trainSoundWords(folder: string): Promise<Uint8Array> {
  for (const [index, word] of [...soundWords, '_silence_' as const].entries()) {
    const directory = join(folder, 'clips', word)
    mkdirSync(directory, { recursive: true })
    for (let clip = 0; clip < clipsPerClass; clip++) {
      const seed = index * clipsPerClass + clip
      const start = new Random(seed, 'start').uniform(0.05, 0.55)
      // a word that has only begun is none yet
      const begun = (['high', 'low', 'sweep'] as const)[clip % 3]
      const heard: [SoundWord, number][] = word === '_silence_' ? (clip % 2 ? [] : [[begun, 0.93]]) : [[word, start]]
      writeFileSync(join(directory, `${clip}_nohash_0.wav`), encodeWav(soundRecording(heard, 1, seed), sampleRate))
    }
  }
  const samples = sampleRate
  const frontEnd = {
    kind: 'mfcc',
    sampleRate,
    samples,
    windowSamples: 640,
    hopSamples: 320,
    melBands: 40,
    coefficients: 10,
    lowHz: 20,
    highHz: 7600,
  } as const
  const nodes = [
    { id: 'input', op: 'input', inputs: [], shape: [49, 10, 1] } as const,
    convolution('front', 'input', { channels: 16, kernelSize: [10, 10], stride: [2, 1], padding: [0, 0, 0, 0] }),
    convolution('second', 'front', { channels: 16, kernelSize: [5, 1], stride: [2, 1], padding: [2, 2, 0, 0] }),
    ...classifier('second', soundWords.length + 1),
  ]
  const classes = [...soundWords, '_silence_']
  writeFileSync(join(folder, 'network.json'), JSON.stringify(network('sound-words', frontEnd, classes, nodes)))
  const out = join(folder, 'run')
  await trainStudy(
    {
      data: { directory: join(folder, 'clips'), split: 'hash', salt: '', strict: true },
      network: join(folder, 'network.json'),
      weightBits: 8,
      activationBits: 8,
      granularity: 'channel',
      bitPenalty: 0,
      averageBits: 8,
      budget: {},
      epochs: { warmup: 0, search: 0, train: 14, quantize: 3 },
      batchSize: 16,
      learningRate: 0.01,
      seed: 1,
      threads: 2,
      backend: 'auto',
      out,
      resume: false,
      command: 'bitwright train',
    },
    { onEvent: () => {}, onProgress: () => {}, shouldStop: () => false },
  )
  return new Uint8Array(readFileSync(runDirectory(out).model))
}
