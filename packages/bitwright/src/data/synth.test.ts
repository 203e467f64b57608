import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { UsageError } from '../errors.ts'
import { loadAudioDataset } from './audio-dataset.ts'
import { cutWords, requireEspeak } from './synth-process.ts'
import { drawTake, drawVoices } from './synth-voices.ts'
import { synthesizeSpeech, type SynthesisOptions } from './synth.ts'
import { decodeWav } from './wav.ts'

function missing(): string | undefined {
  try {
    requireEspeak()
    return undefined
  } catch {
    return 'the optional package espeak-ng is not installed'
  }
}

function files(directory: string): Map<string, Buffer> {
  const names = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  return new Map(
    names.map(({ parentPath, name }) => join(parentPath, name)).map((path) => [path.slice(directory.length + 1), readFileSync(path)]),
  )
}

/** The hissiest 20 ms that are nearly as loud as the loudest: zero crossings in 320 samples. */
function hiss(samples: Float32Array): number {
  const frames = Array.from({ length: Math.floor(samples.length / 320) }, (_, f) => samples.subarray(f * 320, (f + 1) * 320))
  const energy = frames.map((frame) => frame.reduce((sum, v) => sum + v * v, 0))
  const loudest = Math.max(...energy)
  const crossings = frames.map((frame) => frame.filter((v, i) => i > 0 && v >= 0 !== frame[i - 1] >= 0).length)
  return Math.max(...crossings.filter((_, f) => energy[f] > 0.003 * loudest))
}

const levels = (root: string, word: string) =>
  [...files(join(root, 'a', word))].map(([, bytes]) => hiss(decodeWav(bytes).samples)).toSorted((a, b) => a - b)

const stretch = (length: number, value: number) => Array<number>(length).fill(value)

