// What a layer's time depends on: its op, sizes and widths, and nothing of its numbers. Written as one line of text, which tables use as keys:
//   convolution 3x3 stride 1x1 pad 1,1,1,1 map 32x32x3 to 16 w8 a8>4
// is a dense 3x3 convolution of a 32x32x3 map to 16 channels, 8-bit weights, 8-bit input, 4-bit output. `log`: the logarithm of the magnitude.
import { type IntegerLayer, type IntegerModel } from '@bitwright/runtime'
import { inputKeys, isMultiplying, isWeighted, nodesById, throughViews } from '../network/graph.ts'
import type { Network, NetworkNode, Padding, Pair, Shape } from '../network/network.ts'
import { inferShapes } from '../network/shapes.ts'
import { storageOf } from '../network/storage.ts'

/** `filters`: convolution with filters that are made from cut-offs; `pool`: an average; `attend`: attention of a map of queries, to the values' channels; the others by the names of the integer model. */
export const layerOps = ['convolution', 'depthwise', 'filters', 'add', 'pool', 'requantize', 'crop', 'reshape', 'attend'] as const
export type LayerOp = (typeof layerOps)[number]

export interface LayerShape {
  readonly op: LayerOp
  /** 1x1, stride 1 and no padding where the op has none. */
  readonly kernel: Pair
  readonly stride: Pair
  readonly padding: Padding
  /** Of the input. */
  readonly height: number
  readonly width: number
  readonly inputChannels: number
  readonly channels: number
  /** Rows that a crop leaves; 0 of other ops. */
  readonly rows: number
  /** 0 without weights. */
  readonly weightBits: number
  readonly inputBits: number
  readonly outputBits: number
  readonly logarithm: boolean
}

export const containerOf = (bits: number): 2 | 4 | 8 | 16 => (bits <= 2 ? 2 : bits <= 4 ? 4 : bits <= 8 ? 8 : 16)

export function outputMap({ op, kernel, stride, padding, height, width, rows }: LayerShape): Pair {
  if (op === 'crop') return [rows, width]
  return [
    Math.floor((height + padding[0] + padding[1] - kernel[0]) / stride[0]) + 1,
    Math.floor((width + padding[2] + padding[3] - kernel[1]) / stride[1]) + 1,
  ]
}

export const outputsOf = (layer: LayerShape): number => {
  const [height, width] = outputMap(layer)
  return height * width * layer.channels
}

/** Inputs of one output: products of a convolution, addends of an average. */
export const depthOf = ({ op, kernel, inputChannels }: LayerShape): number =>
  kernel[0] * kernel[1] * (op === 'convolution' || op === 'filters' ? inputChannels : 1)

/** Products of queries with keys, and of probabilities with values. */
export function attentionMacs({ height, width, inputChannels, channels }: LayerShape): readonly [scores: number, sums: number] {
  return [(height * width) ** 2 * inputChannels, (height * width) ** 2 * channels]
}

/** Of the probabilities that attention multiplies values by: 32767 stands for one. */
export const probabilityBits = 16

export function macsOf(layer: LayerShape): number {
  if (layer.op === 'attend') return attentionMacs(layer).reduce((sum, macs) => sum + macs)
  return layer.weightBits > 0 ? outputsOf(layer) * depthOf(layer) : 0
}

/** Products times the bits of both of their factors. */
export function bitOperationsOf(layer: LayerShape): number {
  if (layer.op !== 'attend') return macsOf(layer) * layer.weightBits * layer.inputBits
  const [scores, sums] = attentionMacs(layer)
  return scores * layer.inputBits ** 2 + sums * layer.inputBits * probabilityBits
}

export function layerText(layer: LayerShape): string {
  const { op, kernel, stride, padding, height, width, inputChannels, channels, rows, weightBits, inputBits, outputBits } = layer
  const map = `map ${height}x${width}x${inputChannels}`
  const widths = `a${inputBits}>${outputBits}`
  if (op === 'add' || op === 'requantize' || op === 'reshape') return `${op} ${map} ${widths}`
  if (op === 'attend') return `attend ${map} to ${channels} ${widths}`
  if (op === 'crop') return `crop ${map} rows ${rows} ${widths}`
  const window = `${op} ${kernel[0]}x${kernel[1]} stride ${stride[0]}x${stride[1]}`
  if (op === 'pool') return `${window} ${map} ${widths}`
  return `${window} pad ${padding.join(',')} ${map} to ${channels} w${weightBits} ${widths}${layer.logarithm ? ' log' : ''}`
}

const windowPattern = '(?: (?<kh>\\d+)x(?<kw>\\d+) stride (?<sh>\\d+)x(?<sw>\\d+))?(?: pad (?<pad>\\d+,\\d+,\\d+,\\d+))?'
const pattern = new RegExp(
  `^(?<op>[a-z]+)${windowPattern} map (?<h>\\d+)x(?<w>\\d+)x(?<c>\\d+)(?: to (?<to>\\d+))?(?: rows (?<rows>\\d+))?(?: w(?<wb>[1-8]))? a(?<ab>\\d+)>(?<ob>\\d+)(?<log> log)?$`,
)
const largest = 1 << 24

