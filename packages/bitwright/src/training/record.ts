// Records a Network on the engine's tape: the one translation from the plain-data graph to commands, used by training, evaluation and
// search alike. Where widths are decided, values are fake-quantized exactly where the integer model will store them (network/storage.ts).
import {
  add,
  addScaled,
  attend,
  averagePool,
  batchNorm,
  bias,
  convolution,
  crop,
  fakeQuantize,
  globalAveragePool,
  linear,
  logMagnitude,
  none,
  type ParameterStore,
  relu,
  relu6,
  reshape,
  settle,
  sincFilters,
  aggregate,
  dropout,
  dropoutValues,
  sparseProduct,
  type LearnedAttention,
  type QuantizerSlot,
  type Stored,
  type Tape,
  type Value,
  type WeightReference,
} from '@bitwright/engine'
import { inputKeys, isLearned, nodesById, normalizationPrefix, parameterPrefix, throughViews } from '../network/graph.ts'
import type { AggregateNode, Network, NetworkNode, WeightedNetworkNode } from '../network/network.ts'
import type { ActivationQuantizer, WeightQuantizer } from '../quantizers/index.ts'
import { type GraphInput, graphOf, recordGraphInput } from './graph-input.ts'
import type { WholeLayer, WholeLayers } from './whole-layers.ts'

/** log(|x| + epsilon) of the raw-audio layer. */
export const logMagnitudeEpsilon = 1e-3
export const batchNormEpsilon = 1e-5

/** By node id. */
export type WeightSources = Map<string, WeightReference>

/** Where quantized weights and activations come from; absent: float. */
export interface QuantizedReferences {
  /** The quantized copy of a layer's weights and where its gradient goes. `source`: the float weights on the heap. */
  weights(node: WeightedNetworkNode, source: WeightReference): WeightReference
  /** The quantizer of a stored value, by id of the node that makes it; undefined: kept as it is (raw audio, logits). */
  value(id: string): QuantizerSlot | undefined
  /** The second quantizer of a layer that narrows a stream for itself, by what it multiplies (`inputKeys`). */
  narrowed(key: string): QuantizerSlot | undefined
}

/** The same with its quantizers: what evaluation in whole numbers and statistics taken anew need of a network's quantization. */
export interface Quantized extends QuantizedReferences {
  readonly network: Network
  /** Before the kernels: quantized weights and quantizer slots on the heap. */
  prepare(sources: WeightSources): void
  weightQuantizer(id: string): WeightQuantizer
  /** By id of the value, or, of a layer that narrows its input, by what it multiplies. */
  activationQuantizer(id: string, narrowed?: boolean): ActivationQuantizer | undefined
}

export interface RecordOptions {
  readonly store: ParameterStore
  /** Heap offset of batch norm's momentum. */
  readonly momentum: number
  readonly quantized?: QuantizedReferences
  /** In evaluation: layers that work in whole numbers. */
  readonly whole?: WholeLayers
  /** Whether weights get gradients (default: in training). */
  readonly weightGradients?: boolean
}

/** Appends nodes to a tape; `values` grows by one entry a node, so that a search can continue from any of them. */
export class Recorder {
  readonly tape: Tape
  readonly values = new Map<string, Value>()
  /** The float weights of each recorded layer, before quantization. */
  readonly sources: WeightSources = new Map()
  /** By what a layer multiplies (`inputKeys`): what it reads, before the quantizer of that. */
  readonly multiplied = new Map<string, Value>()
  /** What a graph's nodes look at; nodes that are recorded elsewhere on its values need it too. */
  graph?: GraphInput
  /** Places of dropout so far: each draws for itself. */
  private sites = 0
  private readonly options: RecordOptions

  constructor(tape: Tape, options: RecordOptions) {
    this.tape = tape
    this.options = options
  }

