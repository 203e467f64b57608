// The Network: an immutable, JSON-able graph. Spaces build it, cost models price it, the trainer compiles it, exporters translate
// it, reports draw it. Nobody keeps a second description of a model (docs: architecture, decision 1).
//
// Feature maps are [height, width, channels] per clip, channels last. A 1-D signal has width 1: height is time.
// Every node has one output; `inputs` name earlier nodes (topological order). Parameters live outside, in a store, under names
// derived from the node's `parameters` prefix (default: its id): two networks that share a prefix share weights.

import type { IntegerImageFrontEnd, IntegerRawFrontEnd, IntegerSpectralFrontEnd } from '@bitwright/runtime'

export type Pair = readonly [number, number]
/** Zero rows/columns added before and after each axis: [top, bottom, left, right]. */
export type Padding = readonly [number, number, number, number]

/** Batch normalisation after a layer: none, without learned scale and offset, or with them. */
export type Normalization = 'none' | 'plain' | 'affine'
/** `logMagnitude` is log(|x| + 1e-3), applied BEFORE the normalisation; `relu` and `relu6` after it. */
export type Activation = 'none' | 'relu' | 'relu6' | 'logMagnitude'

interface NodeBase {
  readonly id: string
  readonly inputs: readonly string[]
}

/** Width of ternary weights, -1, 0 and 1, of which five go into a byte. No integer model has them. */
export const ternaryBits = 1.6

/** What every node with weights has. */
interface WeightedNode extends NodeBase {
  /** Prefix of the parameter names in the store; default: the node's id. */
  readonly parameters?: string
  /** Prefix of its normalisation's parameter names; default: that of the others. */
  readonly normalizationParameters?: string
  /** Decided width of the weights, 1..8, or `ternaryBits` on a graph; absent: float. */
  readonly weightBits?: number
  /** Decided width of this layer's INPUT as its multipliers see it, 1..8 (16 for raw audio); absent: float. */
  readonly activationBits?: number
  readonly normalization: Normalization
  /** Learned offset per output channel; only without normalisation. */
  readonly bias: boolean
  readonly activation: Activation
}

/** Convolution. groups = 1 (dense) or groups = input channels = channels (depthwise). A 1-D one has kernelSize [k, 1]. */
export interface ConvolutionNode extends WeightedNode {
  readonly op: 'convolution'
  readonly channels: number
  readonly kernelSize: Pair
  readonly stride: Pair
  readonly padding: Padding
  readonly groups: number
}

/** Band-pass filters on raw audio [samples, 1, 1] with two learned numbers each (SincNet); output [frames, 1, channels]. */
export interface SincNode extends WeightedNode {
  readonly op: 'sinc'
  readonly channels: number
  readonly kernelSize: Pair
  readonly stride: Pair
  readonly padding: Padding
  readonly sampleRate: number
}

export interface LinearNode extends WeightedNode {
  readonly op: 'linear'
  readonly channels: number
}

export interface InputNode extends NodeBase {
  readonly op: 'input'
  readonly shape: Shape
}
/** Same values, new [height, width, channels]; e.g. [101, 1, 60] seen as the one-channel map [101, 60, 1]. */
export interface ReshapeNode extends NodeBase {
  readonly op: 'reshape'
  readonly shape: Shape
}
/** The map without its first `rows` rows: what a sum needs of its other input where a layer without padding has used rows up. */
export interface CropNode extends NodeBase {
  readonly op: 'crop'
  readonly rows: number
}
export interface AddNode extends NodeBase {
  readonly op: 'add'
  readonly activation: 'none' | 'relu'
  /** The second input times a learned number that starts at 0: the parameter `<prefix>.scale`. */
  readonly scale?: 'learned'
  /** Prefix of the parameter's name in the store; default: the node's id. Only with `scale`. */
  readonly parameters?: string
}
/**
 * Every position of a map looks at every other: softmax over the rows of query x key^T, times value (the graph module of CENet-GCN,
 * arXiv 1912.05124). Its inputs are query, key and value, maps of one height and width; query and key have as many channels.
 */
