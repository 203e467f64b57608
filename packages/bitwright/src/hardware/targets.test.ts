import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { UsageError } from '../errors.ts'
import { builtinNetwork } from '../network/builtins.ts'
import { networkLayers } from './layer-shape.ts'
import { memory } from './memory.ts'
import { fitTable, type Measurements, tableText } from './table.ts'
import { parseHardware, parseTarget, readHardware, targetModel, timeModel } from './targets.ts'

const folder = mkdtempSync(join(tmpdir(), 'bitwright-targets-'))
afterAll(() => rmSync(folder, { recursive: true }))

const measurements: Measurements = {
  name: 'mine',
  unit: 'instructions',
  clockHz: 100e6,
  instructionsPerCycle: 0.5,
  kernels: 'dsp',
  source: 'by hand',
  frames: { 'mfcc window 640 mel 40 to 10 of 16000 Hz from 20 to 7000': 80_000 },
  layers: {
    'convolution 10x4 stride 2x2 pad 4,5,1,1 map 49x10x1 to 64 w8 a8>8': 500_000,
    'depthwise 3x3 stride 1x1 pad 1,1,1,1 map 25x5x64 to 64 w8 a8>8': 300_000,
    'convolution 1x1 stride 1x1 pad 0,0,0,0 map 25x5x64 to 64 w8 a8>8': 700_000,
    'pool 25x5 stride 1x1 map 25x5x64 a8>8': 70_000,
    'convolution 1x1 stride 1x1 pad 0,0,0,0 map 1x1x64 to 12 w8 a8>16': 4_000,
  },
  networks: [],
}
const text = tableText(fitTable(measurements))
const document = () => JSON.parse(text) as Record<string, unknown>
const dsCnn = builtinNetwork('ds-cnn-s', { classes: Array.from({ length: 12 }, (_, i) => `${i}`) })

const dsCnnLayers = [networkLayers(dsCnn), dsCnn.frontEnd] as const

