// An ONNX model under construction: nodes, constants and names, written as the messages of onnx.proto. Maps are [1, channels, height, width]
// there, and [height, width, channels] here.
import type { AudioFrontEnd, IntegerFrontEnd, Padding, Pair, Shape } from '../network/network.ts'
import { frontEndShape } from '../network/shapes.ts'
import { logMagnitudeEpsilon } from '../training/record.ts'
import { spectralFeatures } from './onnx-front-end.ts'
import { Message } from './protobuf.ts'

/** The first opset with 2-bit integers, and the version of the format that came with it (ONNX 1.20). */
const opset = 25
const irVersion = 13

/** TensorProto.DataType */
const dataTypes = { float: 1, uint8: 2, int8: 3, int16: 5, int64: 7, double: 11, int4: 22, int2: 26 } as const
export type DataType = keyof typeof dataTypes

/** AttributeProto.AttributeType */
const attributeTypes = { int: 2, ints: 7 } as const
type Attributes = Readonly<Record<string, number | readonly number[]>>

/** Values as they lie in TensorProto.raw_data: little-endian; 4- and 2-bit values packed, the first in the least significant bits. */
function rawData(type: DataType, values: ArrayLike<number>): Uint8Array {
  switch (type) {
    case 'float':
      return new Uint8Array(Float32Array.from(values).buffer)
    case 'double':
      return new Uint8Array(Float64Array.from(values).buffer)
    case 'uint8':
      return Uint8Array.from(values)
    case 'int8':
      return new Uint8Array(Int8Array.from(values).buffer)
    case 'int16':
      return new Uint8Array(Int16Array.from(values).buffer)
    case 'int64':
      return new Uint8Array(BigInt64Array.from(Array.from(values, BigInt)).buffer)
    case 'int4':
      return packed(values, 4)
    case 'int2':
      return packed(values, 2)
    default:
      throw new Error(`unknown type ${type satisfies never}`)
  }
}

function packed(values: ArrayLike<number>, bits: number): Uint8Array {
  const perByte = 8 / bits
  const bytes = new Uint8Array(Math.ceil(values.length / perByte))
  for (let i = 0; i < values.length; i++) bytes[Math.floor(i / perByte)] |= (values[i] & (2 ** bits - 1)) << ((i % perByte) * bits)
  return bytes
}

function tensor(name: string, type: DataType, shape: readonly number[], values: ArrayLike<number>): Message {
  const message = new Message()
  for (const length of shape) message.integer(1, length)
  return message.integer(2, dataTypes[type]).bytes(8, name).bytes(9, rawData(type, values))
}

function attribute(name: string, value: number | readonly number[]): Message {
  const message = new Message().bytes(1, name)
  if (typeof value === 'number') return message.integer(3, value).integer(20, attributeTypes.int)
  for (const each of value) message.integer(8, each)
  return message.integer(20, attributeTypes.ints)
}

function valueInfo(name: string, type: DataType, shape: readonly number[]): Message {
  const dimensions = new Message()
  for (const length of shape) dimensions.bytes(1, new Message().integer(1, length))
  const tensorType = new Message().integer(1, dataTypes[type]).bytes(2, dimensions)
  return new Message().bytes(1, name).bytes(2, new Message().bytes(1, tensorType))
}

/** Whether the two orders of a map's axes differ in memory. */
const ordersDiffer = ([height, width, channels]: Shape): boolean => channels > 1 && height * width > 1
const toChannelsFirst = { perm: [0, 3, 1, 2] }
const toChannelsLast = { perm: [0, 2, 3, 1] }

/** As both kinds of network describe a convolution. */
export interface ConvolutionShape {
  readonly kernelSize: Pair
  readonly stride: Pair
  /** [top, bottom, left, right] */
  readonly padding: Padding
  readonly groups: number
}

export class OnnxGraph {
  private readonly nodes: Message[] = []
  private readonly constants: Message[] = []
  private readonly inputs: Message[] = []
  private readonly outputs: Message[] = []
  /** Those of inputs and outputs are kept free, whatever the layers are called. */
  private readonly names = new Set(['audio', 'features', 'pixels', 'logits'])

