// Whole runs on small images in a temporary folder: from CIFAR batches to a model that gives their pixels the right names.
import { load } from '@bitwright/runtime'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadCifar } from '../data/cifar.ts'
import { cifarClasses, writeCifar } from '../data/testing/cifar-files.ts'
import { classifier, convolution, network } from '../network/blocks.ts'
import { adaptRequest } from '../cli/adapt-request.ts'
import { adaptStudy } from './adapt.ts'
import type { Hooks, RunResult, TrainSpec } from './api.ts'
import type { StudyEvent } from './events.ts'
import { bitmapUrl, mistakenImages } from './mistakes.ts'
import { evaluateRun, trainStudy } from './run.ts'
import { adaptRecipeOf, recipeOf } from './session.ts'

let folder: string
let result: RunResult
const events: StudyEvent[] = []
const hooks: Hooks = { onEvent: (event) => events.push(event), onProgress: () => {}, shouldStop: () => false }

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'bitwright-image-run-'))
  writeCifar(join(folder, 'cifar'), 60, 60)
  const nodes = [
    { id: 'input', op: 'input', inputs: [], shape: [32, 32, 3] } as const,
    convolution('first', 'input', { channels: 8, kernelSize: [3, 3], stride: [4, 4], padding: [1, 1, 1, 1] }),
    ...classifier('first', 3),
  ]
  const small = network('small', { kind: 'image', height: 32, width: 32, channels: 3 }, cifarClasses, nodes)
  writeFileSync(join(folder, 'network.json'), JSON.stringify(small))
  const spec: TrainSpec = {
    data: { directory: join(folder, 'cifar'), split: 'auto', salt: '', strict: true },
    network: join(folder, 'network.json'),
    weightBits: 4,
    activationBits: 8,
    granularity: 'channel',
    bitPenalty: 0.1,
    averageBits: 3,
    budget: {},
    epochs: { warmup: 0, search: 0, train: 8, quantize: 3 },
    batchSize: 12,
    seed: 0,
    threads: 2,
    backend: 'auto',
    out: join(folder, 'run'),
    resume: false,
    command: 'bitwright train',
  }
  result = await trainStudy(spec, hooks)
})
afterAll(() => rmSync(folder, { recursive: true }))

describe('a run on images', () => {
  it('ends with a model that names pixels as its evaluation says', () => {
    const [, test] = result.evaluations
    expect(test.integer!.count).toBe(60)
    expect(test.integer!.accuracy).toBeGreaterThan(0.9)
    const model = load(readFileSync(result.model!))
    expect(model.frontEnd).toEqual({ kind: 'image', height: 32, width: 32, channels: 3 })
    const { pixels, splits } = loadCifar(join(folder, 'cifar'))
    const right = splits.test.filter(({ index, label }) => model.predict(pixels.subarray(index * 3072, (index + 1) * 3072)).index === label)
    expect(right.length / 60).toBeCloseTo(test.integer!.accuracy, 12)
  })

  it('says so in its report', () => {
    const data = events.find((event) => event.type === 'data')
    expect(data).toMatchObject({ things: 'images', counts: { train: 108, validation: 12, test: 60 } })
    const report = readFileSync(result.report!, 'utf8')
    expect(report).toContain('Image classifier · 3 classes · 108 training images')
    expect(report).toContain('What it sees')
    expect(report).not.toMatch(/\bclips\b/)
  })

  it('goes on with its images in a fog, and keeps them clear', async () => {
    writeCifar(join(folder, 'fog'), 60, 60)
    for (const name of ['data_batch_1.bin', 'data_batch_2.bin', 'test_batch.bin']) {
      const bytes = readFileSync(join(folder, 'fog', name))
      writeFileSync(
        join(folder, 'fog', name),
        bytes.map((value, at) => (at % 3073 === 0 ? value : 150 + (value >> 2))),
      )
    }
    const flags = { data: join(folder, 'fog'), epochs: '8', threads: '2', force: true, out: join(folder, 'adapted') }
    const { spec } = adaptRequest(join(folder, 'run'), flags, [])
    const adapted = await adaptStudy(spec, hooks)
    expect(adapted.drift!.distance).toBeGreaterThan(2 * adapted.drift!.floor)
    const [, { new: fresh, old }] = adapted.adaptation!.splits
    expect(fresh.count).toBe(60)
    expect(fresh.before).toBeLessThan(0.7)
    expect(fresh.adapted).toBeGreaterThan(0.9)
    expect(old!.adapted).toBeGreaterThan(0.9)
    expect(readFileSync(adapted.report!, 'utf8')).not.toMatch(/\bclips\b/)
  })

  it('is evaluated on a split or a list', async () => {
    const run = join(folder, 'run')
    const common = { run, directory: join(folder, 'cifar'), split: 'test', strict: false, threads: 1, backend: 'auto' } as const
    const again = await evaluateRun(common, hooks)
    expect(again.integer).toEqual(result.evaluations[1].integer)
    expect(again).not.toHaveProperty('integerLogits')
    const list = join(folder, 'list.txt')
    writeFileSync(list, 'test_batch.bin#0 red\ntest_batch.bin#1\n')
    expect((await evaluateRun({ ...common, list }, hooks)).integer!.count).toBe(2)
  })
})