describe('a table', () => {
  const path = join(folder, 'mine.json')
  writeFileSync(path, text)

  it('prices what was measured as it was measured, nodes and front end adding up to the network', () => {
    const cost = targetModel(path).price(dsCnn)
    const instructions = 500_000 + 4 * (300_000 + 700_000) + 70_000 + 4_000
    const ms = (count: number) => (1000 * count) / 0.5 / 100e6
    expect(cost.frontEndMs).toBeCloseTo(ms(49 * 80_000), 9)
    expect(cost.latencyMs).toBeCloseTo(ms(instructions + 49 * 80_000), 9)
    expect(cost.nodes.reduce((sum, node) => sum + node.latencyMs!, cost.frontEndMs!)).toBeCloseTo(cost.latencyMs!, 9)
    expect(cost.nodes.find(({ id }) => id === 'block2.depthwise')!.cycles).toBeCloseTo(600_000, 6)
    const { params, macs, bitOperations, flashBytes, ramBytes } = memory.price(dsCnn)
    expect(cost).toMatchObject({ params, macs, bitOperations, flashBytes, ramBytes })
    expect(targetModel(`${path}@50MHz`).price(dsCnn).latencyMs).toBeCloseTo(2 * cost.latencyMs!, 9)
  })

  it('without laws gets them from its layers', () => {
    const { laws: _laws, frameLaw: _frameLaw, errors: _errors, ...rest } = document()
    const parsed = parseHardware(rest, 'mine.json')
    expect(timeModel(parsed).time(...dsCnnLayers)).toEqual(timeModel(readHardware(path)).time(...dsCnnLayers))
  })

  it('says which node it has no price for', () => {
    const resnet = builtinNetwork('resnet8', { classes: ['a', 'b'] })
    expect(() => targetModel(path).price(resnet)).toThrow(/node "stack1.add": target mine has no law for add layers/)
    const { frames: _frames, frameLaw: _frameLaw, ...rest } = document()
    expect(() => timeModel(parseHardware({ ...rest, frameLaw: {} }, 'x')).time(...dsCnnLayers)).toThrow(/no frames of spectral features/)
  })

  const mutations: [what: string, change: (json: Record<string, any>) => unknown, where: RegExp][] = [
    ['another format', (json) => ({ ...json, format: 'bitwright-hardware-2' }), /its format has to be/],
    ['no object', () => [1], /its format has to be/],
    ['null', () => null, /its format has to be/],
    ['another model', (json) => ({ ...json, model: 'fpga' }), /model: give "table"/],
    ['a name with spaces', (json) => ({ ...json, name: 'a b' }), /name: .*lower-case/],
    ['an unknown unit', (json) => ({ ...json, unit: 'joules' }), /unit: /],
    ['an unknown field', (json) => ({ ...json, speed: 3 }), /speed/],
    ['no clock', (json) => ({ ...json, clockHz: undefined }), /clockHz: is missing/],
    ['a clock of text', (json) => ({ ...json, clockHz: '80MHz' }), /clockHz: /],
    ['a clock of nothing', (json) => ({ ...json, clockHz: 0 }), /clockHz: /],
    ['no instructions a cycle', (json) => ({ ...json, instructionsPerCycle: undefined }), /instructionsPerCycle: is missing/],
    ['a clock of nanoseconds', (json) => ({ ...json, unit: 'nanoseconds' }), /clockHz: has no meaning/],
    ['cycles with instructions a cycle', (json) => ({ ...json, unit: 'cycles' }), /instructionsPerCycle: is for instructions/],
    ['kernels there are none of', (json) => ({ ...json, kernels: 'avx' }), /kernels: /],
    ['a negative count', (json) => ({ ...json, layers: { 'add map 8x8x3 a8>8': -1 } }), /layers\.add map 8x8x3 a8>8: /],
    ['a count of text', (json) => ({ ...json, layers: { 'add map 8x8x3 a8>8': '5' } }), /layers\.add/],
    ['a layer that is none', (json) => ({ ...json, layers: { 'add map 8x8 a8>8': 5 } }), /"add map 8x8 a8>8" is no layer/],
    ['a frame that is none', (json) => ({ ...json, frames: { mfcc: 5 } }), /"mfcc" is no front end/],
    ['layers of a list', (json) => ({ ...json, layers: [5] }), /layers: /],
    ['a negative coefficient', (json) => ({ ...json, laws: { add: { call: -1 } } }), /laws\.add\.call: /],
    ['a law that is a number', (json) => ({ ...json, laws: { add: 1 } }), /laws\.add: /],
    ['no layers and no laws', (json) => ({ ...json, laws: undefined, layers: {} }), /layers: is empty/],
    ['a network without layers', (json) => ({ ...json, networks: [{ layers: [], value: 1 }] }), /networks\.0\.layers: /],
  ]
  it.each(mutations)('is refused with %s', (_what, change, where) => {
    const act = () => parseHardware(change(document()), 'mine.json')
    expect(act).toThrow(UsageError)
    expect(act).toThrow(where)
    expect(act).toThrow(/^mine\.json: [^\n]+$/)
  })

  it('is refused, or can be used, whatever single value in it is another', () => {
    const others = [null, true, -1, 0, 'x', [], {}]
    const keys = [
      'name',
      'unit',
      'clockHz',
      'instructionsPerCycle',
      'kernels',
      'source',
      'frames',
      'layers',
      'networks',
      'laws',
      'frameLaw',
      'errors',
    ]
    for (const key of keys) {
      for (const value of others) {
        try {
          const parsed = parseHardware({ ...document(), [key]: value }, 'x.json')
          expect(timeModel(parsed).name).toBeTypeOf('string')
        } catch (error) {
          expect(error, `${key}: ${JSON.stringify(value)}`).toBeInstanceOf(UsageError)
        }
      }
    }
  })
})

describe('a target', () => {
  it.each([
    ['cortex-m4', { name: 'cortex-m4' }],
    ['cortex-m4@80MHz', { name: 'cortex-m4', clockHz: 80e6 }],
    ['cortex-m7@0.216ghz', { name: 'cortex-m7', clockHz: 216e6 }],
    ['bit-fusion@500000kHz', { name: 'bit-fusion', clockHz: 500e6 }],
    ['tables/mine.json', { name: 'tables/mine.json' }],
    ['a@b/mine.json@1MHz', { name: 'a@b/mine.json', clockHz: 1e6 }],
    ['a@b/mine.json', { name: 'a@b/mine.json' }],
  ])('%s', (given, expected) => expect(parseTarget(given)).toEqual(expected))

  it.each([
    ['cortex-m3', /no such target; give cortex-m0plus/],
    ['cortex-m4@', /"" is no clock/],
    ['cortex-m4@80', /"80" is no clock; give one such as cortex-m4@80MHz/],
    ['cortex-m4@0MHz', /is no clock/],
    ['cortex-m4@fast', /is no clock/],
    ['measured@80MHz', /this machine/],
    ['', /no such target/],
  ])('%j is none', (given, message) => expect(() => parseTarget(given)).toThrow(message))

  it('is a file that exists and is JSON', () => {
    expect(() => readHardware(join(folder, 'absent.json'))).toThrow(/absent\.json does not exist/)
    writeFileSync(join(folder, 'broken.json'), '{')
    expect(() => readHardware(join(folder, 'broken.json'))).toThrow(/broken\.json: is not JSON/)
  })
})
