// From measured layers to any layer: for each kind of layer a sum of terms (outputs, products, values gathered, rows, ..), each with a
// coefficient that is not negative, fitted to what was measured so that relative errors are small. The terms count what the kernels of core/
// do; what depends on a width has a coefficient of its own for every width. Own design.
import type { Kernels } from '@bitwright/runtime'
import { containerOf, depthOf, type LayerShape, outputMap } from './layer-shape.ts'
import { nonNegativeLeastSquares, type Row } from './nnls.ts'

/** Coefficients by term, of every kind of layer. */
export type Laws = Readonly<Record<string, Readonly<Record<string, number>>>>

/** Layers that were measured together, mostly one, and what they took. */
export interface Measured {
  readonly layers: readonly LayerShape[]
  readonly value: number
}

/** What has a law of its own. */
export function kindOf(layer: LayerShape): string {
  const { op, kernel, stride, padding, inputBits, logarithm } = layer
  if (op === 'convolution') {
    const isPoint = [...kernel, ...stride].every((size) => size === 1) && padding.every((size) => size === 0)
    return `${isPoint ? 'pointwise' : 'dense'}${inputBits === 16 ? ' of 16 bits' : ''}${logarithm ? ' log' : ''}`
  }
  if (op === 'attend') {
    const inFours = [layer.inputChannels, layer.channels].every((count) => count % 4 === 0) && [4, 8].includes(containerOf(inputBits))
    return inFours ? 'attend in fours' : 'attend'
  }
  if (op === 'filters') return `filters${padding.some((size) => size > 0) ? ' padded' : ''}${logarithm ? ' log' : ''}`
  if (op !== 'depthwise' || kernel[0] !== 3 || kernel[1] !== 3) return op
  const [height, width] = outputMap(layer)
  return stride[height > width ? 0 : 1] === 1 ? 'depthwise 3x3' : 'depthwise 3x3 strided'
}

const up = (value: number, unit: number): number => Math.ceil(value / unit) * unit

/** Of a container below a byte: `u` where values `channels` apart are not whole bytes apart. Of a byte: `c` where its ends are not the container's. */
function widthTag(bits: number, channels: number): string {
  const container = containerOf(bits)
  if (container < 8) return `${container}${(container * channels) % 8 === 0 ? '' : 'u'}`
  return container === 8 && bits < 8 ? '8c' : `${container}`
}

interface Axis {
  /** Of each window: the first of its places with an input, and how many have one. */
  readonly windows: readonly (readonly [first: number, inputs: number])[]
  /** Windows without padding. */
  readonly whole: number
}

function axisOf(size: number, outputs: number, kernel: number, stride: number, before: number): Axis {
  const windows = Array.from({ length: outputs }, (_, i) => {
    const [low, high] = [Math.max(0, before - i * stride), Math.min(kernel, size + before - i * stride)]
    return [low, Math.max(0, high - low)] as const
  })
  return { windows, whole: windows.filter(([, inputs]) => inputs === kernel).length }
}

interface Gathered {
  /** Neighbours that are copied at once. */
  readonly runs: number
  readonly values: number
  /** Of them, those that are not in fours that begin at a multiple of four. */
  readonly single: number
}

/** How the inputs of all windows are put side by side (gathering windows into columns). */
function gathered({ kernel, inputChannels, padding, width }: LayerShape, vertical: Axis, horizontal: Axis): Gathered {
  let [runs, values, single] = [0, 0, 0]
  const add = (times: number, place: number, length: number): void => {
    runs += times
    values += times * length
    single += times * (place % 4 === 0 ? length % 4 : length)
  }
  if (padding[2] === 0 && kernel[1] === width) {
    for (const [first, inputs] of vertical.windows) if (inputs > 0) add(1, first * width * inputChannels, inputs * width * inputChannels)
    return { runs, values, single }
  }
  const rows = Array.from({ length: kernel[0] }, (_, y) => vertical.windows.filter(([low, count]) => y >= low && y < low + count).length)
  const columns = new Map<string, readonly [first: number, inputs: number, times: number]>()
  for (const [first, inputs] of horizontal.windows) {
    const key = `${first} ${inputs}`
    if (inputs > 0) columns.set(key, [first, inputs, (columns.get(key)?.[2] ?? 0) + 1])
  }
  for (const [first, inputs, times] of columns.values()) {
    rows.forEach((count, y) => add(count * times, (y * kernel[1] + first) * inputChannels, inputs * inputChannels))
  }
  return { runs, values, single }
}

/** Inputs of a unit of packed weights, and output channels of a group (core/weights.h). */
function packingOf(kernels: Kernels | undefined, bits: number): { readonly unit: number; readonly group: number } {
  const narrowest = bits & -bits
  if (kernels === 'helium') return { unit: narrowest === 1 ? 32 : 16, group: 4 }
  if (kernels === 'dsp') return { unit: Math.max(4, 16 / narrowest), group: 2 }
  return { unit: kernels === 'plain' ? 8 / narrowest : 1, group: 4 }
}