  /** A constant; returns its name, which is `name` or, where that is taken, one like it. */
  constant(name: string, type: DataType, shape: readonly number[], values: ArrayLike<number>): string {
    const unique = this.unique(name)
    this.constants.push(tensor(unique, type, shape, values))
    return unique
  }

  /** A node with one output, called `name` like the node itself; returns the name. */
  node(op: string, name: string, inputs: readonly string[], attributes: Attributes = {}): string {
    return this.named(op, this.unique(name), inputs, attributes)
  }

  private named(op: string, name: string, inputs: readonly string[], attributes: Attributes = {}): string {
    const message = new Message()
    for (const input of inputs) message.bytes(1, input)
    message.bytes(2, name).bytes(3, name).bytes(4, op)
    for (const [key, value] of Object.entries(attributes)) message.bytes(5, attribute(key, value))
    this.nodes.push(message)
    return name
  }

  cast(name: string, value: string, type: DataType): string {
    return this.node('Cast', name, [value], { to: dataTypes[type] })
  }

  clip(name: string, value: string, type: DataType, limits: readonly [number, number]): string {
    const [least, most] = limits.map((limit, i) => this.constant(`${name}.${i ? 'max' : 'min'}`, type, [], [limit]))
    return this.node('Clip', name, [value, least, most])
  }

  /** One number for each channel of a map. */
  perChannel(op: 'Add' | 'Mul', name: string, value: string, numbers: ArrayLike<number>): string {
    const constant = this.constant(`${name}.${op === 'Add' ? 'offset' : 'slope'}`, 'float', [1, numbers.length, 1, 1], numbers)
    return this.node(op, name, [value, constant])
  }

  /** @param inputs map, weights [channels, inputChannels / groups, height, width], and where it has one a bias */
  convolution(name: string, inputs: readonly string[], { kernelSize, stride, padding, groups }: ConvolutionShape): string {
    const [top, bottom, left, right] = padding
    return this.node('Conv', name, inputs, { kernel_shape: kernelSize, strides: stride, pads: [top, left, bottom, right], group: groups })
  }

  /** slope[c] * log(|x| + epsilon) + offset[c] */
  logMagnitude(name: string, value: string, slope: ArrayLike<number>, offset: ArrayLike<number>): string {
    const magnitude = this.node('Abs', `${name}.magnitude`, [value])
    const epsilon = this.constant(`${name}.epsilon`, 'float', [], [logMagnitudeEpsilon])
    const logarithm = this.node('Log', `${name}.log`, [this.node('Add', `${name}.aboveZero`, [magnitude, epsilon])])
    return this.perChannel('Add', `${name}.affine`, this.perChannel('Mul', `${name}.scaled`, logarithm, slope), offset)
  }

  /** The values of a map in the same order (height, width, channels) under another shape. */
  reshape(name: string, value: string, from: Shape, [height, width, channels]: Shape): string {
    const last = ordersDiffer(from) ? this.node('Transpose', `${name}.channelsLast`, [value], toChannelsLast) : value
    const turned = ordersDiffer([height, width, channels])
    const shape = turned ? [1, height, width, channels] : [1, channels, height, width]
    const sizes = this.constant(`${name}.shape`, 'int64', [4], shape)
    const reshaped = this.node('Reshape', turned ? `${name}.reshaped` : name, [last, sizes])
    return turned ? this.node('Transpose', name, [reshaped], toChannelsFirst) : reshaped
  }

  /** Attention between maps: the products of queries and keys [1, positions, positions], `weigh`ed, times the values. `real`: a matrix of one of the maps, as it is multiplied. */
  attention(
    name: string,
    [query, key, value]: readonly string[],
    [height, width, depth]: Shape,
    channels: number,
    weigh: (scores: string) => string,
    real: (input: 0 | 1 | 2, matrix: string) => string = (_, matrix) => matrix,
  ): string {
    const rows = (what: string, map: string, count: number): string =>
      this.node('Reshape', `${name}.${what}`, [map, this.constant(`${name}.${what}.shape`, 'int64', [3], [1, count, height * width])])
    const turned = (what: string, matrix: string): string => this.node('Transpose', `${name}.${what}`, [matrix], { perm: [0, 2, 1] })
    const queries = real(0, turned('queryRows', rows('queries', query, depth)))
    const weights = weigh(this.node('MatMul', `${name}.scores`, [queries, real(1, rows('keys', key, depth))]))
    const values = real(2, turned('valueRows', rows('values', value, channels)))
    const sums = turned('sums', this.node('MatMul', `${name}.sumRows`, [weights, values]))
    return this.node('Reshape', `${name}.attended`, [sums, this.constant(`${name}.shape`, 'int64', [4], [1, channels, height, width])])
  }

