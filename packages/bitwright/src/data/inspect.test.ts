import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { formatInspection, inspectDataset } from './inspect.ts'
import { encodeWav } from './wav.ts'

let root = ''
beforeEach(() => (root = mkdtempSync(join(tmpdir(), 'bitwright-inspect-'))))
afterEach(() => rmSync(root, { recursive: true }))

function put(path: string, content: Uint8Array | string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true })
  writeFileSync(join(root, path), content)
}

let serial = 1
const clip = (length = 16000, rate = 16000) => encodeWav(new Int16Array(length).fill(serial++), rate)

it('counts what is there and finds nothing wrong with good data', async () => {
  for (const word of ['yes', 'no']) for (let i = 0; i < 30; i++) put(`${word}/s${i}_nohash_0.wav`, clip())
  put('_background_noise_/a.wav', clip(20000))
  const report = await inspectDataset(root, { split: 'speaker' })
  expect(report).toEqual({
    directory: root,
    split: 'speaker',
    classes: [
      { name: 'no', train: 24, validation: 3, test: 3 },
      { name: 'yes', train: 24, validation: 3, test: 3 },
    ],
    sampleRates: [{ hertz: 16000, files: 60 }],
    seconds: { minimum: 1, median: 1, maximum: 1 },
    speakers: 30,
    backgroundRecordings: 1,
    silentClips: [],
    clippedClips: [],
    skipped: [],
    warnings: [],
  })
})

it('warns of everything that spoils a result', async () => {
  const twin = clip(4000)
  for (let i = 0; i < 40; i++)
    put(`yes/${i}.wav`, i < 4 ? encodeWav(new Int16Array(16000 + i).fill(i % 2 === 0 ? 32767 : -32768), 16000) : clip(48000, 44100))
  for (let i = 0; i < 10; i++) put(`no/${i}.wav`, clip(2000))
  put('no/7.wav', twin)
  put('yes/39.wav', twin)
  put('yes/38.wav', encodeWav(new Int16Array(90000), 16000))
  put('yes/37.wav', 'broken')
  put('rare/x_nohash_0.wav', clip())
  put('rare/x_nohash_1.wav', clip())
  put(
    'a.txt',
    [...Array.from({ length: 30 }, (_, i) => `yes/${i}.wav`), 'no/0.wav', 'no/1.wav', 'no/7.wav', 'rare/x_nohash_0.wav'].join('\n'),
  )
  put('b.txt', 'yes/31.wav\nno/3.wav\nrare/x_nohash_1.wav')
  put('c.txt', 'yes/36.wav\nyes/37.wav\nyes/38.wav\nyes/39.wav\nno/4.wav')
  const lists = { train: join(root, 'a.txt'), validation: join(root, 'b.txt'), test: join(root, 'c.txt') }
  const calls: number[] = []
  const report = await inspectDataset(root, { lists }, (done) => calls.push(done))
  expect(calls).toEqual([42])
  expect(report.sampleRates[0]).toEqual({ hertz: 44100, files: 28 })
  expect(report.seconds).toMatchObject({ minimum: 0.125, maximum: 5.625 })
  expect(report.silentClips).toEqual(['yes/38.wav'])
  expect(report.clippedClips).toEqual(['yes/0.wav', 'yes/1.wav', 'yes/2.wav', 'yes/3.wav'])
  expect(report.skipped).toEqual([{ path: 'yes/37.wav', reason: 'is not a WAV file (it does not begin with RIFF)' }])
  expect(report.warnings).toEqual([
    'training would be refused: class rare has 1 training clips, at least 3 are needed; collect more or leave the class out',
    'class rare has no clips in test',
    'the classes are unbalanced: 30 training clips of yes, 1 of rare',
    '1 speakers are in more than one split, e.g. x: the accuracy will flatter; use --split speaker',
    '1 clip copied into another split, e.g. yes/39.wav is no/7.wav',
    '1 clip with the same sound under another label, e.g. yes/39.wav is no/7.wav',
    '1 clip all zero, e.g. yes/38.wav',
    '4 clips driven into clipping, e.g. yes/0.wav',
    '1 clip that cannot be read and would be skipped, e.g. yes/37.wav is not a WAV file (it does not begin with RIFF)',
    '1 clip longer than 1.5 s, of which only the loudest second is used',
    '4 clips shorter than 0.2 s',
    'there is no _background_noise_ folder, so training mixes in no noise',
  ])
  const text = formatInspection(report)
  expect(text).toMatch(/^class +train +validation +test +all$/m)
  expect(text).toMatch(/^yes +30 +1 +4 +35$/m)
  expect(text).toMatch(/^all +34 +3 +5 +42$/m)
  expect(text).toMatch(/^skipped: yes\/37\.wav is not a WAV file/m)
  for (const warning of report.warnings) expect(text).toContain(`warning: ${warning}\n`)
})
