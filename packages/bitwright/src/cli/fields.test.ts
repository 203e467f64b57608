// Flags: every kind of value, and what is said about a wrong one.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { UsageError } from '../errors.ts'
import * as fields from './fields.ts'
import { nearest } from './nearest.ts'
import { shellCommand } from './shell-command.ts'
import { quickstart } from './quickstart.ts'
import { searchRequest } from './search-request.ts'
import { studyFields, studySpec } from './study-request.ts'
import { defaultEpochs, graphEpochs, graphFinalists } from './study-flags.ts'

const given = { data: 'clips', out: 'runs/x' }
const parse = (flags: Record<string, unknown>, args: string[] = []) =>
  studySpec(fields.validate(z.object(studyFields), { ...given, ...flags }), 'search', args)

describe('amounts', () => {
  test.each([
    ['64k', 'bytes', 65_536],
    ['64K', 'bytes', 65_536],
    ['64kB', 'bytes', 65_536],
    ['1.5KiB', 'bytes', 1536],
    ['0.5M', 'bytes', 524_288],
    ['100', 'bytes', 100],
    ['14M', 'macs', 14_000_000],
    ['13.6m', 'macs', 13_600_000],
    ['500k', 'macs', 500_000],
    ['1G', 'macs', 1e9],
    ['.5M', 'macs', 500_000],
  ] as const)('%s %s', (text, unit, amount) => expect(fields.parseAmount(text, unit)).toBe(amount))

  test.each([
    ['', 'bytes'],
    ['0', 'bytes'],
    ['-3k', 'bytes'],
    ['64q', 'bytes'],
    ['1G', 'bytes'],
    ['6 4k', 'bytes'],
    ['1e3', 'bytes'],
    ['14MB', 'macs'],
    ['99999999999M', 'macs'],
    ['NaN', 'macs'],
  ] as const)('refuses "%s" as %s', (text, unit) => expect(fields.parseAmount(text, unit)).toBeUndefined())
})

