// Networks that are made to be measured: small, of every kind of layer, with widths, channels, kernels, strides and maps drawn apart from each
// other, so that a law can tell their shares. And numbers for networks that have none, since a device's work depends on a few of them.
import { Random } from '@bitwright/engine'
import {
  expandChannel,
  fractionBits,
  type IntegerLayer,
  type IntegerModel,
  type IntegerSpectralFrontEnd,
  largestScale,
  scaleExponentOf,
  sincFilters,
} from '@bitwright/runtime'
import { classifier, convolution, mobileBlock, network } from '../network/blocks.ts'
import { weightedNodes } from '../network/graph.ts'
import type { FrontEnd, Network, NetworkNode, Pair, Shape } from '../network/network.ts'
import { frontEndShape, inferShapes } from '../network/shapes.ts'
import { withBits } from '../network/transform.ts'
import { macsOf, networkLayers } from './layer-shape.ts'
import { lowerSkeleton } from './lower.ts'

class Draw {
  private readonly random: Random
  constructor(...purpose: [number, string]) {
    this.random = new Random(...purpose)
  }

  below(count: number): number {
    return this.random.integer(count)
  }

  /** Both ends included. */
  from(low: number, high: number): number {
    return low + this.below(high - low + 1)
  }

  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)]
  }
}

const channelCounts = [4, 8, 10, 12, 16, 20, 24, 30, 32, 33, 40, 48, 60, 64, 80]
const usualWidths = [2, 4, 8]

function stem(draw: Draw): { readonly frontEnd: FrontEnd; readonly nodes: NetworkNode[] } {
  const input = (frontEnd: FrontEnd): NetworkNode => ({ id: 'input', op: 'input', inputs: [], shape: frontEndShape(frontEnd) })
  const kind = draw.below(9)
  if (kind < 3) {
    const frontEnd: FrontEnd = { kind: 'image', height: draw.from(6, 24), width: draw.from(6, 24), channels: draw.pick([1, 3]) }
    return { frontEnd, nodes: [input(frontEnd)] }
  }
  if (kind < 6) {
    const coefficients = draw.from(8, 40)
    const samples = 400 + 160 * draw.from(12, 48)
    const sizes = { samples, windowSamples: 400, hopSamples: 160, melBands: 40, coefficients, lowHz: 20, highHz: 7000 }
    const frontEnd: FrontEnd = { kind: 'mfcc', sampleRate: 16_000, ...sizes }
    const [frames] = frontEndShape(frontEnd)
    const channels: NetworkNode = { id: 'channels', op: 'reshape', inputs: ['input'], shape: [frames, 1, coefficients] }
    return { frontEnd, nodes: [input(frontEnd), ...(draw.below(3) === 0 ? [channels] : [])] }
  }
  const [taps, step, frames, filters] = [draw.from(40, 400), draw.from(20, 160), draw.from(16, 60), draw.from(6, 64)]
  const before = draw.below(2) * draw.below(taps >> 1)
  const frontEnd: FrontEnd = { kind: 'raw', sampleRate: 16_000, samples: taps + step * (frames - 1) + draw.below(step) - 2 * before }
  const common = { id: 'filters', inputs: ['input'], channels: filters, kernelSize: [taps, 1], stride: [step, 1], bias: false } as const
  const padding = [before, before, 0, 0] as const
  const layer: NetworkNode =
    kind === 6
      ? { ...common, op: 'sinc', padding, sampleRate: 16_000, normalization: 'affine', activation: 'logMagnitude' }
      : { ...common, op: 'convolution', padding, groups: 1, normalization: 'affine', activation: 'relu' }
  return { frontEnd, nodes: [input(frontEnd), layer, { id: 'map', op: 'reshape', inputs: ['filters'], shape: [frames, filters, 1] }] }
}

