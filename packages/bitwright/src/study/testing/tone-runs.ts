// Runs on one-second tones in a temporary folder of the test file that imports this: requests, interruptions, and what is left on disk.
import { Random } from '@bitwright/engine'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect } from 'vitest'
import { encodeWav } from '../../data/wav.ts'
import { classifier, convolution, mobileBlock, network } from '../../network/blocks.ts'
import type { Hooks, Progress, RunResult, SearchSpec, TrainSpec } from '../api.ts'
import { readCheckpoint } from '../checkpoint.ts'
import type { StudyEvent } from '../events.ts'
import { readJournal } from '../journal.ts'
import { runDirectory } from '../run-directory.ts'

export const sampleRate = 16_000
export const words = ['high', 'low']
const perClass = { train: 18, validation: 6, test: 6 }
let folder: string
/** A path in the folder of this file's runs. */
export const place = (...parts: string[]): string => join(folder, ...parts)

/** A folder of tones with lists for validation and test, and a small network as JSON. */
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'bitwright-run-'))
  const lists: Record<string, string[]> = { train: [], validation: [], test: [] }
  for (const [label, word] of words.entries()) {
    mkdirSync(place('clips', word), { recursive: true })
    let number = 0
    for (const [split, count] of Object.entries(perClass)) {
      for (let i = 0; i < count; i++, number++) {
        const random = new Random(0, word, number)
        const omega = (2 * Math.PI * (label === 0 ? 2000 : 500) * random.uniform(0.9, 1.1)) / sampleRate
        const loudness = random.uniform(3000, 12_000)
        const pcm = Int16Array.from({ length: sampleRate }, (_, t) => Math.round(loudness * Math.sin(omega * t) + 300 * random.normal()))
        writeFileSync(place('clips', word, `${number}.wav`), encodeWav(pcm, sampleRate))
        lists[split].push(`${word}/${number}.wav ${word}`)
      }
    }
  }
  for (const [split, lines] of Object.entries(lists)) writeFileSync(place(`${split}.txt`), `${lines.join('\n')}\n`)
  const block = { inputChannels: 6, channels: 6, expansion: 2, kernel: 3, stride: [1, 1] } as const
  const nodes = [
    { id: 'input', op: 'input', inputs: [], shape: [sampleRate, 1, 1] } as const,
    convolution('front', 'input', { channels: 6, kernelSize: [64, 1], stride: [64, 1], padding: [0, 0, 0, 0] }),
    ...mobileBlock('block', 'front', block),
    ...classifier('block.add', words.length),
  ]
  writeFileSync(place('network.json'), JSON.stringify(network('small', { kind: 'raw', sampleRate, samples: sampleRate }, words, nodes)))
})
afterAll(() => rmSync(folder, { recursive: true }))

export const common = (out: string) =>
  ({
    data: {
      directory: place('clips'),
      lists: { validation: place('validation.txt'), test: place('test.txt') },
      split: 'lists',
      salt: '',
      strict: true,
    } as const,
    weightBits: 4,
    activationBits: 'trained',
    granularity: 'channel',
    bitPenalty: 0.1,
    averageBits: 3,
    budget: {},
    epochs: { warmup: 1, search: 2, train: 6, quantize: 3 },
    batchSize: 9,
    learningRate: 0.01,
    seed: 3,
    threads: 2,
    backend: 'auto',
    out: place(out),
    resume: false,
    command: `bitwright ${out}`,
  }) as const
export const training = (out: string): TrainSpec => ({ ...common(out), network: place('network.json') })
export const searching = (out: string): SearchSpec => ({
  ...common(out),
  epochs: { warmup: 1, search: 2, train: 1, quantize: 1 },
  space: 'kws-mfcc',
  spaceOptions: { filters: 10 },
  search: 'proxyless',
  budget: { macs: 900_000 },
})

/** Hooks that collect events and stop once `stopAt` says so. */
export function hooksOf(stopAt: (progress: Progress) => boolean = () => false): Hooks & { events: StudyEvent[] } {
  const events: StudyEvent[] = []
  let stop = false
  return { events, onEvent: (event) => events.push(event), onProgress: (progress) => (stop ||= stopAt(progress)), shouldStop: () => stop }
}

/** Starts a run and interrupts it at each of these moments, resuming it every time; the last sitting ends it. */
export async function inSittings<Spec>(
  start: (spec: Spec, hooks: Hooks) => Promise<RunResult>,
  spec: Spec,
  moments: readonly ((progress: Progress) => boolean)[],
) {
  for (const [sitting, moment] of moments.entries()) {
    const hooks = hooksOf(moment)
    const result = await start({ ...spec, resume: sitting > 0 }, hooks)
    expect(result.status, `sitting ${sitting}`).toBe('interrupted')
    expect(hooks.events.at(-1)).toMatchObject({ type: 'interrupted' })
    expect(result.model).toBeUndefined()
  }
  return start({ ...spec, resume: true }, hooksOf())
}

/** What a run leaves behind that may not depend on how often it was interrupted. */
export function remains(out: string) {
  const { model, architecture, checkpoint, journal } = runDirectory(place(out))
  const { trainer, floatParameters } = readCheckpoint(checkpoint)!
  const told: StudyEvent[] = readJournal(journal)
    .filter(({ type }) => ['epoch', 'candidate', 'front', 'network', 'evaluation'].includes(type))
    .map((event) => (event.type === 'epoch' ? { ...event, seconds: 0 } : event))
  return {
    model: readFileSync(model),
    architecture: readFileSync(architecture, 'utf8'),
    parameters: trainer!.parameters,
    quantization: trainer!.quantization,
    floatParameters,
    told,
  }
}
export const at =
  (stage: Progress['stage'], done: number, text = 'steps') =>
  (progress: Progress) =>
    progress.stage === stage && progress.text === text && progress.done === done
