import { Random } from '@bitwright/engine'
import { describe, expect, it } from 'vitest'
import { builtinNames, builtinNetwork } from '../network/builtins.ts'
import { designedFrontEnds, designedNetwork } from './designed-networks.ts'
import { fitFrames, frameText, parseFrame, predictFrame } from './front-end-law.ts'
import { crossValidate, fitLaws, kindOf, type Measured, predict, termsOf } from './law.ts'
import { type LayerShape, layerText, macsOf, modelLayers, networkLayers, parseLayer } from './layer-shape.ts'
import { lowerSkeleton } from './lower.ts'

const classes = Array.from({ length: 12 }, (_, index) => `word${index}`)
const designed = Array.from({ length: 160 }, (_, i) => designedNetwork(7, i))
const layersOf = (from: number, to: number): LayerShape[] =>
  designed.slice(from, to).flatMap((network) => networkLayers(network).flatMap(({ layers }) => layers))

describe('layers', () => {
  it('are those of the integer model, without making it', () => {
    const builtins = builtinNames.flatMap((name) => [builtinNetwork(name, { classes })])
    const streaming = builtinNetwork('kws-e2e-e3k5', { classes, streaming: true })
    for (const network of [...builtins, streaming, ...designed.slice(0, 60)]) {
      const own = networkLayers(network)
      expect(own.map(({ id }) => id)).toEqual(network.nodes.map(({ id }) => id))
      expect(own.flatMap(({ layers }) => layers)).toEqual(modelLayers(lowerSkeleton(network).model))
    }
  })

  it('are read back from their text', () => {
    const seen = new Set<string>()
    for (const layer of layersOf(0, 160)) {
      seen.add(layer.op)
      expect(parseLayer(layerText(layer))).toEqual(layer)
    }
    expect(seen.size).toBe(9)
  })

  it.each([
    '',
    'convolution',
    'convolutio 3x3 stride 1x1 pad 1,1,1,1 map 8x8x3 to 4 w8 a8>8',
    'convolution 3x3 stride 1x1 pad 1,1,1,1 map 8x8x3 to 4 w9 a8>8',
    'convolution 3x3 stride 1x1 pad 1,1,1,1 map 8x8x3 to 4 a8>8',
    'convolution 3x3 stride 1x1 pad 1,1,1 map 8x8x3 to 4 w8 a8>8',
    'convolution 3x3 stride 0x1 pad 1,1,1,1 map 8x8x3 to 4 w8 a8>8',
    'convolution 9x9 stride 1x1 pad 0,0,0,0 map 8x8x3 to 4 w8 a8>8',
    'convolution 3x3 stride 1x1 pad 1,1,1,1 map 8x8x3 to 0 w8 a8>8',
    'convolution 3x3 stride 1x1 pad 1,1,1,1 map 8x8x3 to 4 w8 a9>8',
    'depthwise 3x3 stride 1x1 pad 1,1,1,1 map 8x8x3 to 4 w8 a8>8',
    'add map 8x8x3 to 4 a8>8',
    'crop map 8x8x3 rows 9 a8>8',
    'add map 08x8x3 a8>8',
    'attend map 8x8x3 a8>8 to 4',
    'attend 1x1 stride 1x1 map 8x8x3 to 4 a8>8',
    ' add map 8x8x3 a8>8',
  ])('%j is none', (text) => expect(parseLayer(text)).toBeUndefined())
})

/** What a hidden law says of layers: coefficients drawn by kind and term. */
function hidden(): { readonly coefficient: (kind: string, term: string) => number; readonly value: (layer: LayerShape) => number } {
  const coefficients = new Map<string, number>()
  const coefficient = (kind: string, term: string): number => {
    const key = `${kind} ${term}`
    if (!coefficients.has(key)) coefficients.set(key, 0.5 + 4 * new Random(2, key).uniform())
    return coefficients.get(key)!
  }
  const value = (layer: LayerShape): number =>
    termsOf(layer, 'dsp').reduce((sum, [name, count]) => sum + count * coefficient(kindOf(layer), name), 0)
  return { coefficient, value }
}

describe('a law', () => {
  const { coefficient, value } = hidden()
  const measured = layersOf(0, 120).map((layer): Measured => ({ layers: [layer], value: value(layer) }))
  const laws = fitLaws(measured, 'dsp')

  it('recovers what made the numbers', () => {
    for (const kind of ['add', 'reshape', 'crop', 'pool', 'requantize']) {
      for (const [term, found] of Object.entries(laws[kind])) expect(found, `${kind} ${term}`).toBeCloseTo(coefficient(kind, term), 2)
    }
    const errors = crossValidate(measured, 'dsp')
    for (const kind of ['pointwise', 'dense', 'depthwise', 'pool']) expect(errors[kind].median, kind).toBeLessThan(0.03)
  })

  it('prices layers that were not measured', () => {
    const errors = layersOf(120, 160).map((layer) => Math.abs(predict(laws, layer, 'dsp')! / value(layer) - 1))
    const sorted = errors.toSorted((a, b) => a - b)
    expect(sorted[sorted.length >> 1]).toBeLessThan(0.002)
    expect(sorted[Math.floor(0.95 * sorted.length)]).toBeLessThan(0.1)
  })

  it('is found from whole networks too, where layers were only measured together', () => {
    const whole = designed.map((network): Measured => {
      const layers = networkLayers(network).flatMap((node) => node.layers)
      return { layers, value: layers.reduce((sum, layer) => sum + 2000 + 3 * macsOf(layer), 0) }
    })
    const found = fitLaws(whole)
    const layers = networkLayers(builtinNetwork('ds-cnn-s', { classes })).flatMap((node) => node.layers)
    const predicted = layers.reduce((sum, layer) => sum + predict(found, layer)!, 0)
    expect(predicted / layers.reduce((sum, layer) => sum + 2000 + 3 * macsOf(layer), 0)).toBeCloseTo(1, 1)
  })

  it('takes the nearest width for one that was never measured, and has nothing for another kind of layer', () => {
    const narrow = { pointwise: { call: 10, 'products:w4a8': 2, 'products:w8a8': 5 } }
    const layer = parseLayer('convolution 1x1 stride 1x1 pad 0,0,0,0 map 1x1x16 to 2 w3 a8>8')!
    const products = termsOf(layer).find(([name]) => name.startsWith('products'))![1]
    expect(predict(narrow, layer)).toBe(10 + 2 * products)
    expect(predict(narrow, parseLayer('add map 8x8x3 a8>8')!)).toBeUndefined()
  })
})

it('frames are read back from their text, and their law gives what made the numbers', () => {
  const value = (windowSamples: number, coefficients: number) => 500 + 7 * windowSamples + 90 * coefficients
  const points = designedFrontEnds.map(
    (frontEnd) => [parseFrame(frameText(frontEnd))!, value(frontEnd.windowSamples, frontEnd.coefficients)] as const,
  )
  for (const [frame] of points) expect(parseFrame(frameText(frame))).toEqual(frame)
  const law = fitFrames(points)
  for (const [frame, own] of points) expect(predictFrame(law, frame) / own).toBeCloseTo(1, 2)
})