type Terms = [name: string, value: number][]

function convolutionTerms(layer: LayerShape, kernels: Kernels | undefined): Terms {
  const { kernel, stride, padding, height, width, inputChannels, channels, weightBits, inputBits, outputBits } = layer
  const [rows, columns] = outputMap(layer)
  const pixels = rows * columns
  const vertical = axisOf(height, rows, kernel[0], stride[0], padding[0])
  const horizontal = axisOf(width, columns, kernel[1], stride[1], padding[2])
  const { unit, group } = packingOf(kernels, weightBits)
  const depth = up(depthOf(layer), unit)
  const together = kernels === 'dsp' ? up(pixels, 2) : pixels
  const { runs, values, single } = gathered(layer, vertical, horizontal)
  const from = widthTag(inputBits, inputChannels).replace('c', '')
  return [
    ['call', 1],
    ['channels', channels],
    ['pixels', pixels],
    [`groups:w${weightBits}`, together * Math.ceil(channels / group)],
    ['blocks', together * Math.ceil(channels / 32)],
    [`products:w${weightBits}a${containerOf(inputBits)}`, together * up(channels, group) * depth],
    [`gathered:a${from}`, values],
    [`single:a${from}`, single],
    ['runs', runs],
    ['cleared', (pixels - vertical.whole * horizontal.whole) * depth],
    [`outputs:o${widthTag(outputBits, channels)}`, pixels * channels],
  ]
}

function filterTerms(layer: LayerShape, kernels: Kernels | undefined): Terms {
  const [rows, columns] = outputMap(layer)
  const pixels = rows * columns
  const { channels, outputBits } = layer
  const together = kernels === undefined || kernels === 'plain' ? pixels : up(pixels, 2)
  const taps = depthOf(layer)
  return [
    ['call', 1],
    ['channels', channels],
    ['made', channels * taps],
    ['groups', together * Math.ceil(channels / 4)],
    ['gathered', pixels * Math.ceil(channels / 4) * taps],
    ['products', together * up(channels, 4) * taps],
    [`outputs:o${widthTag(outputBits, channels)}`, pixels * channels],
  ]
}

function depthwiseTerms(layer: LayerShape): Terms {
  const { kernel, padding, height, width, channels, weightBits, inputBits, outputBits } = layer
  const [rows, columns] = outputMap(layer)
  const along = rows > columns ? 0 : 1
  const [long, short] = along === 0 ? [rows, columns] : [columns, rows]
  const outputs = rows * columns * channels
  const stepOf = (line: number): number => (along === 0 ? line : 1) * channels
  const plane = (height + padding[0] + padding[1]) * (width + padding[2] + padding[3])
  return [
    ['call', 1],
    ['channels', channels],
    ['plane', plane],
    [`inputs:a${widthTag(inputBits, stepOf(width)).replace('c', '')}`, height * width * channels],
    ['inputLines', (along === 0 ? width : height) * channels],
    ['inputRows', height * channels],
    [`taps:w${weightBits}`, kernel[0] * kernel[1] * channels],
    ['lines', short * channels],
    ['rows', rows * channels],
    ['blocks', short * Math.ceil(long / 32) * channels],
    ['twos', short * Math.ceil(long / 2) * channels],
    ['fours', short * Math.ceil(long / 4) * channels],
    ['fourProducts', short * Math.ceil(long / 4) * channels * kernel[0] * kernel[1]],
    ['kernelLines', outputs * kernel[1 - along]],
    ['kernelRows', outputs * kernel[0]],
    ['pairs', outputs * kernel[1 - along] * Math.ceil(kernel[along] / 2)],
    ['products', outputs * kernel[0] * kernel[1]],
    [`outputs:o${widthTag(outputBits, stepOf(columns))}`, outputs],
  ]
}

/** Two queries at a time: scores, what the softmax takes of each, and sums, each with the keys and values that are read for it. */
function attentionTerms(layer: LayerShape, kernels: Kernels | undefined): Terms {
  const { height, width, inputChannels, channels, inputBits, outputBits } = layer
  const positions = height * width
  const even = up(positions, 2)
  // the kernels in fours take an odd last query twice, and values of two positions at a time; they unpack queries value by value
  const inPairs = kernels !== undefined && kernels !== 'plain' && kindOf(layer) === 'attend in fours'
  const rows = inPairs ? even : positions
  const [keys, values] = [inputChannels, channels].map((count) => widthTag(inputBits, count).replace('c', ''))
  return [
    ['call', 1],
    ['rows', rows],
    ['pairs', rows * positions],
    [inPairs ? `queries:a${keys}` : 'queries', rows * inputChannels],
    [`scores:a${keys}`, (even / 2) * positions * inputChannels],
    [`sums:a${values}`, (even / 2) * rows * channels],
    [`outputs:o${widthTag(outputBits, channels)}`, positions * channels],
  ]
}

