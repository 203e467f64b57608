// From clips to detections as users go: a small network is trained for streams, its detector set with `evaluate --stream`, and sound is
// heard from a file, from standard input and from a recorder.
import { Random } from '@bitwright/engine'
import { checkDetectorSettings, load } from '@bitwright/runtime'
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { encodeWav } from '../data/wav.ts'
import { classifier, convolution, mobileBlock, network } from '../network/blocks.ts'
import { readJournal } from '../study/journal.ts'
import { runDirectory } from '../study/run-directory.ts'

const launcher = fileURLToPath(new URL('../../bin/bitwright.js', import.meta.url))
const sampleRate = 16_000
const classes = ['high', 'low', '_unknown_', '_silence_']
const hertz: Record<string, number> = { high: 2400, low: 400, _unknown_: 1000 }
const perSplit = { train: 24, validation: 8, test: 8 }
let folder: string
const run = () => join(folder, 'run')

/** Four tenths of a second of the class's tone in the middle of a second of faint noise, which may begin late, as a stream's does. */
function clip(name: string, random: Random): Int16Array {
  const omega = name === '_silence_' ? 0 : (2 * Math.PI * hertz[name] * random.uniform(0.95, 1.05)) / sampleRate
  const loudness = random.uniform(2000, 8000)
  const begin = random.integer(2) * random.uniform(0, 0.9) * sampleRate
  return Int16Array.from({ length: sampleRate }, (_, i) => {
    const tone = i > 0.3 * sampleRate && i < 0.7 * sampleRate ? loudness * Math.sin(omega * i) : 0
    return Math.round(tone + (i < begin ? 0 : 20 * random.normal()))
  })
}

function bitwright(args: readonly string[], options: { input?: Uint8Array; path?: string } = {}) {
  const env = options.path === undefined ? process.env : { ...process.env, PATH: options.path }
  const { status, stdout, stderr } = spawnSync(process.execPath, [launcher, ...args], {
    encoding: 'utf8',
    cwd: folder,
    input: options.input,
    env,
  })
  return { status, stdout, stderr }
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'bitwright-listen-'))
  const lists: Record<string, string[]> = { train: [], validation: [], test: [] }
  for (const name of classes) {
    mkdirSync(join(folder, 'clips', name), { recursive: true })
    let number = 0
    for (const [split, count] of Object.entries(perSplit)) {
      for (let i = 0; i < count; i++, number++) {
        writeFileSync(join(folder, 'clips', name, `${number}.wav`), encodeWav(clip(name, new Random(1, name, number)), sampleRate))
        lists[split].push(`${name}/${number}.wav ${name}`)
      }
    }
  }
  for (const [split, lines] of Object.entries(lists)) writeFileSync(join(folder, `${split}.txt`), `${lines.join('\n')}\n`)
  const frontEnd = {
    kind: 'logmel',
    sampleRate,
    samples: sampleRate,
    windowSamples: 512,
    hopSamples: 320,
    melBands: 16,
    coefficients: 16,
    lowHz: 100,
    highHz: 7000,
  } as const
  const nodes = [
    { id: 'input', op: 'input', inputs: [], shape: [49, 16, 1] } as const,
    { id: 'signal', op: 'reshape', inputs: ['input'], shape: [49, 1, 16] } as const,
    convolution('front', 'signal', { channels: 8, kernelSize: [3, 1], stride: [2, 1] }),
    ...mobileBlock('block', 'front', { inputChannels: 8, channels: 8, expansion: 2, kernel: 3, stride: [1, 1] }),
    ...classifier('block.add', classes.length),
  ]
  writeFileSync(join(folder, 'network.json'), JSON.stringify(network('small', frontEnd, classes, nodes)))
  const args = ['train', '--network', 'network.json', '--streaming', '--data', 'clips', '--out', 'run', '--threads', '2']
  const listed = ['--train-list', 'train.txt', '--validation-list', 'validation.txt', '--test-list', 'test.txt']
  const { status, stderr } = bitwright([
    ...args,
    ...listed,
    '--epochs',
    'train=30,quantize=6',
    '--batch-size',
    '16',
    '--learning-rate',
    '0.02',
  ])
  expect([status, stderr.split('\n').at(-2)]).toEqual([0, expect.anything()])
}, 120_000)
afterAll(() => rmSync(folder, { recursive: true }))

