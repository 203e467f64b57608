import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { AudioDataset, ImageDataset } from '../data/dataset.ts'
import { UsageError } from '../errors.ts'
import { builtinNetwork } from '../network/builtins.ts'
import { frontEndShape, inferShapes } from '../network/shapes.ts'
import { withBits } from '../network/transform.ts'
import type { SearchSpec, TrainSpec } from './api.ts'
import { inputOf, networkByName, spaceOf } from './networks.ts'

const classes = ['yes', 'no', '_silence_']
const dataset = { kind: 'audio', classes, sampleRate: 8000, samples: 6000 } as unknown as AudioDataset
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
    const sized = withBits(network, { weightBits: 4, activationBits: 4 })
    writeFileSync(path, JSON.stringify(sized))
    expect(networkByName(path, dataset)).toEqual({ ...network, classes })
    expect(networkByName(path, dataset, false, true)).toEqual({ ...sized, classes })
  })

  it('builds a network for images of the data', () => {
    const images = { kind: 'image', classes, height: 24, width: 20, channels: 3 } as unknown as ImageDataset
    const network = networkByName('resnet8', images)
    expect(network).toMatchObject({ classes, frontEnd: { kind: 'image', height: 24, width: 20, channels: 3 } })
    expect(inferShapes(network).get('stack3.add')).toEqual([6, 5, 64])
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
    for (const each of [space({}), space({ space: 'kws-mfcc' }), space({ space: 'cenet' })]) {
      const network = each.build(each.choices.map(() => 0))
      expect(network.classes).toEqual(classes)
      expect(network.frontEnd).toMatchObject({ sampleRate: 8000, samples: 6000 })
      expect(network.nodes[0]).toMatchObject({ shape: frontEndShape(network.frontEnd) })
    }
  })
})

describe('inputOf', () => {
  const spec = (more: object) => ({ data: { directory: 'd' }, spaceOptions: {}, ...more }) as unknown as TrainSpec
  const seconds = (count: number) => ({ kind: 'audio', seconds: count })
  const image = (height: number, width: number, channels = 3) => ({ kind: 'image', height, width, channels })

  it('is the length of clips that is asked for, else what the network needs', () => {
    expect(inputOf(spec({ network: 'ds-cnn-s' }))).toEqual(seconds(1))
    expect(inputOf(spec({ network: 'ds-cnn-s', streaming: true }))).toEqual(seconds(1.25))
    expect(inputOf(spec({ space: 'kws-e2e', streaming: true }))).toEqual(seconds(1.25))
    expect(inputOf(spec({ network: 'ds-cnn-s', streaming: true, data: { seconds: 2 } }))).toEqual(seconds(2))
    const file = join(folder, 'network.json')
    writeFileSync(file, JSON.stringify(builtinNetwork('ds-cnn-s', { classes: ['a', 'b'], samples: 24_000 })))
    expect(inputOf(spec({ network: file, streaming: true }))).toEqual(seconds(1.5))
  })

  it('is the size of images that is asked for, else that of the network', () => {
    expect(inputOf(spec({ network: 'resnet8' }))).toEqual(image(32, 32))
    expect(inputOf(spec({ space: 'mobile-cifar' }))).toEqual(image(32, 32))
    expect(inputOf(spec({ space: 'mobile-cifar', data: { imageSize: [24, 40] } }))).toEqual(image(24, 40))
    const file = join(folder, 'network.json')
    const grey = builtinNetwork('resnet8', { classes: ['a', 'b'], image: { height: 16, width: 8, channels: 1 } })
    writeFileSync(file, JSON.stringify(grey))
    expect(inputOf(spec({ network: file }))).toEqual(image(16, 8, 1))
    expect(() => inputOf(spec({ network: file, data: { imageSize: [16, 16] } }))).toThrow(
      `--image-size 16x16: the network in ${file} takes 16x8`,
    )
  })

  it('refuses flags of the other kind', () => {
    const refused = (network: string, data: object, flag: string) => {
      expect(() => inputOf(spec({ network, data }))).toThrow(UsageError)
      expect(() => inputOf(spec({ network, data }))).toThrow(flag)
    }
    refused('resnet8', { seconds: 1 }, '--seconds 1: the network takes images')
    refused('ds-cnn-s', { imageSize: [32, 32] }, '--image-size 32x32: the network takes sound')
    refused('ds-cnn-s', { flip: false }, '--no-flip: the network takes sound')
    expect(() => inputOf(spec({ space: 'mobile-cifar', streaming: true, data: {} }))).toThrow('--streaming: the network takes images')
  })
})
