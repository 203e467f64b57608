// A trained network in float as an ONNX model, batch norm folded into weights and biases: what the network was before quantization, for
// comparison and for tools that quantize by themselves.
import { requireIntegerForm } from '../network/graph.ts'
import { inferShapes } from '../network/shapes.ts'
import type { NetworkNode, Shape, WeightedNetworkNode } from '../network/network.ts'
import type { FloatLayer, FloatNetwork } from './float-network.ts'
import { type ConvolutionShape, OnnxGraph } from './onnx-graph.ts'

const linear: ConvolutionShape = { kernelSize: [1, 1], stride: [1, 1], padding: [0, 0, 0, 0], groups: 1 }

class FloatTranslation {
  private readonly graph = new OnnxGraph()
  private readonly shapes: ReadonlyMap<string, Shape>
  private readonly values = new Map<string, string>()
  private readonly source: FloatNetwork
  private readonly frontEnd: boolean

  constructor(source: FloatNetwork, frontEnd: boolean) {
    this.source = source
    this.frontEnd = frontEnd
    this.shapes = inferShapes(source.network)
  }

  file(): Uint8Array {
    const { graph, values } = this
    const { network } = this.source
    for (const node of network.nodes)
      values.set(
        node.id,
        this.node(
          node,
          node.inputs.map((id) => values.get(id)!),
        ),
      )
    graph.logits(values.get(network.nodes.at(-1)!.id)!, network.classes.length)
    return graph.finish(network.name, {
      'bitwright.classes': JSON.stringify(network.classes),
      'bitwright.frontEnd': JSON.stringify(network.frontEnd),
    })
  }

  private node(node: NetworkNode, inputs: readonly string[]): string {
    const { graph } = this
    const from = node.inputs.length > 0 ? this.shapes.get(node.inputs[0])! : ([0, 0, 0] as const)
    switch (node.op) {
      case 'input':
        return this.input()
      case 'reshape':
        return graph.reshape(node.id, inputs[0], from, node.shape)
      case 'crop':
        return graph.crop(node.id, inputs[0], node.rows, from)
      case 'add': {
        const factor = this.source.factors.get(node.id)
        const scaled = (value: string): string =>
          graph.node('Mul', `${node.id}.scaled`, [value, graph.constant(`${node.id}.scale`, 'float', [], [factor!])])
        const terms = factor === undefined ? inputs : [inputs[0], scaled(inputs[1])]
        const sum = graph.node('Add', node.id, terms)
        return node.activation === 'relu' ? graph.node('Relu', `${node.id}.relu`, [sum]) : sum
      }
      case 'attend': {
        const channels = this.shapes.get(node.id)![2]
        const mean = graph.attention(node.id, inputs, from, channels, (scores) => graph.softmax(`${node.id}.shares`, scores))
        return node.activation === 'relu' ? graph.node('Relu', `${node.id}.relu`, [mean]) : mean
      }
      case 'aggregate':
        throw new Error(`node "${node.id}": a graph has no ONNX form`)
      case 'averagePool':
        return graph.node('AveragePool', node.id, inputs, { kernel_shape: node.kernelSize, strides: node.stride })
      case 'globalAveragePool':
        return graph.node('GlobalAveragePool', node.id, inputs)
      case 'convolution':
      case 'sinc':
      case 'linear':
        return this.weighted(node, inputs[0], this.source.layers.get(node.id)!)
      default:
        throw new Error(`unknown op in node ${JSON.stringify(node satisfies never)}`)
    }
  }

  private input(): string {
    const { graph } = this
    const { frontEnd } = this.source.network
    requireIntegerForm(frontEnd)
    const value = graph.frontEnd(frontEnd, this.frontEnd)
    if (frontEnd.kind !== 'image') return value
    // training sees (p - 128) / 128
    const real = graph.node('Sub', 'pixels.centred', [
      graph.cast('pixels.float', value, 'float'),
      graph.constant('pixels.middle', 'float', [], [128]),
    ])
    return graph.node('Mul', 'pixels.real', [real, graph.constant('pixels.scale', 'float', [], [1 / 128])])
  }

  private weighted(node: WeightedNetworkNode, input: string, layer: FloatLayer): string {
    const { graph } = this
    const { id, channels, activation } = node
    const shape: ConvolutionShape = node.op === 'linear' ? linear : { ...node, groups: node.op === 'convolution' ? node.groups : 1 }
    const [height, width] = shape.kernelSize
    const [taps, inputs] = [height * width, layer.weights.length / channels / (height * width)]
    const isLogarithm = activation === 'logMagnitude'
    const values = new Float64Array(layer.weights.length)
    for (let tap = 0; tap < taps; tap++) {
      for (let i = 0; i < inputs; i++) {
        for (let c = 0; c < channels; c++)
          values[(c * inputs + i) * taps + tap] = layer.weights[(tap * inputs + i) * channels + c] * (isLogarithm ? 1 : layer.slope[c])
      }
    }
    const weights = graph.constant(`${id}.weights`, 'float', [channels, inputs, height, width], values)
    if (isLogarithm) return graph.logMagnitude(id, graph.convolution(`${id}.sums`, [input, weights], shape), layer.slope, layer.offset)
    const bias = graph.constant(`${id}.bias`, 'float', [channels], layer.offset)
    const sums = graph.convolution(id, [input, weights, bias], shape)
    if (activation === 'relu') return graph.node('Relu', `${id}.relu`, [sums])
    if (activation !== 'relu6') return sums
    return graph.clip(`${id}.relu6`, sums, 'float', [0, 6])
  }
}

/** The .onnx file of a network in float. @param options.frontEnd compute MFCC or log-mel in the graph (default: features go in) */
export function floatOnnxModel(network: FloatNetwork, { frontEnd = false }: { readonly frontEnd?: boolean } = {}): Uint8Array {
  return new FloatTranslation(network, frontEnd).file()
}