  /** Records all nodes; returns the input's map and the logits. */
  network(network: Network): { input: Stored; logits: Value } {
    const byId = nodesById(network)
    const [first] = network.nodes
    if (network.frontEnd.kind === 'graph') {
      const value = recordGraphInput(this.tape, network.frontEnd)
      this.graph = graphOf(value.stored)
      this.values.set(first.id, value)
    }
    for (const node of network.nodes) if (!this.values.has(node.id)) this.node(node, (id) => throughViews(byId, id))
    return { input: this.values.get(network.nodes[0].id)!.stored, logits: this.values.get(network.nodes.at(-1)!.id)! }
  }

  /** Records one node whose inputs are recorded. `origin` follows views back to the value that is stored. */
  node(node: NetworkNode, origin: (id: string) => string = (id) => id): Value {
    const value = this.record(node, origin)
    this.values.set(node.id, value)
    return value
  }

  private record(node: NetworkNode, origin: (id: string) => string): Value {
    const { tape } = this
    switch (node.op) {
      case 'input':
        return tape.input(...node.shape)
      case 'reshape':
        // quantized where it is read, like what it reshapes
        return reshape(tape, this.values.get(node.inputs[0])!, ...node.shape)
      case 'crop':
        return crop(tape, this.values.get(node.inputs[0])!, node.rows)
      case 'add': {
        const [x, y] = node.inputs.map((id) => this.read(id, origin))
        const sum = isLearned(node) ? addScaled(tape, x, y, this.reference(`${parameterPrefix(node)}.scale`)) : add(tape, x, y)
        return node.activation === 'relu' ? relu(sum) : sum
      }
      case 'attend': {
        const [query, key, value] = inputKeys(node).map((part, i) => this.quantizedInput(part, node.inputs[i], origin))
        const mean = attend(tape, query, key, value)
        return node.activation === 'relu' ? relu(mean) : mean
      }
      case 'aggregate':
        return this.aggregated(node, origin)
      case 'averagePool':
        return averagePool(tape, this.read(node.inputs[0], origin), node.kernelSize, node.stride)
      case 'globalAveragePool':
        return globalAveragePool(tape, this.read(node.inputs[0], origin))
      case 'convolution':
      case 'sinc':
      case 'linear':
        return this.weighted(node, origin)
      default:
        throw new Error(`unknown op in node ${JSON.stringify(node satisfies never)}`)
    }
  }

  /** A value as its consumers see it: through its quantizer. */
  private read(id: string, origin: (id: string) => string): Value {
    const value = this.values.get(id)!
    const slot = this.options.quantized?.value(origin(id))
    return slot ? fakeQuantize(value, slot) : value
  }

  private weighted(node: WeightedNetworkNode, origin: (id: string) => string): Value {
    const { tape } = this
    const { quantized } = this.options
    const whole = this.options.whole?.layer(node)
    const x = this.quantizedInput(node.id, node.inputs[0], origin, whole?.input)
    const source = this.source(node)
    this.sources.set(node.id, source)
    const weights = whole?.weights ?? quantized?.weights(node, source) ?? source
    const ofInput = graphOf(x.stored)
    let y = ofInput
      ? sparseProduct(tape, ofInput.features, weights, node.channels, this.variedFeatures(ofInput))
      : node.op === 'linear'
        ? linear(tape, this.varied(x), weights, node.channels)
        : convolution(tape, x, weights, { ...node, groups: node.op === 'convolution' ? node.groups : 1 })
    if (node.activation === 'logMagnitude') y = logMagnitude(tape, y, logMagnitudeEpsilon)
    y = whole ? this.scaled(y, whole) : this.normalized(node, y)
    if (node.activation === 'relu') return relu(y)
    return node.activation === 'relu6' ? relu6(y) : y
  }