/** @returns undefined where the text describes no layer */
export function parseLayer(text: string): LayerShape | undefined {
  const found = pattern.exec(text)?.groups
  const op = layerOps.find((name) => name === found?.op)
  if (!found || !op) return undefined
  const number = (name: string, otherwise: number): number => (found[name] === undefined ? otherwise : Number(found[name]))
  const [top, bottom, left, right] = (found.pad ?? '0,0,0,0').split(',').map(Number)
  const layer: LayerShape = {
    op,
    kernel: [number('kh', 1), number('kw', 1)],
    stride: [number('sh', 1), number('sw', 1)],
    padding: [top, bottom, left, right],
    height: number('h', 0),
    width: number('w', 0),
    inputChannels: number('c', 0),
    channels: number('to', number('c', 0)),
    rows: number('rows', 0),
    weightBits: number('wb', 0),
    inputBits: number('ab', 0),
    outputBits: number('ob', 0),
    logarithm: found.log !== undefined,
  }
  const sizes = [...layer.kernel, ...layer.stride, layer.height, layer.width, layer.inputChannels, layer.channels, ...outputMap(layer)]
  const hasWidths = [layer.inputBits, layer.outputBits].every((bits) => (bits >= 1 && bits <= 8) || bits === 16)
  const isWhole = sizes.every((size) => size >= 1 && size <= largest) && (op !== 'crop' || layer.rows <= layer.height)
  const hasShape = op !== 'depthwise' || layer.channels === layer.inputChannels
  return hasWidths && isWhole && hasShape && layerText(layer) === text ? layer : undefined
}

interface Values {
  readonly shape: Shape
  readonly bits: number
}

const plain = { kernel: [1, 1], stride: [1, 1], padding: [0, 0, 0, 0], rows: 0, weightBits: 0, logarithm: false } as const

function shapeOf(op: LayerOp, input: Values, output: Values, rest: Partial<LayerShape> = {}): LayerShape {
  const [height, width, inputChannels] = input.shape
  return { op, ...plain, height, width, inputChannels, channels: output.shape[2], inputBits: input.bits, outputBits: output.bits, ...rest }
}

export interface NodeLayers {
  readonly id: string
  /** What runs for the node: nothing for the input, and where it narrows its input a requantization before it. */
  readonly layers: readonly LayerShape[]
}

/** The layers of the integer model of a network, without making it. @throws UsageError as lowering does */
export function networkLayers(network: Network): NodeLayers[] {
  const shapes = inferShapes(network)
  const nodes = nodesById(network)
  const { values, inputs } = storageOf(network)
  const stored = (id: string): Values => ({ shape: shapes.get(id)!, bits: values.get(throughViews(nodes, id))!.bits })
  return network.nodes.map((node) => {
    if (node.op === 'input') return { id: node.id, layers: [] }
    const keys = isMultiplying(node) ? inputKeys(node) : []
    const narrowing: LayerShape[] = []
    const [input] = node.inputs.map((id, i) => {
      const from = stored(id)
      const read = keys[i] === undefined ? undefined : inputs.get(keys[i])
      if (!read?.narrowed) return from
      const narrow = { ...from, bits: read.bits }
      narrowing.push(shapeOf('requantize', from, narrow))
      return narrow
    })
    return { id: node.id, layers: [...narrowing, nodeLayer(node, input, stored(node.id))] }
  })
}

function nodeLayer(node: NetworkNode, input: Values, output: Values): LayerShape {
  if (isWeighted(node)) {
    const { weightBits = 8, activation } = node
    const logarithm = activation === 'logMagnitude'
    if (node.op === 'linear') return shapeOf('convolution', input, output, { weightBits })
    const { kernelSize: kernel, stride, padding } = node
    const isDepthwise = node.op === 'convolution' && node.groups > 1
    const op = node.op === 'sinc' ? 'filters' : isDepthwise ? 'depthwise' : 'convolution'
    return shapeOf(op, input, output, { kernel, stride, padding, weightBits: op === 'filters' ? 8 : weightBits, logarithm })
  }
  if (node.op === 'averagePool') return shapeOf('pool', input, output, { kernel: node.kernelSize, stride: node.stride })
  if (node.op === 'globalAveragePool') return shapeOf('pool', input, output, { kernel: [input.shape[0], input.shape[1]] })
  if (node.op === 'reshape') return shapeOf('reshape', input, { ...output, shape: input.shape })
  return shapeOf(node.op as LayerOp, input, output, node.op === 'crop' ? { rows: output.shape[0] } : {})
}

/** The layers of an integer model, one each, in order. */
export function modelLayers({ layers, tensors }: IntegerModel): LayerShape[] {
  return layers.map((layer: IntegerLayer) => {
    const [input, output] = [tensors['inputs' in layer ? layer.inputs[0] : layer.input], tensors[layer.output]]
    switch (layer.op) {
      case 'convolution': {
        const { kernelSize: kernel, stride, padding, weightBits } = layer
        const op = layer.cutoffs ? 'filters' : layer.groups > 1 ? 'depthwise' : 'convolution'
        return shapeOf(op, input, output, { kernel, stride, padding, weightBits, logarithm: layer.logOffset !== undefined })
      }
      case 'averagePool':
        return shapeOf('pool', input, output, { kernel: layer.kernelSize, stride: layer.stride })
      case 'crop':
        return shapeOf('crop', input, output, { rows: output.shape[0] })
      case 'reshape':
        return shapeOf('reshape', input, { ...output, shape: input.shape })
      default:
        return shapeOf(layer.op, input, output)
    }
  })
}
