import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { AudioDataset } from '../data/dataset.ts'
import { UsageError } from '../errors.ts'
import { builtinNetwork } from '../network/builtins.ts'
import { frontEndShape } from '../network/shapes.ts'
import { withBits } from '../network/transform.ts'
import type { SearchSpec, TrainSpec } from './api.ts'
import { clipSeconds, networkByName, requireNetwork, spaceOf } from './networks.ts'

const classes = ['yes', 'no', '_silence_']
const dataset = { classes, sampleRate: 8000, samples: 6000 } as unknown as AudioDataset
const like = { classes, sampleRate: 8000, samples: 6000 }

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'bitwright-networks-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

describe('networkByName', () => {
  it('builds a built-in network for the data, also where a folder has its name', () => {
    expect(networkByName('tc-resnet8', dataset)).toEqual(builtinNetwork('tc-resnet8', like))
    const before = process.cwd()
    mkdirSync(join(folder, 'tc-resnet8'))
    try {
      process.chdir(folder)
      expect(networkByName('tc-resnet8', dataset)).toEqual(builtinNetwork('tc-resnet8', like))
    } finally {
      process.chdir(before)
    }
    expect(() => networkByName('tc-resnet9', dataset)).toThrow(/unknown network "tc-resnet9"; built in are ds-cnn-s/)
  })

  it('reads a network as JSON, without its widths and with the classes of the data', () => {
    const network = builtinNetwork('ds-cnn-s', { ...like, classes: ['up', 'down', 'left'] })
    const path = join(folder, 'architecture.json')
    writeFileSync(path, JSON.stringify(withBits(network, { weightBits: 4, activationBits: 4 })))
    expect(networkByName(path, dataset)).toEqual({ ...network, classes })
  })

  it('refuses networks for images', () => {
    expect(() => requireNetwork('ds-cnn-s')).not.toThrow()
    expect(() => requireNetwork('resnet8')).toThrow(UsageError)
    expect(() => requireNetwork('resnet8')).toThrow('the network reads images (32x32x3)')
    const path = join(folder, 'pictures.json')
    writeFileSync(path, JSON.stringify(builtinNetwork('resnet8', { classes })))
    expect(() => networkByName(path, dataset)).toThrow('the network reads images (32x32x3)')
  })

  it('refuses a file that is no network for this data, by its name', () => {
    const path = join(folder, 'network.json')
    const complaint = () => networkByName(path, dataset)
    expect(complaint).toThrow(UsageError)
    expect(complaint).toThrow(`--network ${path}: cannot be read as JSON (ENOENT`)
    writeFileSync(path, '{"nodes": [')
    expect(complaint).toThrow(`--network ${path}: cannot be read as JSON (`)
    writeFileSync(path, '{"nodes": []}')
    expect(complaint).toThrow(UsageError)
    writeFileSync(path, JSON.stringify(builtinNetwork('ds-cnn-s', { ...like, classes: ['up', 'down'] })))
    expect(complaint).toThrow(
      `--network ${path}: tells 2 classes apart (up, down), the data has 3 (yes, no, _silence_); choose the words with --words`,
    )
  })
})

describe('spaceOf', () => {
  const space = (more: Partial<SearchSpec>) => spaceOf({ space: 'kws-e2e', spaceOptions: {}, ...more } as SearchSpec, dataset)

  it('builds the space asked for, for clips of this length', () => {
    expect(space({}).name).toBe('kws-e2e-sinc60')
    expect(space({ spaceOptions: { filters: 40, frontEnd: 'conv' } }).name).toBe('kws-e2e-conv1d40')
    expect(space({ space: 'kws-mfcc', spaceOptions: { filters: 20 } }).name).toBe('kws-mfcc-20')
    for (const each of [space({}), space({ space: 'kws-mfcc' })]) {
      const network = each.build(each.choices.map(() => 0))
      expect(network.classes).toEqual(classes)
      expect(network.frontEnd).toMatchObject({ sampleRate: 8000, samples: 6000 })
      expect(network.nodes[0]).toMatchObject({ shape: frontEndShape(network.frontEnd) })
    }
  })
})

describe('clipSeconds', () => {
  const spec = (more: object) => ({ data: { directory: 'd' }, ...more }) as unknown as TrainSpec

  it('is what is asked for, else what the network needs', () => {
    expect(clipSeconds(spec({ network: 'ds-cnn-s' }))).toBe(1)
    expect(clipSeconds(spec({ network: 'ds-cnn-s', streaming: true }))).toBe(1.25)
    expect(clipSeconds(spec({ space: 'kws-e2e', streaming: true }))).toBe(1.25)
    expect(clipSeconds(spec({ network: 'ds-cnn-s', streaming: true, data: { seconds: 2 } }))).toBe(2)
    const file = join(folder, 'network.json')
    writeFileSync(file, JSON.stringify(builtinNetwork('ds-cnn-s', { classes: ['a', 'b'], samples: 24_000 })))
    expect(clipSeconds(spec({ network: file, streaming: true }))).toBe(1.5)
  })
})