  private aggregated(node: AggregateNode, origin: (id: string) => string): Value {
    const { tape } = this
    const prefix = parameterPrefix(node)
    const { aggregator, heads, attention: kind } = node
    const learned = (): LearnedAttention =>
      kind === 'gat'
        ? { kind, left: this.reference(`${prefix}.left`), right: this.reference(`${prefix}.right`) }
        : kind === 'linear'
          ? { kind, right: this.reference(`${prefix}.right`) }
          : { kind: 'cosine', left: this.reference(`${prefix}.left`) }
    const attention = kind === 'constant' ? 'ones' : kind === 'gcn' ? 'values' : learned()
    const x = this.varied(this.quantizedInput(node.id, node.inputs[0], origin))
    const y = aggregate(tape, x, this.graph!.neighbours, { aggregator, heads, attention })
    if (node.bias) bias(tape, y, this.reference(`${prefix}.bias`))
    return node.activation === 'relu' ? relu(y) : y
  }

  /** In training on a graph, what an activation gave with some of it dropped out. */
  private varied(x: Value): Value {
    return this.graph && this.tape.training && x.low !== -Infinity ? dropout(this.tape, x, this.graph.dropout, this.sites++) : x
  }

  private variedFeatures({ features, dropout: slot }: GraphInput): number {
    return this.tape.training ? dropoutValues(this.tape, features, slot, this.sites++) : features.values
  }

  /** What a layer multiplies: the value through its quantizer, or through `instead`. */
  private quantizedInput(key: string, id: string, origin: (id: string) => string, instead?: QuantizerSlot): Value {
    const { quantized } = this.options
    const narrowed = quantized?.narrowed(key)
    const plain = narrowed ? settle(this.tape, this.read(id, origin)) : this.values.get(id)!
    this.multiplied.set(key, plain)
    const slot = instead ?? narrowed ?? quantized?.value(origin(id))
    return slot ? fakeQuantize(plain, slot) : plain
  }

  private scaled(y: Value, { scale, offset, mean, variance }: WholeLayer): Value {
    const statistics = { runningMean: mean, runningVariance: variance, momentum: none, epsilon: 0 }
    return batchNorm(this.tape, y, { scale, offset, scaleGradient: none, offsetGradient: none, ...statistics })
  }

  private normalized(node: WeightedNetworkNode, y: Value): Value {
    if (node.bias) {
      return bias(this.tape, y, this.reference(`${parameterPrefix(node)}.bias`))
    }
    if (node.normalization === 'none') return y
    const prefix = normalizationPrefix(node)
    const affine = node.normalization === 'affine'
    return batchNorm(this.tape, y, {
      scale: affine ? this.at(`${prefix}.scale`) : none,
      offset: affine ? this.at(`${prefix}.offset`) : none,
      scaleGradient: affine ? this.gradient(`${prefix}.scale`) : none,
      offsetGradient: affine ? this.gradient(`${prefix}.offset`) : none,
      runningMean: this.at(`${prefix}.mean`),
      runningVariance: this.at(`${prefix}.variance`),
      momentum: this.options.momentum,
      epsilon: batchNormEpsilon,
    })
  }

  /** The float weights; a sinc layer makes them from its two numbers per filter. */
  private source(node: WeightedNetworkNode): WeightReference {
    const prefix = parameterPrefix(node)
    if (node.op !== 'sinc') return this.reference(`${prefix}.weight`)
    const parameters = {
      low: this.at(`${prefix}.lowHz`),
      band: this.at(`${prefix}.bandHz`),
      lowGradient: this.gradient(`${prefix}.lowHz`),
      bandGradient: this.gradient(`${prefix}.bandHz`),
    }
    return sincFilters(this.tape, parameters, node.channels, node.kernelSize[0] * node.kernelSize[1], node.sampleRate)
  }

  private reference(name: string): WeightReference {
    return { offset: this.at(name), gradient: this.gradient(name) }
  }

  private at(name: string): number {
    return this.options.store.values + this.options.store.get(name).position
  }

  private gradient(name: string): number {
    if (this.options.weightGradients === false || !this.tape.training) return none
    return this.options.store.gradients + this.options.store.get(name).position
  }
}
