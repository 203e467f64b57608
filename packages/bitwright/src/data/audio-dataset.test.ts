import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Random } from '@bitwright/engine'
import { RunError, UsageError } from '../errors.ts'
import { loadAudioDataset, loadClipList, type AudioDatasetOptions } from './audio-dataset.ts'
import type { AudioDataset, SplitName } from './dataset.ts'
import { groupSplit, hashSplit } from './splits.ts'
import { encodeWav } from './wav.ts'

let root = ''
beforeEach(() => (root = mkdtempSync(join(tmpdir(), 'bitwright-data-'))))
afterEach(() => rmSync(root, { recursive: true }))

function put(path: string, content: Uint8Array | string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true })
  writeFileSync(join(root, path), content)
}

/** A clip of ten equal samples that tells its file: value at the middle. */
const tiny = (value: number) => encodeWav(new Int16Array(10).fill(value), 16000)

function putSpeakers(words: readonly string[], speakers: number): void {
  let value = 1
  for (const word of words) for (let s = 0; s < speakers; s++) put(`${word}/${speakerName(s)}_nohash_0.wav`, tiny(value++))
}

const speakerName = (s: number) => createHash('sha1').update(`speaker ${s}`).digest('hex').slice(0, 8)
/** List lines of speakers `from` to `to` for pairs of a folder and a label, or a folder alone. */
const wordLines = (pairs: readonly string[], from: number, to: number) =>
  pairs.flatMap((pair) => {
    const [folder, label] = pair.split(' ')
    return Array.from({ length: to - from }, (_, i) => `${folder}/${speakerName(from + i)}_nohash_0.wav ${label ?? ''}`.trim())
  })

const count = (dataset: AudioDataset, split: SplitName, name: string) =>
  dataset.splits[split].filter(({ label }) => dataset.classes[label] === name).length
const sizes = ({ splits }: AudioDataset) => [splits.train.length, splits.validation.length, splits.test.length]
const failure = (options: AudioDatasetOptions = {}) =>
  loadAudioDataset(root, options).then(
    () => undefined,
    (error: Error) => error,
  )

