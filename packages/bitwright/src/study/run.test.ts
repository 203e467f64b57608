// Whole runs on one-second tones in a temporary folder: what is left on disk, and that interruptions change none of it.
import { Engine, openBackend } from '@bitwright/engine'
import { load } from '@bitwright/runtime'
import { interpret } from '@bitwright/runtime/reference'
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { loadAudioDataset } from '../data/audio-dataset.ts'
import { encodeWav } from '../data/wav.ts'
import { UsageError } from '../errors.ts'
import { memory } from '../hardware/index.ts'
import { targetModel } from '../hardware/targets.ts'
import { parameterShapes, statisticShapes } from '../network/parameters.ts'
import { parseNetwork, withoutBits } from '../network/index.ts'
import { createStore } from '../training/initialize.ts'
import type { EvaluateSpec, TrainSpec } from './api.ts'
import { readJournal } from './journal.ts'
import { runDirectory } from './run-directory.ts'
import { evaluateRun, searchStudy, trainStudy } from './run.ts'

import { at, hooksOf, inSittings, place, remains, sampleRate, searching, training, words } from './testing/tone-runs.ts'

describe('trainStudy', () => {
  it('ends with a model of the predicted size, a report and a journal that tells everything', async () => {
    const hooks = hooksOf()
    const result = await trainStudy(training('train'), hooks)
    expect(result.status).toBe('finished')
    const directory = runDirectory(place('train'))
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
      for (const scores of [float!, fakeQuantized!, integer!]) expect(scores.count).toBe(12)
      expect(float!.accuracy).toBeGreaterThan(0.8)
      expect(integer!.accuracy).toBeGreaterThan(0.8)
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
    const stops = readJournal(runDirectory(place('sittings')).journal).filter(({ type }) => type === 'interrupted' || type === 'resumed')
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
      from: place('train'),
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
    expect(JSON.parse(JSON.stringify(await evaluateRun(request, hooksOf())))).toEqual({ ...told, things: 'clips', classes: words })
  })

  it('has its model made again by export where the file is of another version, to the byte', () => {
    const old = place('old')
    cpSync(place('train'), old, { recursive: true })
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
      run: place('train'),
      directory: place('clips'),
      split: 'test',
      strict: true,
      threads: 2,
      backend: 'auto',
    }
    const [, test] = remains('train').told.flatMap((event) => (event.type === 'evaluation' ? [event] : []))
    const result = await evaluateRun(spec, hooksOf())
    const { type: _type, ...told } = test
    expect(JSON.parse(JSON.stringify(result))).toEqual({ ...told, things: 'clips', classes: words })
    const listed = await evaluateRun({ ...spec, list: place('validation.txt') }, hooksOf())
    expect(listed.integer!.count).toBe(12)
  })

  it('scores hostile clips, and names those that are none', async () => {
    const directory = place('hostile', 'high')
    mkdirSync(directory, { recursive: true })
    const square = Int16Array.from({ length: sampleRate }, (_, i) => (i & 1 ? 32767 : -32768))
    const clips = { silence: new Int16Array(sampleRate), square, one: Int16Array.of(-32768), long: new Int16Array(30 * sampleRate).fill(9) }
    for (const [name, pcm] of Object.entries(clips)) writeFileSync(join(directory, `${name}.wav`), encodeWav(pcm, sampleRate))
    writeFileSync(join(directory, 'none.wav'), encodeWav(new Int16Array(0), sampleRate))
    writeFileSync(join(directory, 'text.wav'), 'no audio')
    const list = place('hostile.txt')
    writeFileSync(list, [...Object.keys(clips), 'none', 'text'].map((name) => `high/${name}.wav high\n`).join(''))
    const notices: string[] = []
    const asked = { run: place('train'), directory: place('hostile'), split: 'test', threads: 1, backend: 'auto' } as const
    const hooks = { ...hooksOf(), onNotice: (line: string) => notices.push(line) }
    const { integer } = await evaluateRun({ ...asked, list, strict: false }, hooks)
    expect(integer!.count).toBe(4)
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
