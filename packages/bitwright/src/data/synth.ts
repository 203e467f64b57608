// Makes a speech data set from text alone, laid out like Speech Commands: many voices say the keywords and some other words, each clip with
// its own position, loudness and room, beside generated background noise and lists that split it by voice.

import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { Random } from '@bitwright/engine'
import { UsageError } from '../errors.ts'
import { toPcm } from './clip.ts'
import { hum, mixBabble, pinkNoise, whiteNoise } from './noise.ts'
import { backgroundFolder } from './scan.ts'
import { requireEspeak, speakPhrases, type Phrase } from './synth-process.ts'
import { drawTake, drawVoices, type Voice } from './synth-voices.ts'
import { encodeWav } from './wav.ts'

export interface SynthesisOptions {
  /** The keywords; letters, digits, spaces, apostrophes and hyphens. Spaces become underscores in folder names. */
  readonly words: readonly string[]
  /** Is made; has to be absent or empty. */
  readonly directory: string
  readonly seed: number
  /** Voices that say each word, default half as many as clips. A voice says a word more than once in other takes. */
  readonly voicesPerWord?: number
  readonly clipsPerWord: number
  /** Words for the unknown class, default twenty; each gets a fifth of the clips of a keyword. */
  readonly otherWords?: readonly string[]
  /** espeak-ng processes, default 2. */
  readonly processes?: number
  readonly onProgress?: (done: number, total: number) => void
}

export interface Synthesis {
  readonly directory: string
  readonly clips: number
  readonly voices: number
  readonly words: readonly string[]
  readonly otherWords: readonly string[]
}

const rate = 16000
const noiseSeconds = 20
const listShare = 0.15
const usualOthers = (
  'bed bird cat dog eight five four happy house nine six tree two zero marvin sheila wow learn follow visual ' +
  'water open music garden paper window letter seven table yellow'
).split(' ')

/** Writes the set. The same options give the same bytes. Throws a UsageError where espeak-ng is not installed or the request cannot be met. */
export async function synthesizeSpeech(options: SynthesisOptions): Promise<Synthesis> {
  const { words, seed, clipsPerWord, processes = 2, onProgress } = options
  const directory = resolve(options.directory)
  const voicesPerWord = options.voicesPerWord ?? Math.max(5, Math.ceil(clipsPerWord / 2))
  const otherWords = options.otherWords ?? usualOthers.filter((word) => !words.includes(word)).slice(0, 20)
  check(options, voicesPerWord, otherWords)
  requireEspeak()

  const voices = drawVoices(voicesPerWord, seed)
  const jobs = planJobs(voices, words, otherWords, clipsPerWord, Math.ceil(clipsPerWord / 5), seed)
  const total = jobs.reduce((sum, job) => sum + job.words.length, 0)
  const room = pinkNoise(noiseSeconds * rate, new Random(seed, 'room'))
  mkdirSync(dirname(directory), { recursive: true })
  const partial = mkdtempSync(`${directory}.partial-`)
  for (const folder of [...words, ...otherWords].map(folderOf)) mkdirSync(join(partial, folder), { recursive: true })
  try {
    const babble: Float32Array[] = []
    let done = 0
    await speakPhrases(jobs, processes, (index, spoken) => {
      const { id, take } = jobs[index]
      for (const [i, word] of jobs[index].words.entries()) {
        const path = `${folderOf(word)}/${id}_nohash_${take}.wav`
        const clip = record(spoken[i], room, new Random(seed, 'recording', path))
        writeFileSync(join(partial, path), encodeWav(toPcm(clip), rate))
      }
      if (jobs[index].others > 0) babble[index] = joined(spoken.slice(spoken.length - jobs[index].others))
      onProgress?.((done += spoken.length), total)
    })
    writeBackground(partial, seed, Object.values(babble))
    writeLists(partial, voices, jobs, seed)
    if (existsSync(directory)) rmdirSync(directory)
    chmodSync(partial, 0o777 & ~process.umask())
    renameSync(partial, directory)
  } catch (error) {
    rmSync(partial, { recursive: true, force: true })
    throw error
  }
  return {
    directory: options.directory,
    clips: total,
    voices: voices.length,
    words: words.map(folderOf),
    otherWords: otherWords.map(folderOf),
  }
}

interface Job extends Phrase {
  readonly id: string
  readonly take: number
  /** How many of the words, at the end, are other words. */
  readonly others: number
}