describe('the request of a study', () => {
  test('has the documented defaults', () => {
    const { threads, ...spec } = parse({})
    expect(threads).toBeGreaterThanOrEqual(1)
    expect(spec).toEqual({
      data: { directory: 'clips', split: 'auto', salt: '', strict: false },
      weightBits: 8,
      activationBits: 8,
      granularity: 'channel',
      bitPenalty: 0.08,
      averageBits: 3,
      budget: {},
      epochs: defaultEpochs,
      batchSize: 64,
      seed: 0,
      backend: 'auto',
      out: 'runs/x',
      resume: false,
      command: 'npx bitwright search',
    })
  })

  test('takes every flag', () => {
    const flags = {
      words: 'yes, no',
      split: 'speaker',
      salt: 's',
      trainList: 'a',
      validationList: 'b',
      testList: 'c',
      strict: true,
      weightBits: 'trained',
      activationBits: '4',
      granularity: 'tensor',
      bitPenalty: '0.2',
      averageBits: '2.5',
      flash: '64k',
      ram: '32k',
      macs: '14M',
      target: 'bit-fusion@100MHz',
      epochs: '30',
      batchSize: '32',
      learningRate: '1e-3',
      seed: '7',
      threads: '2',
      backend: 'wasm',
      resume: true,
    }
    expect(parse(flags)).toMatchObject({
      data: { words: ['yes', 'no'], lists: { train: 'a', validation: 'b', test: 'c' }, split: 'speaker', salt: 's', strict: true },
      weightBits: 'trained',
      activationBits: 4,
      granularity: 'tensor',
      bitPenalty: 0.2,
      averageBits: 2.5,
      budget: { flashBytes: 65_536, ramBytes: 32_768, macs: 14_000_000 },
      target: 'bit-fusion@100MHz',
      epochs: { train: 30, search: defaultEpochs.search / 2 },
      batchSize: 32,
      learningRate: 0.001,
      seed: 7,
      threads: 2,
      backend: 'wasm',
      resume: true,
    })
  })

  test('epochs on a graph are of one step each, and so short that finalists are trained, whatever network or space is named', () => {
    const folder = mkdtempSync(join(tmpdir(), 'bitwright-fields-'))
    const data = join(folder, 'graph.json')
    writeFileSync(data, '{}')
    try {
      const epochs = (flags: object) =>
        searchRequest({ data, out: 'o', space: 'network', network: 'gcn', search: 'joint', ...flags }, []).spec.epochs
      expect(epochs({})).toEqual(graphEpochs)
      expect(epochs({ epochs: 'search=20' })).toEqual({ ...graphEpochs, search: 20 })
      expect(epochs({ epochs: '400' })).toEqual({ warmup: 200, search: 400, train: 400, quantize: 400 })
      const finalists = (flags: object) =>
        searchRequest({ data, out: 'o', space: 'graph', search: 'joint', ...flags }, []).spec.joint!.finalists
      expect([finalists({}), finalists({ finalists: '3' }), finalists({ finalists: '1' })]).toEqual([graphFinalists, 3, undefined])
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  test('epochs of a run that goes on', () => {
    const defaults = { warmup: 0, search: 3, train: 10, quantize: 10 }
    const epochs = (text: string) => fields.adaptEpochs(defaults).safeParse(text).data
    expect(epochs('20')).toEqual({ warmup: 0, search: 6, train: 20, quantize: 20 })
    expect(epochs('train=0,search=0')).toEqual({ ...defaults, train: 0, search: 0 })
    expect(epochs('warmup=1')).toBeUndefined()
  })

  test('epochs of single stages leave the others as they are', () => {
    expect(parse({ epochs: 'warmup=0, quantize=5' }).epochs).toEqual({ ...defaultEpochs, warmup: 0, quantize: 5 })
    expect(parse({ epochs: '1' }).epochs).toEqual({ warmup: 1, search: 1, train: 1, quantize: 1 })
  })

  test.each([
    ['20ms', 20],
    ['0.5s', 500],
    ['300us', 0.3],
    ['1.5 MS', 1.5],
  ])('a latency of %s', (latency, ms) => {
    expect(parse({ latency, target: 'bit-fusion' }).budget.latencyMs).toBeCloseTo(ms, 12)
  })

  test.each([
    [{ latency: '20ms' }, '--latency: needs --target, such as --target cortex-m4@80MHz'],
    [{ latency: '20ms', target: 'bit-fusion', weightBits: 'trained' }, '--latency: trained widths take times of their own'],
    [{ latency: '20', target: 'bit-fusion' }, '--latency 20: not understood; give a time above zero, e.g. 20ms, 0.5s or 300us'],
    [{ latency: '0ms', target: 'bit-fusion' }, '--latency 0ms: not understood'],
    [{ target: 'cortex-m3' }, '--target cortex-m3: no such target'],
    [{ target: 'cortex-m4@fast' }, '--target cortex-m4@fast: "fast" is no clock'],
    [{ target: 'absent.json' }, 'absent.json does not exist'],
  ])('refuses %j', (flags, message) => {
    expect(() => parse(flags)).toThrow(UsageError)
    expect(() => parse(flags)).toThrow(message)
  })

  test.each([
    [{ data: undefined }, '--data is missing; give a folder'],
    [{ out: undefined }, '--out is missing; give the folder the run is kept in, e.g. --out runs/first'],
    [{ data: '' }, "--data '': not understood"],
    [{ flash: '64q' }, '--flash 64q: not understood; give a size in bytes, e.g. 65536 or 64k (k = 1024)'],
    [{ macs: '0' }, '--macs 0: not understood; give a number of multiply-accumulates'],
    [{ prune: '0' }, '--prune 0: not understood; give budget, or a strength above zero, at most 1000, e.g. 0.5'],
    [{ prune: 'budget' }, '--prune budget: needs a limit to prune towards, such as --flash 16k'],
    [{ prune: '1', epochs: 'train=1' }, '--prune 1: channels leave in the training in float; give it two epochs or more'],
    [{ weightBits: '9' }, '--weight-bits 9: not understood; give a width from 1 to 8, or trained'],
    [{ activationBits: '2.5' }, '--activation-bits 2.5: not understood'],
    [{ granularity: 'chanel' }, '--granularity chanel: no such choice; did you mean channel?'],
    [{ backend: 'cuda' }, '--backend cuda: no such choice; give auto, native or wasm'],
    [{ epochs: '0' }, '--epochs 0: not understood'],
    [{ epochs: 'train=0' }, '--epochs train=0: not understood'],
    [{ epochs: 'tune=3' }, '--epochs tune=3: not understood'],
    [{ epochs: 'train' }, '--epochs train: not understood'],
    [{ batchSize: '0' }, '--batch-size 0: not understood; give a whole number from 1 to 4096'],
    [{ learningRate: '-1' }, '--learning-rate -1: not understood; give a number above zero'],
    [{ seed: '1.5' }, '--seed 1.5: not understood'],
    [{ threads: 'two' }, '--threads two: not understood'],
    [{ words: 'yes,yes' }, '--words yes,yes: not understood; give words separated by commas, each once'],
    [{ words: 'yes,,no' }, '--words yes,,no: not understood'],
    [{ trainList: 'a' }, '--validation-list and --test-list belong together'],
    [{ testList: 'a' }, '--validation-list and --test-list belong together'],
    [{ salt: 'x' }, '--salt x: needs --split speaker'],
  ])('refuses %j', (flags, message) => {
    expect(() => parse(flags)).toThrow(UsageError)
    expect(() => parse(flags)).toThrow(message)
  })

  test('keeps the command as it can be pasted, without the flags of one sitting', () => {
    const args = ['--out', "runs/it's mine", '--words', 'a,b', '--resume', '--json', '--salt', '$x;rm']
    expect(shellCommand('search', args)).toBe(String.raw`npx bitwright search --out 'runs/it'\''s mine' --words a,b --salt '$x;rm'`)
  })
})

describe('the request of a search', () => {
  test('adds the space and the strategy', () => {
    const { spec, json } = searchRequest({ ...given, space: 'kws-mfcc', search: 'random', filters: '20', json: true }, [])
    expect(spec).toMatchObject({ space: 'kws-mfcc', search: 'random', spaceOptions: { filters: 20 } })
    expect(json).toBe(true)
    expect(searchRequest({ ...given, frontEnd: 'conv' }, []).spec.spaceOptions).toEqual({ frontEnd: 'conv' })
    expect(searchRequest({ ...given, space: 'cenet' }, []).spec.space).toBe('cenet')
    expect(() => searchRequest({ ...given, space: 'cenet', filters: '20' }, [])).toThrow('--filters 20: --space cenet has no such choice')
    expect(() => searchRequest({ ...given, space: 'cenet', streaming: true }, [])).toThrow('--streaming: --space cenet has graph modules')
    expect(() => searchRequest({ ...given, space: 'kws-mfcc', frontEnd: 'conv' }, [])).toThrow('--front-end conv: only --space kws-e2e')
  })

  test('takes a network whose bits are chosen, with a joint search alone', () => {
    const one = { ...given, space: 'network', network: 'ds-cnn-s', search: 'joint' }
    expect(searchRequest(one, []).spec).toMatchObject({ space: 'network', spaceOptions: { network: 'ds-cnn-s' }, weightBits: 'searched' })
    expect(() => searchRequest({ ...one, space: 'kws-mfcc' }, [])).toThrow('--network ds-cnn-s: needs --space network')
    expect(() => searchRequest({ ...one, network: undefined }, [])).toThrow('--space network: needs --network')
    expect(() => searchRequest({ ...one, search: 'proxyless' }, [])).toThrow('--space network: has nothing but bits to choose')
  })

  test('trains finalists where a joint search is asked for some', () => {
    const joint = { ...given, space: 'kws-mfcc', search: 'joint' }
    expect(searchRequest(joint, []).spec.joint).not.toHaveProperty('finalists')
    expect(searchRequest({ ...joint, finalists: '3' }, []).spec.joint).toMatchObject({ finalists: 3 })
    expect(() => searchRequest({ ...given, finalists: '3' }, [])).toThrow('--finalists: needs --search joint')
    expect(() => searchRequest({ ...joint, finalists: '0' }, [])).toThrow('--finalists')
  })

  test('is pruned by a strength alone', () => {
    expect(searchRequest({ ...given, flash: '16k', prune: '0.5' }, []).spec.prune).toBe(0.5)
    expect(() => searchRequest({ ...given, flash: '16k', prune: 'budget' }, [])).toThrow(
      '--prune budget: a search finds what is within the budget',
    )
  })

  test('the flags of the quickstart are flags of a search', () => {
    const { spec } = searchRequest({ ...given, ...quickstart.flags }, [])
    expect(spec).toMatchObject({ weightBits: 'trained', activationBits: 'trained', space: 'kws-e2e' })
  })
})

test.each([
  ['serach', 'search'],
  ['evalute', 'evaluate'],
  ['PREDICT', 'predict'],
  ['xyz', undefined],
  ['st', undefined],
])('nearest to %s is %s', (word, name) => expect(nearest(word, ['search', 'train', 'evaluate', 'predict', 'data'])).toBe(name))