function piece(draw: Draw, id: string, input: string, [height, width, inputChannels]: Shape): NetworkNode[] {
  const channels = draw.pick(channelCounts)
  const steps = (size: number): number => (size >= 6 ? draw.from(1, 2) : 1)
  const stride: Pair = [steps(height), steps(width)]
  const side = (size: number): number => (size === 1 ? 1 : draw.pick([1, 3, 3, 5, 7, 9].filter((kernel) => kernel <= size + 2)))
  const kernelSize: Pair = [side(height), side(width)]
  switch (draw.below(7)) {
    case 0: {
      const [expansion, kernel] = [draw.from(1, 6), draw.pick([3, 3, 5, 7])]
      const kept = draw.below(2) === 0
      const options = {
        inputChannels,
        channels: kept ? inputChannels : channels,
        expansion,
        kernel,
        stride: kept ? ([1, 1] as const) : stride,
      }
      return mobileBlock(id, input, options)
    }
    case 1:
      return [convolution(`${id}.dense`, input, { channels, kernelSize, stride })]
    case 2:
      return [convolution(`${id}.point`, input, { channels, kernelSize: [1, 1] })]
    case 3:
      return [
        convolution(`${id}.depthwise`, input, { channels: inputChannels, kernelSize, stride, groups: inputChannels }),
        convolution(`${id}.pointwise`, `${id}.depthwise`, { channels, kernelSize: [1, 1] }),
      ]
    case 4:
      return [
        convolution(`${id}.depthwise`, input, {
          channels: inputChannels,
          kernelSize: [3, 3],
          stride: draw.pick([stride, [1, 1]]),
          groups: inputChannels,
        }),
        convolution(`${id}.pointwise`, `${id}.depthwise`, { channels, kernelSize: [1, 1] }),
      ]
    case 5:
      return [
        convolution(`${id}.first`, input, { channels: inputChannels, kernelSize }),
        convolution(`${id}.second`, `${id}.first`, { channels: inputChannels, kernelSize: [1, 1], activation: 'none' }),
        { id: `${id}.add`, op: 'add', inputs: [input, `${id}.second`], activation: draw.pick(['none', 'relu']) },
      ]
    default: {
      const rows = height >= 4 ? draw.from(1, 2) : 0
      const crop: NetworkNode[] = rows > 0 ? [{ id: `${id}.crop`, op: 'crop', inputs: [input], rows }] : []
      const from = rows > 0 ? `${id}.crop` : input
      return [
        ...crop,
        { id: `${id}.pool`, op: 'averagePool', inputs: [from], kernelSize: [height >= 6 ? 2 : 1, width >= 4 ? 2 : 1], stride },
      ]
    }
  }
}

/** Attention over the map of a node, which is pooled where it is large; mostly of whole fours of channels, for which processors have a short way. */
function attention(draw: Draw, input: string, [height, width]: Shape): NetworkNode[] {
  const [most, counts] = [12, draw.below(2) === 0 ? channelCounts : channelCounts.filter((count) => count % 4 === 0)]
  const kernelSize: Pair = [Math.ceil(height / most), Math.ceil(width / most)]
  const pool: NetworkNode[] = kernelSize.every((size) => size === 1)
    ? []
    : [{ id: 'look.pool', op: 'averagePool', inputs: [input], kernelSize, stride: kernelSize }]
  const from = pool[0]?.id ?? input
  const depth = draw.pick(counts.filter((count) => count <= 20))
  const map = (id: string, channels: number): NetworkNode => convolution(id, from, { channels, kernelSize: [1, 1], activation: 'none' })
  const parts = [map('look.query', depth), map('look.key', depth), map('look.value', draw.pick(counts))]
  return [...pool, ...parts, { id: 'look', op: 'attend', inputs: parts.map(({ id }) => id), activation: draw.pick(['none', 'relu']) }]
}

function drawNetwork(draw: Draw, name: string, attending?: Draw): Network {
  const { frontEnd, nodes } = stem(draw)
  const classes = Array.from({ length: draw.from(2, 20) }, (_, i) => `${i}`)
  const built = (body: readonly NetworkNode[]): Network => network(name, frontEnd, classes, body)
  const shapeNow = (): Shape => inferShapes(built(nodes)).get(nodes.at(-1)!.id)!
  if (nodes.length === 1)
    nodes.push(convolution('first', 'input', { channels: draw.pick(channelCounts), kernelSize: [draw.pick([1, 3, 5]), 3] }))
  for (let i = draw.from(1, 3); i > 0; i--) nodes.push(...piece(draw, `p${i}`, nodes.at(-1)!.id, shapeNow()))
  if (attending) nodes.push(...attention(attending, nodes.at(-1)!.id, shapeNow()))
  const last = nodes.at(-1)!
  if (draw.below(2)) nodes.push(convolution('last', last.id, { channels: draw.pick(channelCounts), kernelSize: [1, 1] }))
  return built([...nodes, ...classifier(nodes.at(-1)!.id, classes.length)])
}

/** Work of one of them, but for attention, which is small by itself, and values of its largest map. */
const most = { macs: 1_500_000, values: 40_000 }

function fits(candidate: Network): boolean {
  const layers = networkLayers(candidate).flatMap((node) => node.layers)
  const isSmall = layers.every(({ height, width, inputChannels }) => height * width * inputChannels <= most.values)
  return isSmall && layers.reduce((sum, layer) => sum + (layer.op === 'attend' ? 0 : macsOf(layer)), 0) <= most.macs
}

/** Every so many networks have attention. */
const attentionEvery = 4