function check({ words, directory, clipsPerWord }: SynthesisOptions, voices: number, others: readonly string[]): void {
  if (words.length === 0) throw new UsageError('--words names no word to synthesise')
  for (const [index, word] of [...words, ...others].entries()) {
    if (!/^[\p{L}\p{N}][\p{L}\p{M}\p{N} '-]*$/u.test(word))
      throw new UsageError(`--words: ${JSON.stringify(word)} has signs that cannot be spoken`)
    if ([...words, ...others].indexOf(word) !== index) throw new UsageError(`--words: ${word} is named twice`)
  }
  if (!Number.isInteger(clipsPerWord) || clipsPerWord < 5) throw new UsageError(`${clipsPerWord} clips per word; at least 5 are needed`)
  if (!Number.isInteger(voices) || voices < 5) throw new UsageError(`${voices} voices per word; at least 5 are needed for three splits`)
  if (voices > clipsPerWord)
    throw new UsageError(`${voices} voices per word cannot share ${clipsPerWord} clips; ask for more clips or fewer voices`)
  if (existsSync(directory) && !statSync(directory).isDirectory()) throw new UsageError(`${directory} is a file; choose another --out`)
  if (existsSync(directory) && readdirSync(directory).length > 0) throw new UsageError(`${directory} is not empty; choose another --out`)
}

/** One job per voice and take: clip c of a word is take floor(c / voices) of voice c mod voices; other words begin at a voice of their own. */
function planJobs(
  voices: readonly Voice[],
  words: readonly string[],
  others: readonly string[],
  clips: number,
  otherClips: number,
  seed: number,
): Job[] {
  const jobs: Job[] = []
  for (let take = 0; take * voices.length < clips; take++) {
    for (const [number, voice] of voices.entries()) {
      const said = (count: number, first: number) =>
        ((number - first + count * voices.length) % voices.length) + take * voices.length < count
      const keywords = words.filter(() => said(clips, 0))
      const rest = others.filter((_, i) => said(otherClips, (i * otherClips) % voices.length))
      if (keywords.length + rest.length === 0) continue
      jobs.push({
        id: voice.id,
        take,
        voice: voice.name,
        words: [...keywords, ...rest],
        others: rest.length,
        ...drawTake(voice, take, seed),
      })
    }
  }
  return jobs
}

/** What a microphone hears: the word somewhere near the middle of a second, at some loudness, with a few reflections and a noise floor. */
function record(word: Float32Array, room: Float32Array, random: Random): Float32Array {
  const length = Math.max(rate, word.length)
  const clip = new Float32Array(length)
  const slack = length - word.length
  const start = Math.round(slack / 2 + random.uniform(-1, 1) * Math.min(slack / 2, 0.15 * rate))
  const tilt = random.uniform(-0.4, 0.4)
  for (let i = 0; i < word.length; i++) clip[start + i] = word[i] + (i > 0 ? tilt * word[i - 1] : 0)
  const reflections = Array.from({ length: 3 }, () => ({ delay: 80 + random.integer(560), gain: random.uniform(-0.25, 0.25) }))
  for (const { delay, gain } of reflections) for (let i = length - 1; i >= start + delay; i--) clip[i] += gain * clip[i - delay]
  let peak = 1e-9
  for (const value of clip) peak = Math.max(peak, Math.abs(value))
  const loudness = 10 ** (random.uniform(-20, -2) / 20)
  const floor = 4 * loudness * 10 ** (random.uniform(-55, -25) / 20)
  const from = random.integer(room.length - length + 1)
  for (let i = 0; i < length; i++) clip[i] = (clip[i] * loudness) / peak + floor * room[from + i]
  return clip
}

function writeBackground(directory: string, seed: number, babble: readonly Float32Array[]): void {
  const length = noiseSeconds * rate
  const recordings = {
    white: whiteNoise(length, new Random(seed, 'white')),
    pink: pinkNoise(length, new Random(seed, 'pink')),
    hum: hum(length, rate, new Random(seed, 'hum')),
    babble: mixBabble(length, babble, new Random(seed, 'babble')),
  }
  mkdirSync(join(directory, backgroundFolder))
  for (const [name, samples] of Object.entries(recordings)) {
    writeFileSync(join(directory, backgroundFolder, `${name}.wav`), encodeWav(toPcm(samples), rate))
  }
}

function writeLists(directory: string, voices: readonly Voice[], jobs: readonly Job[], seed: number): void {
  const order = new Random(seed, 'split').permutation(voices.length)
  const share = Math.max(1, Math.round(listShare * voices.length))
  for (const [place, name] of ['validation_list.txt', 'testing_list.txt'].entries()) {
    const members = new Set(Array.from(order.subarray(place * share, (place + 1) * share), (voice) => voices[voice].id))
    const lines = jobs.flatMap(({ id, take, words }) =>
      members.has(id) ? words.map((word) => `${folderOf(word)}/${id}_nohash_${take}.wav`) : [],
    )
    writeFileSync(join(directory, name), `${lines.toSorted().join('\n')}\n`)
  }
}

function folderOf(word: string): string {
  return word.replaceAll(' ', '_')
}

function joined(parts: readonly Float32Array[]): Float32Array {
  return Float32Array.from(parts.flatMap((part) => [...part]))
}