describe('mistakenImages', () => {
  it('gives those with the largest distance first, with their pixels', () => {
    const dataset = loadCifar(join(folder, 'cifar'))
    const samples = dataset.splits.test.slice(0, 4)
    const logits = [
      [5, 9, 0],
      [0, 3, 1],
      [7, 0, 1],
      [4, 1, 5],
    ]
    const found = mistakenImages(dataset, samples, logits)
    expect(found.map(({ path, label, answer }) => [path, label, answer])).toEqual([
      ['test_batch.bin#2', 2, 0],
      ['test_batch.bin#0', 0, 1],
      ['test_batch.bin#3', 0, 2],
    ])
    const file = Buffer.from(found[1].picture.split(',')[1], 'base64')
    const { index } = samples[0]
    expect([file.readInt32LE(18), file.readInt32LE(22), file.length]).toEqual([32, -32, 54 + 3072])
    for (const [y, x] of [
      [0, 0],
      [3, 31],
      [31, 5],
    ])
      expect([2, 1, 0].map((c) => file[54 + (y * 32 + x) * 3 + c])).toEqual(
        [0, 1, 2].map((c) => dataset.pixels[index * 3072 + (y * 32 + x) * 3 + c]),
      )
  })

  it('fills rows up to four bytes, and shows grey', () => {
    const file = Buffer.from(bitmapUrl(Uint8Array.of(1, 2, 3, 4, 5, 6), 2, 3, 1).split(',')[1], 'base64')
    expect([...file.subarray(54)]).toEqual([1, 1, 1, 2, 2, 2, 3, 3, 3, 0, 0, 0, 4, 4, 4, 5, 5, 5, 6, 6, 6, 0, 0, 0])
  })
})

it('trains images by another recipe, and moves the rate of quantization with a given one', () => {
  expect(recipeOf('audio', 'train')).toMatchObject({ optimizer: 'adam', learningRate: 3e-3 })
  expect(recipeOf('audio', 'quantize', 1e-3).learningRate).toBeCloseTo(5e-4, 12)
  expect(recipeOf('image', 'train', 0.1)).toMatchObject({ optimizer: 'sgd', learningRate: 0.1 })
  expect(recipeOf('image', 'quantize', 0.1)).toMatchObject({ optimizer: 'adam', learningRate: 1.5e-3 })
  expect(adaptRecipeOf('image', 'train', 0.1)).toEqual(recipeOf('image', 'train'))
  expect(adaptRecipeOf('audio', 'quantize', 0.1)).toEqual({ ...recipeOf('audio', 'quantize'), learningRate: 0.1 })
})