/** Number `index` of the networks of a seed, with widths. */
export function designedNetwork(seed: number, index: number): Network {
  const draw = new Draw(seed, `designed network ${index}`)
  const attending = index % attentionEvery === attentionEvery - 1 ? new Draw(seed, `attention of designed network ${index}`) : undefined
  for (;;) {
    const drawn = drawNetwork(draw, `designed ${index}`, attending)
    const width = (): number => (draw.below(2) ? draw.pick(usualWidths) : draw.from(1, 8))
    const overrides = Object.fromEntries(weightedNodes(drawn).map(({ id }) => [id, { weightBits: width(), activationBits: width() }]))
    const look = attending && { look: { activationBits: attending.pick([8, 8, 4, 4, 2, 6]) } }
    const decided = withBits(drawn, { weightBits: 8, activationBits: 8 }, { edges: 'same', overrides: { ...overrides, ...look } })
    if (fits(decided)) return decided
  }
}

/** Front ends to measure frames of: the built-in networks', and others around them. */
export const designedFrontEnds: readonly IntegerSpectralFrontEnd[] = (
  [
    ['mfcc', 640, 40, 10],
    ['mfcc', 480, 40, 40],
    ['mfcc', 400, 40, 13],
    ['mfcc', 480, 40, 10],
    ['mfcc', 640, 40, 40],
    ['mfcc', 256, 20, 10],
    ['logmel', 640, 40, 40],
    ['logmel', 480, 64, 64],
    ['logmel', 400, 32, 32],
    ['logmel', 256, 20, 20],
    ['mfcc', 1024, 64, 20],
  ] as const
).map(([kind, windowSamples, melBands, coefficients]) => {
  const sizes = { samples: 4 * windowSamples, windowSamples, hopSamples: windowSamples / 2, melBands, coefficients }
  return { kind, sampleRate: 16_000, ...sizes, lowHz: 20, highHz: 7000 }
})

function withNumbers(draw: Draw, layer: IntegerLayer): IntegerLayer {
  if (layer.op === 'reshape' || layer.op === 'crop') return layer
  if (layer.op === 'attend') return { ...layer, shift: layer.shift.map(() => -14) }
  if (layer.op !== 'convolution') return { ...layer, shift: layer.shift.map(() => -1) }
  const half = 2 ** (layer.weightBits - 1)
  const depth = layer.weights.length / layer.bias.length
  const common = {
    bias: layer.bias.map(() => draw.from(-1000, 1000)),
    multiplier: layer.multiplier.map(() => 2 ** 30 + draw.below(2 ** 30)),
  }
  if (layer.cutoffs) {
    const cutoffs = layer.cutoffs.map((_, i) => 400 * (i >> 1) + (i % 2 === 0 ? 200 : 900))
    const logarithm = layer.logOffset ? { logOffset: layer.logOffset.map(() => draw.below(1000)) } : {}
    return { ...layer, ...common, ...logarithm, cutoffs, weights: sincFilters(cutoffs, depth), shift: layer.shift.map(() => -12) }
  }
  const weights = layer.weights.map(() => (layer.weightBits === 1 ? 2 * draw.below(2) - 1 : draw.below(2 * half) - half))
  const shift = Math.min(-6, -Math.ceil(Math.log2(Math.sqrt(depth) * half)) - 1)
  if (!layer.compact) return { ...layer, ...common, weights, shift: layer.shift.map(() => shift) }
  const compact = { scaleExponent: scaleExponentOf(shift), biasExponent: shift }
  const channels = Array.from(layer.bias, () => {
    return expandChannel(compact, { scale: largestScale - draw.below(2 ** fractionBits), bias: draw.from(-1000, 1000) })
  })
  return {
    ...layer,
    weights,
    compact,
    bias: Int32Array.from(channels, ({ bias }) => bias),
    multiplier: Int32Array.from(channels, ({ multiplier }) => multiplier),
    shift: Int8Array.from(channels, (channel) => channel.shift),
  }
}

/** The integer model of a network, with numbers as a converted one has them: any weights, and shifts to the right. */
export function stockedModel(source: Network): IntegerModel {
  const draw = new Draw(1, `numbers of ${source.name}`)
  const { model } = lowerSkeleton(source)
  const tensors = [...model.tensors]
  for (const layer of model.layers) {
    if (layer.op !== 'attend') continue
    // scores of some octaves, none of which is beyond all that a softmax tells apart
    for (const at of layer.inputs.slice(0, 2)) {
      const { min, max, shape } = tensors[at]
      tensors[at] = { ...tensors[at], scale: Math.sqrt(6 / Math.sqrt(shape[2])) / Math.max(-min, max) }
    }
  }
  return { ...model, tensors, layers: model.layers.map((layer) => withNumbers(draw, layer)) }
}
