// The pieces that keyword-spotting networks are made of: plain functions that return nodes. Built-ins and search spaces share them.
import type { Activation, ConvolutionNode, FrontEnd, LinearNode, Network, NetworkNode, Normalization, Padding, Pair } from './network.ts'
import { frontEndShape } from './shapes.ts'

export interface ConvolutionOptions {
  readonly channels: number
  readonly kernelSize: Pair
  /** Default [1, 1]. */
  readonly stride?: Pair
  /** Default: (kernel - 1) / 2 on every side, rounded up before and down after. */
  readonly padding?: Padding
  /** Default 1 (dense); `channels` for depthwise. */
  readonly groups?: number
  /** Default 'affine'. */
  readonly normalization?: Normalization
  /** Default 'relu'. */
  readonly activation?: Activation
}

const centred = ([height, width]: Pair): Padding => [height >> 1, (height - 1) >> 1, width >> 1, (width - 1) >> 1]

/** Convolution, batch norm, ReLU, unless told otherwise; no bias. */
export function convolution(id: string, input: string, options: ConvolutionOptions): ConvolutionNode {
  const { channels, kernelSize, stride = [1, 1], padding = centred(kernelSize), groups = 1 } = options
  const { normalization = 'affine', activation = 'relu' } = options
  return { id, op: 'convolution', inputs: [input], channels, kernelSize, stride, padding, groups, normalization, bias: false, activation }
}

/** Global average pool and a linear layer with bias: logits. Ids `pool` and `logits`. */
export function classifier(input: string, classes: number): NetworkNode[] {
  const logits: LinearNode = {
    id: 'logits',
    op: 'linear',
    inputs: ['pool'],
    channels: classes,
    normalization: 'none',
    bias: true,
    activation: 'none',
  }
  return [{ id: 'pool', op: 'globalAveragePool', inputs: [input] }, logits]
}

export interface MobileBlockOptions {
  readonly inputChannels: number
  readonly channels: number
  /** e: the depthwise layer has inputChannels * expansion channels; 1 drops the first layer. */
  readonly expansion: number
  /** k: square depthwise kernel. */
  readonly kernel: number
  readonly stride: Pair
  /** For streams: rows of the depthwise kernel, which then has no padding along time. */
  readonly streamingRows?: number
}

/** What a block whose kernel has so many rows leaves of its input. */
export function streamingIdentity(id: string, input: string, streamingRows: number): NetworkNode[] {
  return [{ id, op: 'crop', inputs: [input], rows: streamingRows - 1 }]
}

/**
 * MBC[e, k]: 1x1 expand (BN, ReLU; dropped when e = 1), k x k depthwise (BN, ReLU), 1x1 project (BN), and a residual sum where the
 * shape is kept (Peter et al., arXiv 2104.06666, Table 1). Ids `<id>.expand`, `.depthwise`, `.project`, `.crop` in streams, `.add`; the last
 * node is the output.
 */
export function mobileBlock(id: string, input: string, options: MobileBlockOptions): NetworkNode[] {
  const { inputChannels, channels, expansion, kernel, stride, streamingRows } = options
  const hidden = inputChannels * expansion
  const nodes: NetworkNode[] = []
  if (expansion > 1) nodes.push(convolution(`${id}.expand`, input, { channels: hidden, kernelSize: [1, 1] }))
  const kernelSize: Pair = [streamingRows ?? kernel, kernel]
  const [, , left, right] = centred(kernelSize)
  const padding = streamingRows === undefined ? {} : { padding: [0, 0, left, right] as const }
  nodes.push(
    convolution(`${id}.depthwise`, nodes.at(-1)?.id ?? input, { channels: hidden, kernelSize, stride, groups: hidden, ...padding }),
  )
  nodes.push(convolution(`${id}.project`, `${id}.depthwise`, { channels, kernelSize: [1, 1], activation: 'none' }))
  if (channels === inputChannels && stride[0] === 1 && stride[1] === 1) {
    const isCropped = streamingRows !== undefined && streamingRows > 1
    if (isCropped) nodes.push(...streamingIdentity(`${id}.crop`, input, streamingRows))
    nodes.push({ id: `${id}.add`, op: 'add', inputs: [isCropped ? `${id}.crop` : input, `${id}.project`], activation: 'none' })
  }
  return nodes
}

export interface BottleneckOptions {
  /** M: channels of the two inner layers. */
  readonly middle: number
  readonly channels: number
}

/**
 * CENet's bottleneck block: 1x1 to M channels (BN, ReLU), 3x3 (BN, ReLU), 1x1 back (BN), and a residual sum (arXiv 1912.05124). Ids
 * `<id>.reduce`, `.spatial`, `.expand`, `.add`.
 */