describe.skipIf(missing())(`synthesizeSpeech${missing() ? ` (${missing()})` : ''}`, () => {
  let root = ''
  const options = (name: string, seed: number): SynthesisOptions => ({
    words: ['yes', 'hey you'],
    otherWords: ['no', 'go', 'wow', 'dog'],
    directory: join(root, name),
    seed,
    voicesPerWord: 6,
    clipsPerWord: 10,
  })
  const progress: [number, number][] = []
  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'bitwright-synth-'))
    const report = await synthesizeSpeech({ ...options('a', 1), onProgress: (done, total) => progress.push([done, total]) })
    expect(report).toMatchObject({ clips: 28, voices: 6, words: ['yes', 'hey_you'], otherWords: ['no', 'go', 'wow', 'dog'] })
  })
  afterAll(() => rmSync(root, { recursive: true }))

  it('writes a Speech Commands tree of one-second clips, each audible and none like another', () => {
    const tree = files(join(root, 'a'))
    const clips = [...tree].filter(([path]) => /^[a-z_]+\/[0-9a-f]{8}_nohash_\d\.wav$/.test(path))
    const folders = clips.map(([path]) => path.split('/')[0])
    expect(['yes', 'hey_you', 'no', 'go'].map((word) => folders.filter((folder) => folder === word).length)).toEqual([10, 10, 2, 2])
    expect(tree.size).toBe(28 + 4 + 2)
    expect(progress.at(-1)).toEqual([28, 28])
    const heads = new Set<string>()
    const lengths = new Set<number>()
    for (const [, bytes] of clips) {
      const { samples, sampleRate, bitsPerSample } = decodeWav(bytes)
      expect([samples.length, sampleRate, bitsPerSample]).toEqual([16000, 16000, 16])
      const loud = Array.from(samples, Math.abs)
      const peak = Math.max(...loud)
      expect(peak).toBeGreaterThan(0.08)
      expect(peak).toBeLessThan(0.99)
      const spoken = loud.findLastIndex((v) => v > 0.2 * peak) - loud.findIndex((v) => v > 0.2 * peak)
      expect(spoken).toBeGreaterThan(1200)
      expect(spoken).toBeLessThan(14000)
      lengths.add(spoken)
      heads.add(samples.subarray(7000, 9000).join())
    }
    expect(heads.size).toBe(28)
    expect(lengths.size).toBeGreaterThan(20)
    for (const name of ['white', 'pink', 'hum', 'babble'])
      expect(decodeWav(tree.get(`_background_noise_/${name}.wav`)!).frames).toBe(20 * 16000)
  })

  it('puts each word into its own folder', () => {
    const yes = levels(root, 'yes')
    expect(yes[2]).toBeGreaterThan(100)
    for (const word of ['no', 'go']) expect(levels(root, word)[0]).toBeLessThan(yes[0])
    expect(levels(root, 'hey_you')[5]).toBeLessThan(yes[2])
  })

  it('loads, split by voice', async () => {
    const dataset = await loadAudioDataset(join(root, 'a'), { words: ['yes', 'hey_you'] })
    expect(dataset.classes).toEqual(['yes', 'hey_you', '_unknown_', '_silence_'])
    expect(dataset.skipped).toEqual([])
    expect(dataset.background.length).toBe(4)
    const speakers = (['train', 'validation', 'test'] as const).map(
      (split) => new Set(dataset.splits[split].flatMap(({ speaker }) => speaker ?? [])),
    )
    expect(speakers.map(({ size }) => size)).toEqual([4, 1, 1])
    expect(new Set(speakers.flatMap((set) => [...set])).size).toBe(6)
  })

  it('gives the same bytes for a seed with any number of processes, and others for another', async () => {
    await synthesizeSpeech({ ...options('b', 1), processes: 1 })
    expect(files(join(root, 'b'))).toEqual(files(join(root, 'a')))
    await synthesizeSpeech({ ...options('c', 2), voicesPerWord: 5, clipsPerWord: 5 })
    const shared = [...files(join(root, 'c')).keys()].filter((path) => existsSync(join(root, 'a', path)))
    expect(shared.filter((path) => path.includes('_nohash_'))).toEqual([])
  })

  it('refuses what it cannot do and leaves nothing half made', async () => {
    const cases: [Partial<SynthesisOptions>, RegExp][] = [
      [{ words: [] }, /names no word/],
      [{ words: ['<mark/>'] }, /has signs that cannot be spoken/],
      [{ words: ['no'] }, /no is named twice/],
      [{ clipsPerWord: 4 }, /4 clips per word; at least 5/],
      [{ voicesPerWord: 20 }, /20 voices per word cannot share 10 clips/],
      [{ directory: root }, /is not empty/],
    ]
    for (const [change, message] of cases) await expect(synthesizeSpeech({ ...options('d', 1), ...change })).rejects.toThrow(message)
    expect(readdirSync(root).filter((name) => name.startsWith('d'))).toEqual([])
    expect(readdirSync(root).filter((name) => name.includes('partial'))).toEqual([])
    expect(existsSync(join(root, 'a', 'yes'))).toBe(true)
  })
})

describe('requireEspeak', () => {
  it('says how to get what is missing', () => {
    expect(() => requireEspeak('espeak-ng-is-not-here')).toThrow(UsageError)
    expect(() => requireEspeak('espeak-ng-is-not-here')).toThrow('npm install espeak-ng-is-not-here')
  })
})

describe('cutWords', () => {
  it('cuts at long gaps and not at the short ones inside a word', () => {
    const samples = Float32Array.from([
      ...stretch(50, 0),
      ...stretch(30, 0.5),
      ...stretch(300, 0),
      ...stretch(20, 0.5),
      ...stretch(400, 0.0003),
      0.25,
      0,
    ])
    const words = cutWords({ samples, sampleRate: 1000 })
    expect(words.map((word) => word.samples.length)).toEqual([350, 1])
    expect(words[1].samples[0]).toBe(0.25)
  })
})

describe('voices', () => {
  it('are many, distinct, and the same for a seed however many are drawn', () => {
    const voices = drawVoices(60, 9)
    expect(drawVoices(20, 9)).toEqual(voices.slice(0, 20))
    expect(new Set(voices.map(({ id }) => id)).size).toBe(60)
    expect(new Set(voices.map(({ name }) => name)).size).toBeGreaterThan(45)
    for (const voice of voices) {
      const { pitch, pace } = drawTake(voice, 1, 9)
      expect(pitch).toBeGreaterThanOrEqual(0)
      expect(pitch).toBeLessThanOrEqual(99)
      expect(pace).toBeGreaterThan(100)
      expect(pace).toBeLessThan(220)
    }
  })
})