/** What a layer's time is a sum of. `kernels`: where weights are packed for a family of kernels, with its padding. */
export function termsOf(layer: LayerShape, kernels?: Kernels): Terms {
  const { op, kernel, channels, inputBits, outputBits } = layer
  const [rows, columns] = outputMap(layer)
  const outputs = rows * columns * channels
  const [from, to] = [widthTag(inputBits, channels).replace('c', ''), widthTag(outputBits, channels)]
  switch (op) {
    case 'convolution':
      return convolutionTerms(layer, kernels)
    case 'filters':
      return filterTerms(layer, kernels)
    case 'depthwise':
      return depthwiseTerms(layer)
    case 'pool':
      return [
        ['call', 1],
        [`outputs:o${to}`, outputs],
        ['rows', outputs * kernel[0]],
        [`addends:a${from}`, outputs * depthOf(layer)],
      ]
    case 'attend':
      return attentionTerms(layer, kernels)
    case 'reshape':
      return [['call', 1]]
    default:
      return [
        ['call', 1],
        [`outputs:a${from}o${to}`, outputs],
      ]
  }
}

/** Rows of a table's measurements as one system, or one for each kind where nothing was measured together. */
function systems(measured: readonly Measured[]): Measured[][] {
  if (measured.some(({ layers }) => layers.length > 1)) return [[...measured]]
  return Object.values(Object.groupBy(measured, ({ layers }) => kindOf(layers[0]))) as Measured[][]
}

/** Fits a law for every kind that was measured; of layers that were measured together one coefficient for all widths. */
export function fitLaws(measured: readonly Measured[], kernels?: Kernels): Laws {
  const laws: Record<string, Record<string, number>> = {}
  for (const system of systems(measured)) {
    const isJoint = system.some(({ layers }) => layers.length > 1)
    const columns = new Map<string, { readonly kind: string; readonly name: string; readonly at: number }>()
    const rows = system.map(({ layers, value }): Row => {
      const terms = new Map<number, number>()
      for (const layer of layers) {
        const kind = kindOf(layer)
        for (const [term, count] of termsOf(layer, kernels)) {
          const name = isJoint ? term.split(':')[0] : term
          const key = `${kind}\n${name}`
          if (!columns.has(key)) columns.set(key, { kind, name, at: columns.size })
          const { at } = columns.get(key)!
          terms.set(at, (terms.get(at) ?? 0) + count / value)
        }
      }
      return { terms: [...terms], target: 1 }
    })
    const found = nonNegativeLeastSquares(rows, columns.size)
    for (const { kind, name, at } of columns.values()) (laws[kind] ??= {})[name] = Number(found[at].toPrecision(6))
  }
  return laws
}

/** Of a term that was not measured at its width: the coefficient of the nearest one that was. */
function nearestCoefficient(law: Laws[string], name: string): number | undefined {
  const base = name.split(':')[0]
  const digits = (text: string): number[] => [...text.matchAll(/\d+/g)].map(([number]) => Math.log2(Number(number)))
  const wanted = digits(name)
  const apart = (other: string): number => digits(other).reduce((sum, value, i) => sum + Math.abs(value - (wanted[i] ?? 0)), 0)
  const others = Object.keys(law).filter((other) => other.split(':')[0] === base)
  return others.length === 0 ? undefined : law[others.toSorted((a, b) => apart(a) - apart(b))[0]]
}

/** @returns undefined for a kind of layer without a law */
export function predict(laws: Laws, layer: LayerShape, kernels?: Kernels): number | undefined {
  const law = Object.hasOwn(laws, kindOf(layer)) ? laws[kindOf(layer)] : undefined
  if (!law) return undefined
  return termsOf(layer, kernels).reduce((sum, [name, count]) => sum + count * (law[name] ?? nearestCoefficient(law, name) ?? 0), 0)
}

export interface LawError {
  readonly points: number
  /** Of |predicted / measured - 1| over points that the law was not fitted to. */
  readonly median: number
  readonly ninetieth: number
}

const folds = 5

/** By kind (of several layers measured together: `networks`), from laws that are fitted to four fifths of the points each. */
export function crossValidate(measured: readonly Measured[], kernels?: Kernels): Readonly<Record<string, LawError>> {
  const errors: Record<string, number[]> = {}
  for (let fold = 0; fold < folds; fold++) {
    const laws = fitLaws(
      measured.filter((_, i) => i % folds !== fold),
      kernels,
    )
    for (const { layers, value } of measured.filter((_, i) => i % folds === fold)) {
      const values = layers.map((layer) => predict(laws, layer, kernels))
      if (values.includes(undefined)) continue
      const sum = values.reduce<number>((total, own) => total + own!, 0)
      ;(errors[layers.length === 1 ? kindOf(layers[0]) : 'networks'] ??= []).push(Math.abs(sum / value - 1))
    }
  }
  return Object.fromEntries(
    Object.entries(errors).map(([kind, found]): [string, LawError] => {
      const sorted = found.toSorted((a, b) => a - b)
      const at = (share: number): number => Number(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))].toFixed(4))
      return [kind, { points: sorted.length, median: at(0.5), ninetieth: at(0.9) }]
    }),
  )
}