export function bottleneckBlock(id: string, input: string, { middle, channels }: BottleneckOptions): NetworkNode[] {
  return [
    convolution(`${id}.reduce`, input, { channels: middle, kernelSize: [1, 1] }),
    convolution(`${id}.spatial`, `${id}.reduce`, { channels: middle, kernelSize: [3, 3] }),
    convolution(`${id}.expand`, `${id}.spatial`, { channels, kernelSize: [1, 1], activation: 'none' }),
    { id: `${id}.add`, op: 'add', inputs: [input, `${id}.expand`], activation: 'none' },
  ]
}

/** CENet's connection block: a bottleneck that halves the map and widens it, with a strided 1x1 convolution (BN) beside it. Also `<id>.shortcut`. */
export function connectionBlock(id: string, input: string, { middle, channels }: BottleneckOptions): NetworkNode[] {
  const stride: Pair = [2, 2]
  return [
    convolution(`${id}.reduce`, input, { channels: middle, kernelSize: [1, 1] }),
    convolution(`${id}.spatial`, `${id}.reduce`, { channels: middle, kernelSize: [3, 3], stride }),
    convolution(`${id}.expand`, `${id}.spatial`, { channels, kernelSize: [1, 1], activation: 'none' }),
    convolution(`${id}.shortcut`, input, { channels, kernelSize: [1, 1], stride, activation: 'none' }),
    { id: `${id}.add`, op: 'add', inputs: [`${id}.shortcut`, `${id}.expand`], activation: 'none' },
  ]
}

/**
 * CENet-GCN's graph module on a map X of so many channels: X + g ReLU(softmax(Q K^T) V), with Q, K (a quarter of the channels) and V linear in
 * X and g learned from 0 (arXiv 1912.05124). Ids `<id>.query`, `.key`, `.value`, `.attend`, `.add`.
 */
export function graphModule(id: string, input: string, channels: number): NetworkNode[] {
  const linear = (part: string, count: number): NetworkNode => ({
    ...convolution(`${id}.${part}`, input, { channels: count, kernelSize: [1, 1], normalization: 'none', activation: 'none' }),
    bias: true,
  })
  const parts = ['query', 'key', 'value']
  return [
    ...parts.map((part) => linear(part, part === 'value' ? channels : channels / 4)),
    { id: `${id}.attend`, op: 'attend', inputs: parts.map((part) => `${id}.${part}`), activation: 'relu' },
    { id: `${id}.add`, op: 'add', inputs: [input, `${id}.attend`], activation: 'none', scale: 'learned' },
  ]
}

export interface RawStemOptions {
  readonly frontEnd: FrontEnd & { kind: 'raw' }
  /** Learned band-pass filters (log of the magnitude), or a free 1-D convolution with ReLU. */
  readonly layer: 'sinc' | 'conv1d'
  readonly filters: number
  /** Zeros before and after the audio. */
  readonly padding: number
  readonly normalization: Normalization
}

/**
 * Raw audio to a one-channel map [frames, filters, 1]: kernel 400 (25 ms at 16 kHz), stride 160 (10 ms). Ids `input`, `frontEnd`, `map`.
 * (arXiv 2104.06666, Table 1, stage i.) The logarithm after SincConv is ours: without it the map's dynamic range is the audio's.
 */
export function rawStem({ frontEnd, layer, filters, padding, normalization }: RawStemOptions): NetworkNode[] {
  const shape = frontEndShape(frontEnd)
  const frames = Math.floor((shape[0] + 2 * padding - 400) / 160) + 1
  const common = {
    id: 'frontEnd',
    inputs: ['input'],
    channels: filters,
    kernelSize: [400, 1],
    stride: [160, 1],
    padding: [padding, padding, 0, 0],
    normalization,
    bias: false,
  } as const
  return [
    { id: 'input', op: 'input', inputs: [], shape },
    layer === 'sinc'
      ? { ...common, op: 'sinc', sampleRate: frontEnd.sampleRate, activation: 'logMagnitude' }
      : { ...common, op: 'convolution', groups: 1, activation: 'relu' },
    { id: 'map', op: 'reshape', inputs: ['frontEnd'], shape: [frames, filters, 1] },
  ]
}

/** A network from its parts, in the current format. */
export function network(name: string, frontEnd: FrontEnd, classes: readonly string[], nodes: readonly NetworkNode[]): Network {
  return { format: 'bitwright-network-1', name, frontEnd, classes, nodes }
}
