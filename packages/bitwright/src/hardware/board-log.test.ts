import { describe, expect, it } from 'vitest'
import { UsageError } from '../errors.ts'
import { builtinNetwork } from '../network/builtins.ts'
import { parseBoardLog } from './board-log.ts'
import { stockedModel } from './designed-networks.ts'
import { layerText, modelLayers } from './layer-shape.ts'
import { lowerSkeleton } from './lower.ts'
import { fitTable } from './table.ts'
import { timeModel } from './targets.ts'

const network = builtinNetwork('ds-cnn-s', { classes: ['a', 'b'] })
const model = stockedModel(network)
const texts = modelLayers(model).map(layerText)
const parse = (text: string) => parseBoardLog(text, 'board.txt', () => model)

describe("a board's log", () => {
  it('gives layers, frames and the clock; several figures are averaged and other lines passed over', () => {
    const found = parse(
      'booting\nclock 120000000\r\nmodel a.bw\n  frame 90000 \nlayer 0 700000\nlayer 0 900000\nlayer 9 5000\nlayers: done\n',
    )
    expect(found).toEqual({
      clockHz: 120e6,
      frames: { 'mfcc window 640 mel 40 to 10 of 16000 Hz from 20 to 7000': 90_000 },
      layers: { [texts[0]]: 800_000, [texts[9]]: 5000 },
      networks: [],
    })
  })

  it('of all layers makes a table that prices the network as the sum of its figures', () => {
    const cycles = texts.map((_, i) => 1000 * (i + 1))
    // layers of the same shape cannot be told apart, so that their figures are averaged
    const { layers, frames } = parse(['model a.bw', 'frame 500', ...cycles.map((count, i) => `layer ${i} ${count}`)].join('\n'))
    const table = fitTable({ name: 'board', unit: 'cycles', clockHz: 1e6, source: '', frames, layers, networks: [] })
    const { layers: own } = lowerSkeleton(network).model
    const time = timeModel(table).time(
      own.map(({ name }, i) => ({ id: name, layers: [modelLayers(model)[i]] })),
      network.frontEnd,
    )
    expect(time.cycles).toBeCloseTo(
      cycles.reduce((sum, count) => sum + count, 49 * 500),
      6,
    )
    expect(time.latencyMs).toBeCloseTo(time.cycles! / 1000, 9)
  })

  it('of whole networks is kept as such', () => {
    expect(parse('model a.bw\nnetwork 5000000\nnetwork 5000002').networks).toEqual([{ layers: texts, value: 5_000_001 }])
  })

  it.each([
    ['', /has no line such as/],
    ['layer 0 5', /line 1: "layer 0 5" comes before any model/],
    ['model a.bw\nlayer 12 5', /line 2: ds-cnn-s has layers 0 to 10, not 12/],
    ['model a.bw\nlayer 0', /line 2: "layer 0": give `layer N CYCLES`/],
    ['model a.bw\nlayer 0 x', /line 2: /],
    ['model a.bw\nlayer 0 0', /the figure above 0/],
    ['model a.bw\nframe -5', /give `frame NUMBER`/],
    ['clock fast', /give `clock NUMBER`/],
  ])('%j is refused with the line', (text, message) => {
    expect(() => parse(text)).toThrow(UsageError)
    expect(() => parse(text)).toThrow(message)
  })
})