describe('loadAudioDataset', () => {
  it('labels with the classes of a trained model, of which the data may have fewer, and names one that the model does not know', async () => {
    putSpeakers(['yes', 'cat'], 12)
    const options = { split: 'speaker' as const, classes: ['no', 'yes', '_unknown_', '_silence_'] }
    const dataset = await loadAudioDataset(root, options)
    expect(dataset.classes).toEqual(options.classes)
    const labels = (name: string) =>
      Object.values(dataset.splits).map((clips) => clips.filter(({ label }) => dataset.classes[label] === name))
    expect(labels('no').flat()).toEqual([])
    expect(labels('yes').flat()).toHaveLength(12)
    for (const { path } of labels('yes').flat()) expect(path).toMatch(/^yes\//)
    for (const { path } of labels('_unknown_').flat()) expect(path).toMatch(/^cat\//)
    expect(labels('_silence_').map((clips) => clips.length)).toEqual([3, 3, 3])
    expect(await failure({ ...options, classes: ['no', 'yes'] })).toEqual(
      new UsageError(`${root}: has the class cat, which the model does not know; it knows no, yes`),
    )
    expect((await failure({ split: 'speaker', classes: ['cat', 'yes', 'z'] }))?.message).toBeUndefined()
  })

  it('reads the Speech Commands layout with its lists, unknown and silence as the papers have them', async () => {
    putSpeakers(['yes', 'no', 'cat', 'dog'], 40)
    put('validation_list.txt', wordLines(['yes', 'no', 'cat', 'dog'], 0, 10).join('\n'))
    put('testing_list.txt', `${wordLines(['yes', 'no', 'cat', 'dog'], 10, 25).join('\r\n')}\r\nyes/not_kept_nohash_0.wav\n`)
    put(
      '_background_noise_/hum.wav',
      encodeWav(
        Int16Array.from({ length: 50000 }, (_, i) => i % 1000),
        16000,
      ),
    )
    const calls: [number, number][] = []
    const dataset = await loadAudioDataset(root, { words: ['yes', 'no'] }, (done, total) => calls.push([done, total]))
    expect(dataset.classes).toEqual(['yes', 'no', '_unknown_', '_silence_'])
    const table = (split: SplitName) => dataset.classes.map((name) => count(dataset, split, name))
    expect(table('train')).toEqual([15, 15, 30, 3])
    expect(table('validation')).toEqual([10, 10, 2, 3])
    expect(table('test')).toEqual([15, 15, 3, 3])
    expect(calls.at(-1)).toEqual([30 + 30 + 20 + 2 + 30 + 3, 115])
    const all = [...dataset.splits.train, ...dataset.splits.validation, ...dataset.splits.test]
    expect(new Set(all.map(({ index }) => index)).size).toBe(all.length)
    expect(dataset.pcm.length).toBe(all.length * 16000)
    expect(dataset.splits.train[0]).toMatchObject({
      speaker: expect.stringMatching(/^[0-9a-f]{8}$/),
      path: expect.stringContaining('_nohash_'),
    })
    for (const clip of all) {
      const pcm = dataset.pcm.subarray(clip.index * 16000, (clip.index + 1) * 16000)
      if (clip.path.startsWith('_silence_/')) expect(Math.max(...pcm)).toBeGreaterThan(0)
      else expect(pcm.filter((v) => v !== 0).length).toBe(10)
    }
    expect(dataset.background.map(({ length }) => length)).toEqual([50000])
  })

  it('puts what each file holds into the row of its clip, on one thread as on several', async () => {
    const values = new Map<string, number>()
    const random = new Random(4, 'values')
    for (let i = 0; i < 900; i++) {
      const path = `${['a', 'b', 'c'][i % 3]}/${i}.wav`
      values.set(path, 1 + random.integer(30000))
      put(path, tiny(values.get(path)!))
    }
    const one = await loadAudioDataset(root, { threads: 1, seconds: 0.002 })
    const two = await loadAudioDataset(root, { threads: 2, seconds: 0.002 })
    expect(one.samples).toBe(32)
    for (const clip of [...one.splits.train, ...one.splits.validation, ...one.splits.test]) {
      const row = Array.from(one.pcm.subarray(clip.index * 32, (clip.index + 1) * 32))
      expect(row).toEqual([...Array(11).fill(0), ...Array(10).fill(values.get(clip.path)), ...Array(11).fill(0)])
    }
    expect(two.splits).toEqual(one.splits)
    expect(two.pcm).toEqual(one.pcm)
  })

  it('resamples and crops what is not 16 kHz and one second', async () => {
    const long = Int16Array.from({ length: 3 * 48000 }, (_, i) => (i < 48000 ? 0 : 10000 * Math.sin((2 * Math.PI * 500 * i) / 48000)))
    for (const word of ['a', 'b']) for (let i = 0; i < 6; i++) put(`${word}/${i}.wav`, encodeWav(long, 48000))
    const { pcm, samples } = await loadAudioDataset(root)
    expect(samples).toBe(16000)
    const crossings = Array.from(pcm.subarray(0, samples)).filter((v, i) => i > 0 && v >= 0 && pcm[i - 1] < 0).length
    expect(Math.abs(crossings - 500)).toBeLessThanOrEqual(1)
  })

  it('takes labelled lists as they are, in the order of the words or sorted', async () => {
    putSpeakers(['yes', 'no', 'cat', '_silence_'], 8)
    const labels = ['yes yes', 'no no', 'cat _unknown_', '_silence_ _silence_']
    const lists = { train: join(root, 'a.txt'), validation: join(root, 'b.txt'), test: join(root, 'c.txt') }
    put('a.txt', wordLines(labels, 0, 4).join('\n'))
    put('b.txt', wordLines(labels, 4, 5).join('\n'))
    put('c.txt', wordLines(labels, 5, 8).join('\n'))
    const dataset = await loadAudioDataset(root, { lists })
    expect(dataset.classes).toEqual(['no', 'yes', '_unknown_', '_silence_'])
    expect(sizes(dataset)).toEqual([16, 4, 12])
    const ordered = await loadAudioDataset(root, { lists, words: ['yes', 'no'] })
    expect(ordered.classes).toEqual(['yes', 'no', '_unknown_', '_silence_'])
    expect(sizes(ordered)).toEqual([16, 4, 12])
    const fewer = await loadAudioDataset(root, { lists, words: ['yes'], silence: false })
    expect(fewer.classes).toEqual(['yes', '_unknown_'])
    expect(count(fewer, 'train', '_unknown_')).toBe(8)
    const known = await loadAudioDataset(root, { lists, words: ['yes', 'no'], unknown: false })
    expect(known.classes).toEqual(['yes', 'no', '_silence_'])

    const rest = await loadAudioDataset(root, { lists: { validation: lists.validation, test: lists.test } })
    expect(rest.classes).toEqual(dataset.classes)
    expect(sizes(rest)).toEqual([16, 4, 12])

    const list = await loadClipList(root, lists.test, dataset.classes)
    expect(list.splits.test.map(({ path, label }) => [path, label])).toEqual(dataset.splits.test.map(({ path, label }) => [path, label]))
    await expect(loadClipList(root, lists.test, ['yes', 'no'])).rejects.toThrow("is labelled _unknown_; the model's classes are yes, no")

    put('c.txt', `${wordLines(labels, 5, 8).join('\n')}\nyes/gone.wav yes\n`)
    expect(await failure({ lists })).toMatchObject({
      name: 'UsageError',
      message: expect.stringMatching(/c\.txt, line 13: the clip yes\/gone\.wav is not in/),
    })
    put('c.txt', wordLines(labels, 4, 8).join('\n'))
    expect((await failure({ lists }))?.message).toMatch(/is in two splits: in .*b\.txt and in .*c\.txt/)
  })

  it('splits by speaker where the hash leaves a class or a split without clips', async () => {
    const testSpeakers = Array.from({ length: 200 }, (_, s) => speakerName(s)).filter(
      (name) => hashSplit(name, { validation: 0.1, test: 0.1 }) === 'test',
    )
    for (const speaker of testSpeakers.slice(0, 12)) for (const word of ['yes', 'no']) put(`${word}/${speaker}_nohash_0.wav`, tiny(1))
    expect((await failure({ split: 'hash' }))?.message).toMatch(/the train split is empty; use --split speaker/)
    const dataset = await loadAudioDataset(root)
    const speakers = (['train', 'validation', 'test'] as const).flatMap((split) => [
      ...new Set(dataset.splits[split].map(({ speaker }) => speaker)),
    ])
    expect(sizes(dataset)).toEqual([20, 2, 2])
    expect(speakers.toSorted()).toEqual(testSpeakers.slice(0, 12).toSorted())
    const salted = await loadAudioDataset(root, { split: 'speaker', salt: 'x' })
    expect(sizes(salted)).toEqual([20, 2, 2])
    expect(salted.splits.test).not.toEqual(dataset.splits.test)
  })

  it('skips and names broken files; strict makes them an error; too few left is one as well', async () => {
    for (const word of ['a', 'b']) for (let i = 0; i < 30; i++) put(`${word}/${i}.wav`, tiny(5))
    put('a/3.wav', 'not audio at all')
    put('b/0.wav', tiny(5).subarray(0, 44))
    const dataset = await loadAudioDataset(root)
    expect(dataset.skipped).toEqual([
      { path: 'a/3.wav', reason: 'is not a WAV file (it does not begin with RIFF)' },
      { path: 'b/0.wav', reason: 'holds no samples' },
    ])
    expect(sizes(dataset).reduce((a, b) => a + b)).toBe(58)
    const strict = await failure({ strict: true })
    expect(strict).toBeInstanceOf(RunError)
    expect(strict?.message).toContain('a/3.wav is not a WAV file')
    for (let i = 0; i < 30; i++) put(`b/${i}.wav`, 'broken')
    const few = await failure()
    expect(few).toBeInstanceOf(RunError)
    expect(few?.message).toContain('class b has 0 training clips')
  })

  it('makes digital silence where there is no background', async () => {
    putSpeakers(['yes', 'no', 'cat'], 30)
    const dataset = await loadAudioDataset(root, { words: ['yes', 'no'], split: 'speaker' })
    const silent = dataset.splits.train.filter(({ path }) => path.startsWith('_silence_/'))
    expect(silent.length).toBe(4)
    for (const { index } of silent) expect(dataset.pcm.subarray(index * 16000, (index + 1) * 16000).every((v) => v === 0)).toBe(true)
  })

  it('says what is wrong before decoding anything', async () => {
    putSpeakers(['yes', 'stop', 'cat'], 10)
    put('rare/one.wav', tiny(1))
    put('validation_list.txt', `yes/${speakerName(0)}_nohash_0.wav`)
    const cases: [AudioDatasetOptions, RegExp][] = [
      [{ words: ['yes', 'stpo'] }, /no clips of stpo, did you mean stop\? There are cat, rare, stop, yes/],
      [{ words: ['yes', 'yes'] }, /names yes twice/],
      [{ words: [] }, /names no word/],
      [{ words: ['yes', '_unknown_'] }, /_unknown_ is no keyword/],
      [{ split: 'speaker' }, /class rare has 1 training clips, at least 3 are needed/],
      [{ words: ['yes', 'stop'], silence: false, split: 'lists' }, /the test split is empty; check the lists/],
      [{ words: ['yes'], unknown: false, silence: false, split: 'speaker' }, /only one class \(yes\)/],
      [{ testShare: 0 }, /testShare is 0/],
      [{ seconds: 0, words: ['yes', 'stop'], split: 'speaker' }, /clips of 0 s/],
      [{ lists: { train: join(root, 'nothing.txt') } }, /nothing\.txt: the list cannot be read \(ENOENT\)/],
    ]
    for (const [options, message] of cases) {
      const error = await failure(options)
      expect(error).toBeInstanceOf(UsageError)
      expect(error?.message).toMatch(message)
    }
    rmSync(join(root, 'validation_list.txt'))
    expect((await failure({ split: 'lists' }))?.message).toMatch(/has no validation_list.txt/)
  })

  it('says what is missing where there is no audio', async () => {
    expect((await failure())?.message).toMatch(/holds no audio/)
    put('loose.wav', tiny(1))
    expect((await failure())?.message).toMatch(/1 WAV files but no label folders/)
    put('yes/a.mp3', 'x')
    expect((await failure())?.message).toMatch(/holds no WAV files, but 1 others such as yes\/a\.mp3; convert them/)
    await expect(loadAudioDataset(join(root, 'none'))).rejects.toThrow(/none: no such folder/)
    await expect(loadAudioDataset(join(root, 'loose.wav'))).rejects.toThrow(/is a file/)
  })
})

describe('hashSplit', () => {
  it('is the official one: the whole SHA-1 as a number, modulo 2^27, and no folder or take in it', () => {
    const random = new Random(2, 'names')
    const seen = { train: 0, validation: 0, test: 0 }
    for (let i = 0; i < 2000; i++) {
      const speaker = random.uint32().toString(16)
      const whole = BigInt(`0x${createHash('sha1').update(speaker).digest('hex')}`)
      const percent = (Number(whole % 2n ** 27n) * 100) / (2 ** 27 - 1)
      const expected = percent < 10 ? 'validation' : percent < 20 ? 'test' : 'train'
      expect(hashSplit(`yes/${speaker}_nohash_3.wav`, { validation: 0.1, test: 0.1 })).toBe(expected)
      seen[expected]++
    }
    expect(seen.validation).toBeGreaterThan(150)
    expect(seen.test).toBeGreaterThan(150)
  })
})

describe('groupSplit', () => {
  it('keeps speakers whole, meets the shares, and serves every class of at least three clips in each split', () => {
    for (let seed = 0; seed < 20; seed++) {
      const random = new Random(seed, 'groups')
      const speakers = 20 + random.integer(60)
      const classes = 2 + random.integer(8)
      const clips = Array.from({ length: speakers * classes * 2 }, () => ({
        group: `s${random.integer(speakers)}`,
        label: random.integer(classes),
      }))
      const splits = groupSplit(clips, { validation: 0.15, test: 0.2 }, 'salt')
      const share = (split: SplitName) => splits.filter((s) => s === split).length / clips.length
      expect(Math.abs(share('test') - 0.2)).toBeLessThan(0.08)
      expect(Math.abs(share('validation') - 0.15)).toBeLessThan(0.08)
      const bySpeaker = new Map(clips.map(({ group }, i) => [group, splits[i]]))
      clips.forEach(({ group }, i) => expect(splits[i]).toBe(bySpeaker.get(group)))
      expect(new Set(clips.map(({ label }, i) => `${label} ${splits[i]}`)).size).toBe(3 * classes)
    }
  })

  it('gives three lone clips one split each, and does not depend on their order', () => {
    const clips = ['x', 'y', 'z', 'u', 'v', 'w'].map((group, i) => ({ group, label: i < 3 ? 0 : 1 }))
    const splits = groupSplit(clips, { validation: 0.1, test: 0.1 }, '')
    expect(splits.slice(0, 3).toSorted()).toEqual(['test', 'train', 'validation'])
    expect(groupSplit(clips.toReversed(), { validation: 0.1, test: 0.1 }, '').toReversed()).toEqual(splits)
  })
})
