// Whole runs on one-second tones in a temporary folder: what is left on disk, and that interruptions change none of it.
import { Engine, openBackend, Random } from '@bitwright/engine'
import { load } from '@bitwright/runtime'
import { interpret } from '@bitwright/runtime/reference'
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadAudioDataset } from '../data/audio-dataset.ts'
import { encodeWav } from '../data/wav.ts'
import { UsageError } from '../errors.ts'
import { memory } from '../hardware/index.ts'
import { targetModel } from '../hardware/targets.ts'
import { classifier, convolution, mobileBlock, network } from '../network/blocks.ts'
import { parameterShapes, statisticShapes } from '../network/parameters.ts'
import { parseNetwork, withoutBits } from '../network/index.ts'
import { createStore } from '../training/initialize.ts'
import type { EvaluateSpec, Hooks, Progress, RunResult, SearchSpec, TrainSpec } from './api.ts'
import { readCheckpoint } from './checkpoint.ts'
import type { StudyEvent } from './events.ts'
import { chooseMember, frontOfRun } from './front-member.ts'
import { readJournal } from './journal.ts'
import { runDirectory } from './run-directory.ts'
import { evaluateRun, searchStudy, trainStudy } from './run.ts'

const sampleRate = 16_000
const words = ['high', 'low']
const perClass = { train: 18, validation: 6, test: 6 }
let folder: string

/** A folder of tones with lists for validation and test, and a small network as JSON. */
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'bitwright-run-'))
  const lists: Record<string, string[]> = { train: [], validation: [], test: [] }
  for (const [label, word] of words.entries()) {
    mkdirSync(join(folder, 'clips', word), { recursive: true })
    let number = 0
    for (const [split, count] of Object.entries(perClass)) {
      for (let i = 0; i < count; i++, number++) {
        const random = new Random(0, word, number)
        const omega = (2 * Math.PI * (label === 0 ? 2000 : 500) * random.uniform(0.9, 1.1)) / sampleRate
        const loudness = random.uniform(3000, 12_000)
        const pcm = Int16Array.from({ length: sampleRate }, (_, t) => Math.round(loudness * Math.sin(omega * t) + 300 * random.normal()))
        writeFileSync(join(folder, 'clips', word, `${number}.wav`), encodeWav(pcm, sampleRate))
        lists[split].push(`${word}/${number}.wav ${word}`)
      }
    }
  }
  for (const [split, lines] of Object.entries(lists)) writeFileSync(join(folder, `${split}.txt`), `${lines.join('\n')}\n`)
  const block = { inputChannels: 6, channels: 6, expansion: 2, kernel: 3, stride: [1, 1] } as const
  const nodes = [
    { id: 'input', op: 'input', inputs: [], shape: [sampleRate, 1, 1] } as const,
    convolution('front', 'input', { channels: 6, kernelSize: [64, 1], stride: [64, 1], padding: [0, 0, 0, 0] }),
    ...mobileBlock('block', 'front', block),
    ...classifier('block.add', words.length),
  ]
  writeFileSync(
    join(folder, 'network.json'),
    JSON.stringify(network('small', { kind: 'raw', sampleRate, samples: sampleRate }, words, nodes)),
  )
})
afterAll(() => rmSync(folder, { recursive: true }))

