import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { RunError, UsageError } from '../errors.ts'
import type { SearchSpec, TrainSpec } from './api.ts'
import { runDirectory } from './run-directory.ts'
import { checkSameRequest, readRequest, writeRequest } from './spec.ts'

let out: string
let spec: SearchSpec
beforeEach(() => {
  out = join(mkdtempSync(join(tmpdir(), 'bitwright-spec-')), 'run')
  spec = {
    data: { directory: 'clips', words: ['yes', 'no'], split: 'auto', salt: '', strict: false },
    weightBits: 'trained',
    activationBits: 4,
    granularity: 'tensor',
    bitPenalty: 0.1,
    averageBits: 3,
    budget: { flashBytes: 32768, macs: 14e6 },
    epochs: { warmup: 1, search: 2, train: 3, quantize: 4 },
    batchSize: 100,
    seed: 0,
    threads: 2,
    backend: 'auto',
    out,
    resume: false,
    command: 'search',
    space: 'kws-e2e',
    spaceOptions: { filters: 40 },
    search: 'proxyless',
  }
})
afterEach(() => rmSync(join(out, '..'), { recursive: true }))

it('reads back what was written', () => {
  writeRequest(spec)
  expect(readRequest(out)).toEqual(spec)
})

it('resumes the same request, however it is run', () => {
  checkSameRequest(spec) // nothing there yet: the run directory says so
  writeRequest(spec)
  checkSameRequest({ ...spec, resume: true, threads: 8, backend: 'wasm', command: 'search --resume', out: `${out}/../run` })
  // absent and undefined are the same
  checkSameRequest({ ...spec, learningRate: undefined } as SearchSpec)
})

it.each<[string, Partial<SearchSpec>, string]>([
  ['seed', { seed: 1 }, 'seed 0, not 1'],
  [
    'epochs',
    { epochs: { warmup: 1, search: 2, train: 3, quantize: 5 } },
    'epochs {"warmup":1,"search":2,"train":3,"quantize":4}, not {"warmup":1,"search":2,"train":3,"quantize":5}',
  ],
  ['learningRate', { learningRate: 0.01 }, 'learningRate not set, not 0.01'],
  ['budget', { budget: { flashBytes: 32768 } }, 'budget {"flashBytes":32768,"macs":14000000}, not {"flashBytes":32768}'],
  ['data', { data: { directory: 'others', split: 'auto', salt: '', strict: false } }, 'data {"directory":"clips"'],
])('names a %s that differs', (_, change, text) => {
  writeRequest(spec)
  const check = () => checkSameRequest({ ...spec, ...change })
  expect(check).toThrow(UsageError)
  expect(check).toThrow(`--resume: the run in ${out} was started with ${text}`)
  expect(check).toThrow(/; use the same flags or another --out$/)
})

it('tells a search from a training', () => {
  writeRequest(spec)
  const { space: _space, spaceOptions: _options, search: _search, ...rest } = spec
  const train: TrainSpec = { ...rest, network: 'ds-cnn-s' }
  expect(() => checkSameRequest(train)).toThrow(/was started with space "kws-e2e", not not set|network not set/)
})

it('names a file that cannot be read', () => {
  writeRequest(spec)
  const file = runDirectory(out).spec
  writeFileSync(file, '{"seed": ')
  expect(() => readRequest(out)).toThrow(RunError)
  expect(() => readRequest(out)).toThrow(`${file}: cannot be read (`)
})
