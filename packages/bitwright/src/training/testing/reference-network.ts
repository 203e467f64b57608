// A Network in float64, straight from the definition of each op and in no way clever: what the tape's results are held against.
import { inputKeys, isLearned, nodesById, parameterPrefix, throughViews } from '../../network/graph.ts'
import type { ConvolutionNode, Network, NetworkNode, Padding, Pair, Shape, WeightedNetworkNode } from '../../network/network.ts'
import { inferShapes } from '../../network/shapes.ts'
import type { Quantization } from '../quantization.ts'
import { batchNormEpsilon } from '../record.ts'

export interface ReferenceOptions {
  readonly batch: number
  /** [batch][height][width][channels] */
  readonly input: ArrayLike<number>
  /** A parameter by name. */
  readonly parameter: (name: string) => Float32Array
  /** Whether batch norm uses the batch's statistics or the running ones. */
  readonly statistics: 'batch' | 'running'
  /** Weights and stored values go through these quantizers' own arithmetic. */
  readonly quantization?: Quantization
}

type Map64 = Float64Array

/** Every value by node id, as it is before its own quantizer: [batch][height][width][channels]. */
export function runReference(
  network: Network,
  { batch, input, parameter, statistics, quantization }: ReferenceOptions,
): Map<string, Map64> {
  const shapes = inferShapes(network)
  const byId = nodesById(network)
  const values = new Map<string, Map64>()

  /** A value through the quantizer of `id` (or of the layer that narrows it). */
  const quantized = (value: Map64, id: string, narrowed = false): Map64 => {
    const grid = quantization?.activationQuantizer(id, narrowed)?.grid()
    if (!grid) return value
    return value.map((v) => grid.scale * Math.max(grid.minimum, Math.min(grid.maximum, Math.round(v / grid.scale))))
  }
  const read = (id: string): Map64 => quantized(values.get(id)!, throughViews(byId, id))

  const weighted = (node: WeightedNetworkNode): Map64 => {
    const prefix = parameterPrefix(node)
    const x = quantized(read(node.inputs[0]), node.id, true)
    const source = parameter(`${prefix}.weight`)
    const weights = new Float32Array(source.length)
    if (quantization) quantization.weightQuantizer(node.id).forward(source, weights)
    else weights.set(source)
    const shape = shapes.get(node.id)!
    const y = product(node, x, shapes.get(node.inputs[0])!, shape, weights, batch)
    const { channels } = node
    if (node.bias) for (let i = 0; i < y.length; i++) y[i] += parameter(`${prefix}.bias`)[i % channels]
    if (node.normalization !== 'none') {
      const affine = node.normalization === 'affine'
      for (let c = 0; c < channels; c++) {
        let [mean, variance] = [parameter(`${prefix}.mean`)[c], parameter(`${prefix}.variance`)[c]]
        if (statistics === 'batch') [mean, variance] = moments(y.filter((_, i) => i % channels === c))
        const slope = (affine ? parameter(`${prefix}.scale`)[c] : 1) / Math.sqrt(variance + batchNormEpsilon)
        const offset = affine ? parameter(`${prefix}.offset`)[c] : 0
        for (let i = c; i < y.length; i += channels) y[i] = slope * (y[i] - mean) + offset
      }
    }
    return y.map((v) => (node.activation === 'none' ? v : Math.min(Math.max(v, 0), node.activation === 'relu6' ? 6 : Infinity)))
  }

  const compute = (node: NetworkNode): Map64 => {
    switch (node.op) {
      case 'input':
        return Float64Array.from(input)
      case 'convolution':
      case 'linear':
        return weighted(node)
      case 'add': {
        const [a, b] = node.inputs.map(read)
        const factor = isLearned(node) ? parameter(`${parameterPrefix(node)}.scale`)[0] : 1
        return a.map((v, i) => (node.activation === 'relu' ? Math.max(0, v + factor * b[i]) : v + factor * b[i]))
      }
      case 'attend': {
        const [query, key, value] = inputKeys(node).map((part, i) => quantized(read(node.inputs[i]), part, true))
        const [[height, width, depth], [, , channels]] = [shapes.get(node.inputs[0])!, shapes.get(node.id)!]
        const y = attended(query, key, value, { batch, nodes: height * width, depth, channels })
        return node.activation === 'relu' ? y.map((v) => Math.max(0, v)) : y
      }
      case 'globalAveragePool': {
        const x = read(node.inputs[0])
        const [height, width, channels] = shapes.get(node.inputs[0])!
        const y = new Float64Array(batch * channels)
        x.forEach((v, i) => (y[Math.floor(i / (height * width * channels)) * channels + (i % channels)] += v / (height * width)))
        return y
      }
      case 'reshape':
        return values.get(node.inputs[0])!
      default:
        throw new Error(`the reference has no ${node.op}`)
    }
  }
  for (const node of network.nodes) values.set(node.id, compute(node))
  return values
}

function moments(values: Map64): [number, number] {
  const mean = values.reduce((sum, v) => sum + v, 0) / values.length
  return [mean, values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / values.length]
}

/** softmax(query * transposed key) * value of every sample. */
function attended(
  query: Map64,
  key: Map64,
  value: Map64,
  { batch, nodes, depth, channels }: { batch: number; nodes: number; depth: number; channels: number },
): Map64 {
  const y = new Float64Array(batch * nodes * channels)
  for (let i = 0; i < batch * nodes; i++) {
    const first = i - (i % nodes)
    const scores = Array.from({ length: nodes }, (_, j) => {
      let score = 0
      for (let c = 0; c < depth; c++) score += query[i * depth + c] * key[(first + j) * depth + c]
      return score
    })
    const largest = Math.max(...scores)
    const parts = scores.map((score) => Math.exp(score - largest))
    const total = parts.reduce((sum, part) => sum + part, 0)
    for (let c = 0; c < channels; c++)
      y[i * channels + c] = parts.reduce((sum, part, j) => sum + (part / total) * value[(first + j) * channels + c], 0)
  }
  return y
}

/** Convolution or linear layer: weights [kernelHeight][kernelWidth][inputChannels][channels], depthwise [kernelHeight][kernelWidth][channels]. */
function product(
  node: WeightedNetworkNode,
  x: Map64,
  [height, width, inputs]: Shape,
  [rows, columns, channels]: Shape,
  weights: Float32Array,
  batch: number,
): Map64 {
  const linear = { kernelSize: [1, 1] as Pair, stride: [1, 1] as Pair, padding: [0, 0, 0, 0] as Padding, groups: 1 }
  const { kernelSize, stride, padding, groups }: Pick<ConvolutionNode, 'kernelSize' | 'stride' | 'padding' | 'groups'> =
    node.op === 'convolution' ? node : linear
  const y = new Float64Array(batch * rows * columns * channels)
  let at = 0
  for (let n = 0; n < batch; n++) {
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        for (let channel = 0; channel < channels; channel++, at++) {
          for (let u = 0; u < kernelSize[0]; u++) {
            for (let v = 0; v < kernelSize[1]; v++) {
              const [i, j] = [row * stride[0] + u - padding[0], column * stride[1] + v - padding[2]]
              if (i < 0 || j < 0 || i >= height || j >= width) continue
              const pixel = ((n * height + i) * width + j) * inputs
              const tap = u * kernelSize[1] + v
              if (groups > 1) y[at] += x[pixel + channel] * weights[tap * channels + channel]
              else for (let c = 0; c < inputs; c++) y[at] += x[pixel + c] * weights[(tap * inputs + c) * channels + channel]
            }
          }
        }
      }
    }
  }
  return y
}