const common = (out: string) =>
  ({
    data: {
      directory: join(folder, 'clips'),
      lists: { validation: join(folder, 'validation.txt'), test: join(folder, 'test.txt') },
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
    out: join(folder, out),
    resume: false,
    command: `bitwright ${out}`,
  }) as const
const training = (out: string): TrainSpec => ({ ...common(out), network: join(folder, 'network.json') })
const searching = (out: string): SearchSpec => ({
  ...common(out),
  epochs: { warmup: 1, search: 2, train: 1, quantize: 1 },
  space: 'kws-mfcc',
  spaceOptions: { filters: 10 },
  search: 'proxyless',
  budget: { macs: 900_000 },
})

/** Hooks that collect events and stop once `stopAt` says so. */
function hooksOf(stopAt: (progress: Progress) => boolean = () => false): Hooks & { events: StudyEvent[] } {
  const events: StudyEvent[] = []
  let stop = false
  return { events, onEvent: (event) => events.push(event), onProgress: (progress) => (stop ||= stopAt(progress)), shouldStop: () => stop }
}

/** Starts a run and interrupts it at each of these moments, resuming it every time; the last sitting ends it. */
async function inSittings<Spec>(
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
function remains(out: string) {
  const { model, architecture, checkpoint, journal } = runDirectory(join(folder, out))
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
const at =
  (stage: Progress['stage'], done: number, text = 'steps') =>
  (progress: Progress) =>
    progress.stage === stage && progress.text === text && progress.done === done

describe('trainStudy', () => {
  it('ends with a model of the predicted size, a report and a journal that tells everything', async () => {
    const hooks = hooksOf()
    const result = await trainStudy(training('train'), hooks)
    expect(result.status).toBe('finished')
    const directory = runDirectory(join(folder, 'train'))
    for (const file of [directory.model, directory.report, directory.architecture, directory.spec, directory.checkpoint])
      expect(existsSync(file), file).toBe(true)
    expect(readJournal(directory.journal)).toEqual(JSON.parse(JSON.stringify(hooks.events)))

    const { length } = readFileSync(directory.model)
    expect(result.cost!.flashBytes).toBe(length)
    const { flashBytes, ramBytes, macs, params } = memory.price(result.network!)
    expect(result.cost).toEqual({ flashBytes, ramBytes, macs, params })
    expect(result.layers!.every(({ weightBits }) => weightBits === 4)).toBe(true)
    expect(result.layers!.some(({ activationBits }) => activationBits < 7)).toBe(true)

    const [validation, test] = result.evaluations
    expect([validation.split, test.split]).toEqual(['validation', 'test'])
    for (const { float, fakeQuantized, integer } of [validation, test]) {
      for (const scores of [float!, fakeQuantized!, integer]) expect(scores.count).toBe(12)
      expect(float!.accuracy).toBeGreaterThan(0.8)
      expect(integer.accuracy).toBeGreaterThan(0.8)
    }
    expect(hooks.events.map(({ type }) => type).filter((type) => type !== 'epoch' && type !== 'stage')).toEqual([
      'started',
      'data',
      'network',
      'evaluation',
      'evaluation',
      'finished',
    ])
    const stages = hooks.events.flatMap((event) => (event.type === 'stage' ? [`${event.stage} ${event.state}`] : []))
    expect(stages).toEqual(
      ['data', 'train', 'quantize', 'convert', 'evaluate'].flatMap((stage) => [`${stage} started`, `${stage} finished`]),
    )
  })

  it('leaves the same bits when it is interrupted in both trainings', async () => {
    const moments = [at('train', 2), at('train', 4), at('quantize', 1), at('quantize', 3)]
    const result = await inSittings(trainStudy, training('sittings'), moments)
    expect(result.status).toBe('finished')
    expect(remains('sittings')).toEqual(remains('train'))
    const stops = readJournal(runDirectory(join(folder, 'sittings')).journal).filter(
      ({ type }) => type === 'interrupted' || type === 'resumed',
    )
    expect(stops.map(({ type }) => type)).toEqual(moments.flatMap(() => ['interrupted', 'resumed']))
  })

  it('goes on only with the same request, and not when it is finished', async () => {
    await expect(trainStudy({ ...training('train'), resume: true, seed: 4 }, hooksOf())).rejects.toThrow(/was started with seed 3, not 4/)
    await expect(trainStudy({ ...training('train'), resume: true }, hooksOf())).rejects.toThrow(/is finished; its model is .*model\.bw/)
    await expect(trainStudy(training('train'), hooksOf())).rejects.toThrow(/already holds a run/)
    await expect(trainStudy({ ...training('nowhere'), resume: true }, hooksOf())).rejects.toThrow(/holds no run to go on with/)
  })

  it('trains nothing over budget, and leaves nothing behind what was asked for wrongly', async () => {
    const hooks = hooksOf()
    const spec = { ...training('over'), budget: { flashBytes: 100 } }
    const failure = trainStudy(spec, hooks)
    await expect(failure).rejects.toThrow(UsageError)
    await expect(failure).rejects.toThrow(/--network .*network\.json: flashBytes \d+ exceeds 100; raise the limit or train another network/)
    expect(hooks.events.some(({ type }) => type === 'epoch')).toBe(false)
    expect(existsSync(spec.out)).toBe(false)
    const slow = { ...training('slow'), target: 'bit-serial@1MHz', budget: { latencyMs: 1 }, weightBits: 8, activationBits: 8 } as const
    await expect(trainStudy(slow, hooksOf())).rejects.toThrow(/latencyMs \d+(\.\d+)? exceeds 1; raise the limit/)
    expect(existsSync(slow.out)).toBe(false)
  })

  it('quantizes a finished run without training: ranges and statistics from training clips, weights as they were', async () => {
    const spec: TrainSpec = {
      ...training('untrained'),
      from: join(folder, 'train'),
      weightBits: 8,
      activationBits: 8,
      epochs: { warmup: 1, search: 2, train: 6, quantize: 0 },
      target: 'bit-serial@1MHz',
      budget: { latencyMs: 1e6 },
    }
    const hooks = hooksOf()
    const result = await trainStudy(spec, hooks)
    expect(hooks.events.some(({ type }) => type === 'epoch')).toBe(false)
    const { parameters, floatParameters, model } = remains('untrained')
    expect(floatParameters).toEqual(remains('train').floatParameters)
    const { latencyMs, cycles, energyUj } = targetModel('bit-serial@1MHz').price(result.network!)
    expect(result.cost).toMatchObject({ latencyMs, cycles, energyUj })
    const backend = await openBackend({ backend: 'auto', threads: 1 })
    const floating = withoutBits(parseNetwork(JSON.parse(readFileSync(spec.network, 'utf8'))))
    const store = createStore(new Engine(backend), [floating], 0)
    const valuesOf = (values: Float32Array, names: readonly { name: string }[]) => {
      store.restore(values)
      return names.map(({ name }) => [name, store.value(name).slice()])
    }
    expect(valuesOf(parameters, parameterShapes(floating))).toEqual(valuesOf(floatParameters!, parameterShapes(floating)))
    const before = valuesOf(floatParameters!, statisticShapes(floating))
    for (const [i, [name, values]] of valuesOf(parameters, statisticShapes(floating)).entries())
      expect(values, `${name}`).not.toEqual(before[i][1])
    backend.close()

    const { integerModel } = load(model)
    const dataset = await loadAudioDataset(spec.data.directory, { lists: spec.data.lists!, split: 'lists', seconds: 1, threads: 1 })
    const values = dataset.splits.train.map(({ index }) =>
      interpret(integerModel, dataset.pcm.slice(index * sampleRate, (index + 1) * sampleRate)),
    )
    for (const [i, { max }] of integerModel.tensors.entries()) {
      if (i === 0 || i === integerModel.tensors.length - 1) continue
      const own = values.flatMap((tensors) => [...tensors[i]])
      expect(Math.max(...own), `tensor ${i}`).toBeGreaterThan(100)
      expect(own.filter((value) => value === max).length / own.length, `tensor ${i}`).toBeLessThan(0.1)
    }
    expect(result.evaluations[1].differing).toEqual([])
    const { type: _type, ...told } = remains('untrained').told.findLast((event) => event.type === 'evaluation')!
    const request = { run: spec.out, directory: spec.data.directory, split: 'test', strict: true, threads: 2, backend: 'auto' } as const
    expect(JSON.parse(JSON.stringify(await evaluateRun(request, hooksOf())))).toEqual({ ...told, classes: words })
  })

  it('has its model made again by export where the file is of another version, to the byte', () => {
    const old = join(folder, 'old')
    cpSync(join(folder, 'train'), old, { recursive: true })
    const { model } = remains('train')
    const changed = Uint8Array.from(model)
    changed[4] = 250
    writeFileSync(join(old, 'model.bw'), changed)
    const launcher = join(import.meta.dirname, '../../bin/bitwright.js')
    const bitwright = (subject: string) =>
      spawnSync(process.execPath, [launcher, 'export', subject, '--to', 'bw', '--out', old], { encoding: 'utf8' })
    const refused = bitwright(join(old, 'model.bw'))
    expect([refused.status, refused.stderr]).toEqual([1, expect.stringMatching(/^bitwright export: .*version.*\n$/)])
    const { status, stderr } = bitwright(old)
    expect(stderr).toMatch(/^\S+model\.bw: .*version.*; it is made again from the run's checkpoint\n/)
    expect(status).toBe(0)
    expect(readFileSync(join(old, 'model.bw'))).toEqual(model)
  })

  it('is scored again by evaluate, with the same figures', async () => {
    const spec: EvaluateSpec = {
      run: join(folder, 'train'),
      directory: join(folder, 'clips'),
      split: 'test',
      strict: true,
      threads: 2,
      backend: 'auto',
    }
    const [, test] = remains('train').told.flatMap((event) => (event.type === 'evaluation' ? [event] : []))
    const result = await evaluateRun(spec, hooksOf())
    const { type: _type, ...told } = test
    expect(JSON.parse(JSON.stringify(result))).toEqual({ ...told, classes: words })
    const listed = await evaluateRun({ ...spec, list: join(folder, 'validation.txt') }, hooksOf())
    expect(listed.integer.count).toBe(12)
  })

  it('scores hostile clips, and names those that are none', async () => {
    const directory = join(folder, 'hostile', 'high')
    mkdirSync(directory, { recursive: true })
    const square = Int16Array.from({ length: sampleRate }, (_, i) => (i & 1 ? 32767 : -32768))
    const clips = { silence: new Int16Array(sampleRate), square, one: Int16Array.of(-32768), long: new Int16Array(30 * sampleRate).fill(9) }
    for (const [name, pcm] of Object.entries(clips)) writeFileSync(join(directory, `${name}.wav`), encodeWav(pcm, sampleRate))
    writeFileSync(join(directory, 'none.wav'), encodeWav(new Int16Array(0), sampleRate))
    writeFileSync(join(directory, 'text.wav'), 'no audio')
    const list = join(folder, 'hostile.txt')
    writeFileSync(list, [...Object.keys(clips), 'none', 'text'].map((name) => `high/${name}.wav high\n`).join(''))
    const notices: string[] = []
    const asked = { run: join(folder, 'train'), directory: join(folder, 'hostile'), split: 'test', threads: 1, backend: 'auto' } as const
    const hooks = { ...hooksOf(), onNotice: (line: string) => notices.push(line) }
    const { integer } = await evaluateRun({ ...asked, list, strict: false }, hooks)
    expect(integer.count).toBe(4)
    expect(notices.find((line) => line.startsWith('left out'))).toMatch(
      /^left out as broken: high\/none\.wav holds no samples, high\/text\.wav is not a WAV file .*; `bitwright data inspect` lists them$/,
    )
    await expect(evaluateRun({ ...asked, list, strict: true }, hooksOf())).rejects.toThrow(/none\.wav holds no samples \(and 1 more\)/)
  })
})

describe('searchStudy', () => {
  it('finds, trains and ships a network within its budget, with the same bits when interrupted in every stage', async () => {
    const hooks = hooksOf()
    const result = await searchStudy(searching('search'), hooks)
    expect(result.status).toBe('finished')
    expect(result.cost!.macs).toBeLessThanOrEqual(900_000)
    const candidates = hooks.events.flatMap((event) => (event.type === 'candidate' ? [event] : []))
    expect(candidates.length).toBeGreaterThan(1)
    for (const { cost } of candidates) expect(cost.macs).toBeLessThanOrEqual(900_000)
    const chosen = candidates.filter((candidate) => candidate.chosen)
    expect(chosen).toHaveLength(1)
    expect(chosen[0].score).toBe(Math.max(...candidates.map(({ score }) => score!)))
    expect(result.network!.nodes.map(({ id }) => id)).toEqual(chosen[0].network.nodes.map(({ id }) => id))
    expect(hooks.events.flatMap((event) => (event.type === 'epoch' ? [event.stage] : []))).toEqual([
      'warmup',
      'search',
      'search',
      'train',
      'quantize',
    ])

    const moments = [at('warmup', 2), at('search', 3), at('search', 2, 'candidates'), at('train', 1), at('quantize', 2)]
    await inSittings(searchStudy, searching('search-sittings'), moments)
    expect(remains('search-sittings')).toEqual(remains('search'))
  })

  it('searches at random within the budget', async () => {
    const result = await searchStudy(
      { ...searching('random'), search: 'random', epochs: { warmup: 0, search: 5, train: 1, quantize: 1 } },
      hooksOf(),
    )
    expect(result.status).toBe('finished')
    expect(result.cost!.macs).toBeLessThanOrEqual(900_000)
  })

  it('ends with a model that streams where one is asked for, searched and trained as it will stream', async () => {
    const hooks = hooksOf()
    const spec = { ...searching('streams'), streaming: true as const, epochs: { warmup: 1, search: 1, train: 1, quantize: 1 } }
    const { network: found, model } = await searchStudy(spec, hooks)
    expect(found!.name).toBe('kws-mfcc-10-stream')
    expect(found!.frontEnd).toMatchObject({ samples: 1.25 * sampleRate })
    const loaded = load(readFileSync(model!))
    const { plan } = loaded.stream()
    expect(plan.hopSamples).toBe(0.04 * sampleRate)
    expect(memory.price(found!).stream!.streamRamBytes).toBe(plan.ramBytes)
    // the second window, where the first layers' rows of the first one are used again
    const sound = Int16Array.from({ length: plan.firstSamples + plan.hopSamples }, (_, i) => Math.round(9000 * Math.sin(i * i * 1e-5)))
    const window = new Int16Array(1.25 * sampleRate)
    window.set(sound.subarray(plan.hopSamples, plan.hopSamples + window.length))
    expect(loaded.stream().push(sound)[1]).toEqual(loaded.run(window))
  })

  it('refuses a budget that nothing meets before it trains', async () => {
    const hooks = hooksOf()
    await expect(searchStudy({ ...searching('impossible'), budget: { macs: 1000 } }, hooks)).rejects.toThrow(/the budget cannot be met/)
    expect(hooks.events.some(({ type }) => type === 'epoch')).toBe(false)
  })
})

describe('a joint search', () => {
  const joint = (out: string, more: Partial<SearchSpec> = {}): SearchSpec => ({
    ...searching(out),
    search: 'joint',
    weightBits: 'searched',
    activationBits: 'searched',
    epochs: { warmup: 1, search: 1, train: 1, quantize: 1 },
    joint: { train: 'sandwich', pick: 'evolution', candidates: 40, start: 'shared' },
    budget: { macs: 900_000, flashBytes: 24_000 },
    ...more,
  })

  it('gives a front within the budget and trains its best member at its searched widths, with the same bits when interrupted', async () => {
    const hooks = hooksOf()
    const result = await searchStudy(joint('joint'), hooks)
    expect(result.status).toBe('finished')
    const fronts = hooks.events.flatMap((event) => (event.type === 'front' ? [event] : []))
    expect(fronts).toHaveLength(1)
    const [{ members, chosen }] = fronts
    expect(result.front).toEqual(members)
    for (const { network: member, macs, flashBytes, ramBytes } of members) {
      const priced = memory.price(member)
      expect([macs, flashBytes, ramBytes]).toEqual([priced.macs, priced.flashBytes, priced.ramBytes])
      expect(macs).toBeLessThanOrEqual(900_000)
      expect(flashBytes).toBeLessThanOrEqual(24_000)
    }
    expect(members[chosen].accuracy).toBe(Math.max(...members.map(({ accuracy }) => accuracy)))
    expect(result.network).toEqual(members[chosen].network)
    expect(result.cost!.flashBytes).toBe(members[chosen].flashBytes)
    expect(readFileSync(result.model!)).toHaveLength(members[chosen].flashBytes)

    const moments = [at('warmup', 2), at('search', 3), at('search', 36, 'candidates'), at('train', 1), at('quantize', 2)]
    await inSittings(searchStudy, joint('joint-sittings'), moments)
    expect(remains('joint-sittings')).toEqual(remains('joint'))
  })

  it('trains another member later, from the shared weights, and says what there is where none fits', async () => {
    const run = join(folder, 'joint')
    const front = frontOfRun(run)
    const least = front.reduce((best, member) => (member.flashBytes < best.flashBytes ? member : best))
    const member = chooseMember(run, front, undefined, { flashBytes: least.flashBytes })
    expect(front[member].flashBytes).toBe(least.flashBytes)
    expect(() => chooseMember(run, front, front.length, {})).toThrow(`--member ${front.length}: the front of ${run} has members 0 to`)
    expect(() => chooseMember(run, front, undefined, { flashBytes: 100 })).toThrow(
      /no member of its front is within the budget; the smallest takes \d+ bytes/,
    )
    expect(() => frontOfRun(join(folder, 'train'))).toThrow(/has no front to choose a member from/)

    const spec: TrainSpec = {
      ...common('member'),
      network: runDirectory(run).architecture,
      from: run,
      member,
      weightBits: 'searched',
      activationBits: 'searched',
      epochs: { warmup: 1, search: 1, train: 0, quantize: 1 },
    }
    const result = await trainStudy(spec, hooksOf())
    expect(result.network).toEqual(front[member].network)
    expect(result.cost!.flashBytes).toBe(least.flashBytes)
    // no epoch of training in float: what is quantized are the shared weights
    const saved = readCheckpoint(runDirectory(run).search)!.strategy as { weights: { values: Float32Array } }
    const shared = new Set(saved.weights.values)
    const backend = await openBackend({ backend: 'auto', threads: 1 })
    const store = createStore(new Engine(backend), [front[member].network], 0)
    store.restore(remains('member').floatParameters!)
    const first = store.value('first.weight')
    expect(new Set(first).size).toBeGreaterThan(100)
    for (const value of first) expect(shared.has(value)).toBe(true)
    backend.close()
  })

  it('trains gates too, and picks by them', async () => {
    const spec = joint('gates', { joint: { train: 'gates', pick: 'gates', candidates: 6, start: 'scratch' } })
    const result = await searchStudy({ ...spec, epochs: { warmup: 0, search: 3, train: 1, quantize: 1 } }, hooksOf())
    expect(result.status).toBe('finished')
    expect(result.front!.length).toBeGreaterThan(0)
    expect(result.cost!.flashBytes).toBeLessThanOrEqual(24_000)
  })
})