/** Two words in five seconds, and what should be heard of them. */
const speech = (): Int16Array => {
  const pcm = new Int16Array(5 * sampleRate)
  const random = new Random(9, 'speech')
  for (let i = 0; i < pcm.length; i++) pcm[i] = Math.round(20 * random.normal())
  pcm.set(clip('low', random), sampleRate)
  pcm.set(clip('high', random), 3 * sampleRate)
  return pcm
}
const bytesOf = (pcm: Int16Array) => new Uint8Array(pcm.buffer, pcm.byteOffset, pcm.byteLength)
const heard = (stdout: string) =>
  stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { time: number; label: string; score: number })

describe('a stream from clips to detections', () => {
  test('the run trained a model that streams', () => {
    const model = load(readFileSync(runDirectory(run()).model))
    expect(model.stream().plan).toMatchObject({ hopSamples: 640 })
  })

  test('evaluate --stream sets the detector, scores it and shows it in the report', () => {
    const args = ['evaluate', 'run', '--data', 'clips', '--stream', '--minutes', '1', '--false-accepts', '1', '--threads', '1']
    const { status, stdout } = bitwright([...args, '--json'])
    expect(status).toBe(0)
    const { run: _, ...result } = JSON.parse(stdout)
    expect(result).toMatchObject({ minutes: 1, seed: 0, wantedFalseAcceptsPerHour: 1, isFrameByFrame: true })
    expect(result.scores.words).toBeGreaterThan(5)
    expect(result.scores.recall).toBeGreaterThan(0.7)
    expect(result.validation.scores.falseAcceptsPerHour).toBeLessThanOrEqual(1)
    expect(result.scores.latency.median).toBeGreaterThan(-0.5)
    expect(result.scores.latency.median).toBeLessThan(0.75)
    const { detector, journal, report } = runDirectory(run())
    const { measured, ...settings } = JSON.parse(readFileSync(detector, 'utf8'))
    expect(settings).toEqual(result.settings)
    expect(checkDetectorSettings(settings).ignoredClasses).toEqual(['_unknown_', '_silence_'])
    expect(measured).toMatchObject({ minutes: 1, recall: result.scores.recall })
    expect(readJournal(journal).at(-1)).toEqual({ type: 'stream', ...result })
    expect(readFileSync(report, 'utf8')).toContain('<h2>On a stream</h2>')
    // the same recording again, in words
    const again = bitwright(args)
    expect(again.stdout).toMatch(new RegExp(`^test +1 min +\\d+\\.\\d % \\(${result.scores.hits} of ${result.scores.words}\\)`, 'm'))
  })

  test('listen hears the words of a WAV file, at their times', () => {
    writeFileSync(join(folder, 'speech.wav'), encodeWav(speech(), sampleRate))
    const detections = heard(bitwright(['listen', 'run', 'speech.wav', '--json']).stdout)
    expect(detections.map(({ label }) => label)).toEqual(['low', 'high'])
    for (const [i, { time }] of detections.entries()) expect(Math.abs(time - (1.7 + 2 * i))).toBeLessThan(0.75)
    const lines = bitwright(['listen', 'run/model.bw', 'speech.wav']).stdout
    expect(lines).toMatch(/^ +\d\.\d\d s {2}low {2}\d\.\d\d\n +\d\.\d\d s {2}high {2}\d\.\d\d\n$/)
    expect(bitwright(['listen', 'run', 'speech.wav', '--threshold', '1']).stdout).toBe('')
  })

  test('listen hears samples on standard input, cut anywhere, of any rate', () => {
    const inTime = heard(bitwright(['listen', 'run', 'speech.wav', '--json']).stdout)
    const pcm = speech()
    expect(heard(bitwright(['listen', 'run', '-', '--json'], { input: bytesOf(pcm) }).stdout)).toEqual(inTime)
    const doubled = Int16Array.from({ length: 2 * pcm.length }, (_, i) => (pcm[i >> 1] + pcm[Math.min(pcm.length - 1, (i + 1) >> 1)]) >> 1)
    const resampled = heard(bitwright(['listen', 'run', '-', '--rate', '32000', '--json'], { input: bytesOf(doubled) }).stdout)
    expect(resampled.map(({ label }) => label)).toEqual(['low', 'high'])
  })

  test.skipIf(process.platform === 'win32')('listen hears the microphone through a recorder, and says so where there is none', () => {
    const programs = join(folder, 'programs')
    mkdirSync(programs, { recursive: true })
    const none = bitwright(['listen', 'run', '--microphone'], { path: programs })
    expect(none.stderr).toMatch(/^bitwright listen: --microphone: found none of arecord, rec, ffmpeg; install [^\n]+\n$/)
    expect(none.status).toBe(1)
    writeFileSync(join(folder, 'speech.raw'), bytesOf(speech()))
    const script = (body: string) => {
      writeFileSync(join(programs, 'rec'), `#!/bin/sh\n[ "$1" = --version ] && exit 0\n${body}\n`)
      chmodSync(join(programs, 'rec'), 0o755)
    }
    const path = `${programs}:/usr/bin:/bin`
    script(`[ "$*" = "-q -t raw -e signed -b 16 -L -c 1 -r 16000 -" ] && exec cat '${join(folder, 'speech.raw')}'`)
    const listened = bitwright(['listen', 'run', '--microphone', '--json'], { path })
    const whole = bitwright(['listen', 'run', 'speech.wav', '--json'])
    expect(listened.stdout).toBe(whole.stdout)
    script('exit 3')
    expect(bitwright(['listen', 'run', '--microphone'], { path }).stderr).toMatch(/rec ended with code 3; see what it says above\n$/)
  })

  test.each([
    [['listen', 'nowhere', 'speech.wav'], 2, /nowhere: no such file/],
    [['listen', 'run', 'nowhere.wav'], 2, /nowhere.wav: no such file/],
    [['listen', 'run', 'network.json'], 1, /network.json: is not a WAV file/],
    [['listen', 'run'], 2, /give either a WAV file, - for standard input, or --microphone/],
    [['listen', 'run', 'speech.wav', '--microphone'], 2, /give either/],
    [['listen', 'run', 'speech.wav', '--rate', '8000'], 2, /--rate: only samples on standard input/],
    [['listen', 'run', 'speech.wav', '--threshold', '2'], 2, /--threshold 2: not understood; give a number above 0, at most 1/],
    [['evaluate', 'run', '--data', 'clips', '--stream', '--list', 'test.txt'], 2, /--stream: needs validation and test clips/],
  ])('%j is wrong use', (args, code, message) => {
    const { status, stdout, stderr } = bitwright(args)
    expect(stderr).toMatch(message)
    expect(stderr.trim()).not.toContain('\n')
    expect(stdout).toBe('')
    expect(status).toBe(code)
  })

  test('listen refuses settings that are none', () => {
    const copy = join(folder, 'copy')
    mkdirSync(copy)
    writeFileSync(join(copy, 'model.bw'), readFileSync(runDirectory(run()).model))
    writeFileSync(join(copy, 'detector.json'), '{"threshold": 3}')
    const { status, stderr } = bitwright(['listen', join(copy, 'model.bw'), 'speech.wav'])
    expect(stderr).toMatch(/detector\.json: threshold 3: must be above 0, at most 1; correct it, or delete it for the default settings\n$/)
    expect(status).toBe(1)
  })
})