  softmax(name: string, scores: string): string {
    return this.node('Softmax', name, [scores], { axis: 2 })
  }

  /** A map without its first rows. */
  crop(name: string, value: string, rows: number, [height]: Shape): string {
    const constants = Object.entries({ starts: rows, ends: height, axes: 2 })
    return this.node('Slice', name, [value, ...constants.map(([what, at]) => this.constant(`${name}.${what}`, 'int64', [1], [at]))])
  }

  /**
   * The network's input as a map: audio float [1, samples] in [-1, 1]; features float [1, frames, coefficients], or, `fromAudio`, computed in
   * the graph; pixels uint8 [1, height, width, channels].
   */
  frontEnd(frontEnd: IntegerFrontEnd, fromAudio: boolean): string {
    const shape = frontEndShape(frontEnd)
    const [height, width, channels] = shape
    if (frontEnd.kind === 'image') {
      const pixels = this.input('pixels', 'uint8', [1, ...shape])
      const first = { ...(ordersDiffer(shape) ? toChannelsFirst : {}) }
      if ('perm' in first) return this.node('Transpose', 'pixels.channelsFirst', [pixels], first)
      return this.node('Reshape', 'pixels.channelsFirst', [
        pixels,
        this.constant('pixels.shape', 'int64', [4], [1, channels, height, width]),
      ])
    }
    const value = this.signalOrFeatures(frontEnd, fromAudio)
    return this.node('Reshape', `${value}.map`, [value, this.constant(`${value}.shape`, 'int64', [4], [1, channels, height, width])])
  }

  private signalOrFeatures(frontEnd: AudioFrontEnd, fromAudio: boolean): string {
    const [height, width] = frontEndShape(frontEnd)
    if (frontEnd.kind === 'raw') return this.input('audio', 'float', [1, height])
    if (!fromAudio) return this.input('features', 'float', [1, height, width])
    return spectralFeatures(this, frontEnd, this.input('audio', 'float', [1, frontEnd.samples]))
  }

  /** The last map [1, classes, 1, 1] as the output `logits` [1, classes]. */
  logits(value: string, classes: number): void {
    const shape = this.constant('logits.shape', 'int64', [2], [1, classes])
    this.outputs.push(valueInfo(this.named('Reshape', 'logits', [value, shape]), 'float', [1, classes]))
  }

  /** The file. @param metadata goes into metadata_props */
  finish(name: string, metadata: Readonly<Record<string, string>>): Uint8Array {
    const graph = new Message()
    for (const node of this.nodes) graph.bytes(1, node)
    graph.bytes(2, name)
    for (const constant of this.constants) graph.bytes(5, constant)
    for (const input of this.inputs) graph.bytes(11, input)
    for (const output of this.outputs) graph.bytes(12, output)
    const model = new Message().integer(1, irVersion).bytes(2, 'bitwright').bytes(7, graph)
    model.bytes(8, new Message().bytes(1, '').integer(2, opset))
    for (const [key, value] of Object.entries(metadata)) model.bytes(14, new Message().bytes(1, key).bytes(2, value))
    return model.finish()
  }

  private input(name: 'audio' | 'features' | 'pixels', type: DataType, shape: readonly number[]): string {
    this.inputs.push(valueInfo(name, type, shape))
    return name
  }

  private unique(name: string): string {
    let unique = name
    for (let copy = 2; this.names.has(unique); copy++) unique = `${name}.${copy}`
    this.names.add(unique)
    return unique
  }
}