export interface AttendNode extends NodeBase {
  readonly op: 'attend'
  /** Decided width of its three inputs as its multipliers see them, 1..8; absent: float. */
  readonly activationBits?: number
  readonly activation: 'none' | 'relu'
}
/** Window mean; padding does not count towards the mean's divisor unless it is zero anyway. */
export interface AveragePoolNode extends NodeBase {
  readonly op: 'averagePool'
  readonly kernelSize: Pair
  readonly stride: Pair
}
/** Mean over the whole map: [height, width, c] -> [1, 1, c]. */
export interface GlobalAveragePoolNode extends NodeBase {
  readonly op: 'globalAveragePool'
}

/** How neighbours count: each 1, by both nodes' degrees as in GCN, or by a learned softmax over them. */
export type GraphAttention = 'constant' | 'gcn' | 'gat' | 'cosine' | 'linear'
/**
 * Of graphs alone: what the neighbours of a node (itself among them) show, channel by channel summed, averaged, or the largest, each weighed by
 * attention. The only op that looks from one node at others. Heads share the channels evenly; each has an attention of its own.
 */
export interface AggregateNode extends NodeBase {
  readonly op: 'aggregate'
  readonly attention: GraphAttention
  readonly aggregator: 'sum' | 'mean' | 'max'
  readonly heads: number
  /** Prefix of the parameter names in the store; default: the node's id. */
  readonly parameters?: string
  /** Decided width of what it adds up, 1..8; absent: float. */
  readonly activationBits?: number
  /** Learned offset per channel. */
  readonly bias: boolean
  readonly activation: 'none' | 'relu'
}

export type NetworkNode =
  | InputNode
  | ConvolutionNode
  | SincNode
  | LinearNode
  | ReshapeNode
  | CropNode
  | AddNode
  | AttendNode
  | AveragePoolNode
  | GlobalAveragePoolNode
  | AggregateNode
export type WeightedNetworkNode = ConvolutionNode | SincNode | LinearNode
/** A sum with a learned factor. */
export type ScaledAddNode = AddNode & { readonly scale: 'learned' }
/** What multiplies what it reads, at a width of its own. */
export type MultiplyingNode = WeightedNetworkNode | AttendNode | AggregateNode
/** What has parameters in the store. */
export type LearnedNetworkNode = WeightedNetworkNode | ScaledAddNode | AggregateNode

/** [height, width, channels] */
export type Shape = readonly [number, number, number]

/** Raw audio in [-1, 1]; input shape [samples, 1, 1]. What is trained on is what ships: the front ends are the runtime's. */
export type RawFrontEnd = IntegerRawFrontEnd
/** Spectral features computed by core/; input shape [frames, coefficients, 1]. Times in samples; log-mel has melBands coefficients. */
export type SpectralFrontEnd = IntegerSpectralFrontEnd
/** Pixels 0..255, seen as (p - 128) / 128; input shape [height, width, channels]. */
export type ImageFrontEnd = IntegerImageFrontEnd
export type AudioFrontEnd = RawFrontEnd | SpectralFrontEnd
/**
 * One graph, whose nodes are the samples; input shape [1, 1, features]: the network says what happens at one node, and its layers are linear ones and
 * `aggregate`. Features are sparse, and a node's add up to one.
 */
export interface GraphFrontEnd {
  readonly kind: 'graph'
  readonly nodes: number
  /** Between different nodes, without direction. */
  readonly edges: number
  readonly features: number
  /** Features that are not zero, over all nodes. */
  readonly entries: number
}
/** What an integer model takes. */
export type IntegerFrontEnd = AudioFrontEnd | ImageFrontEnd
export type FrontEnd = IntegerFrontEnd | GraphFrontEnd

export interface Network {
  readonly format: 'bitwright-network-1'
  readonly name: string
  readonly frontEnd: FrontEnd
  /** Class names in output order. */
  readonly classes: readonly string[]
  /** Topological order; the first is the input, the last gives the logits [1, 1, classes]. */
  readonly nodes: readonly NetworkNode[]
}
