// From a Network to the structure of its integer model: which layers and tensors there will be, how wide, in which order. The numbers
// (scales, weights, multipliers) are stand-ins, which the conversion after training replaces; structure, names and widths are final, so
// what is priced here is what is exported. Widths and signs come from network/storage.ts.
//
// Integer ranges: signed b bits -2^(b-1) .. 2^(b-1) - 1 with zero point 0; unsigned b <= 7 bits 0 .. 2^b - 1 with zero point 0;
// unsigned 8 bits -128 .. 127 with zero point -128. relu and relu6 are min = zeroPoint (the learned range is what clips above).
// Containers: 1-2 bits in 2, 3-4 in 4, 5-8 in 8; raw audio and the logits in 16. A pixel p is stored as p - 128.
import { type IntegerConvolution, type IntegerLayer, type IntegerModel, type IntegerTensor, scaleExponentOf } from '@bitwright/runtime'
import { inputKeys, isMultiplying, nodesById, requireIntegerForm, throughViews } from '../network/graph.ts'
import type { Network, NetworkNode, Shape, WeightedNetworkNode } from '../network/network.ts'
import { inferShapes } from '../network/shapes.ts'
import { storageOf, type ValueStorage } from '../network/storage.ts'

export interface LoweredNetwork {
  readonly model: IntegerModel
  /** Index into model.layers of the layer that computes the node; every node but the input. */
  readonly layers: ReadonlyMap<string, number>
  /** Index into model.tensors of the node's value. */
  readonly tensors: ReadonlyMap<string, number>
  /** By key of what is multiplied (`inputKeys`): index into model.layers of the requantize layer that narrows it, where it has one. */
  readonly narrowing: ReadonlyMap<string, number>
}

type Range = Pick<IntegerTensor, 'containerBits' | 'bits' | 'zeroPoint' | 'min' | 'max'>

/** Container, zero point and limits of a stored value. */
export function integerRange({ bits, signed }: ValueStorage): Range {
  if (bits === 16) return { containerBits: 16, bits, zeroPoint: 0, min: -32768, max: 32767 }
  const containerBits = bits <= 2 ? 2 : bits <= 4 ? 4 : 8
  if (signed) return { containerBits, bits, zeroPoint: 0, min: -(2 ** (bits - 1)), max: 2 ** (bits - 1) - 1 }
  const least = bits === 8 ? -128 : 0
  return { containerBits, bits, zeroPoint: least, min: least, max: least + 2 ** bits - 1 }
}

// Stand-in numbers that the core accepts: multiplier 2^30 (one half) without a shift, weights and offsets of 1, biases of 0;
// cut-offs between which nothing passes.
const multipliers = (count: number): Int32Array => new Int32Array(count).fill(2 ** 30)

/** Compact parameters but where they would be too coarse (16-bit logits), have no form (logarithms, filters with negative factors), or no batch
 *  norm to share their rounding with (settleNorms). */
function isCompact({ op, activation, normalization }: WeightedNetworkNode, outputBits: number): boolean {
  return op !== 'sinc' && activation !== 'logMagnitude' && normalization !== 'none' && outputBits < 16
}

function convolutionSkeleton(
  node: WeightedNetworkNode,
  input: number,
  output: number,
  inputChannels: number,
  outputBits: number,
): IntegerConvolution {
  const { id: name, channels, activation, weightBits = 8 } = node
  const isLinear = node.op === 'linear'
  const kernelSize = isLinear ? ([1, 1] as const) : node.kernelSize
  const groups = node.op === 'convolution' ? node.groups : 1
  return {
    name,
    op: 'convolution',
    input,
    output,
    kernelSize,
    stride: isLinear ? [1, 1] : node.stride,
    padding: isLinear ? [0, 0, 0, 0] : node.padding,
    groups,
    weightBits,
    weights: new Int8Array((channels * kernelSize[0] * kernelSize[1] * inputChannels) / groups).fill(node.op === 'sinc' ? 0 : 1),
    ...(isCompact(node, outputBits) ? { compact: { scaleExponent: scaleExponentOf(0), biasExponent: 0 } } : {}),
    bias: new Int32Array(channels),
    multiplier: multipliers(channels),
    shift: new Int8Array(channels),
    ...(node.op === 'sinc' ? { cutoffs: new Uint16Array(2 * channels) } : {}),
    ...(activation === 'logMagnitude' ? { logOffset: new Uint32Array(channels).fill(1) } : {}),
  }
}

function layerSkeleton(
  node: NetworkNode,
  inputs: readonly number[],
  output: number,
  inputShape: Shape,
  { bits }: ValueStorage,
): IntegerLayer {
  const [input] = inputs
  const base = { name: node.id, output }
  const pool = { ...base, op: 'averagePool', input, multiplier: multipliers(1), shift: new Int8Array(1) } as const
  switch (node.op) {
    case 'convolution':
    case 'sinc':
    case 'linear':
      return convolutionSkeleton(node, input, output, inputShape[2], bits)
    case 'reshape':
    case 'crop':
      return { ...base, op: node.op, input }
    case 'add':
      return { ...base, op: 'add', inputs: [input, inputs[1]], multiplier: multipliers(3), shift: new Int8Array(3) }
    case 'attend':
      return { ...base, op: 'attend', inputs: [input, inputs[1], inputs[2]], multiplier: multipliers(1), shift: new Int8Array(1) }
    case 'aggregate':
      throw new Error(`node "${node.id}": a graph has no integer form`)
    case 'averagePool':
      return { ...pool, kernelSize: node.kernelSize, stride: node.stride }
    case 'globalAveragePool':
      return { ...pool, kernelSize: [inputShape[0], inputShape[1]], stride: [1, 1] }
    case 'input':
      throw new Error(`node "${node.id}": the input is no layer`)
    default:
      throw new Error(`unknown op in node ${JSON.stringify(node satisfies never)}`)
  }
}

/**
 * The integer graph of a network with stand-in numbers, and which layer and tensor every node became. A float network is lowered at 8 / 8.
 * @throws UsageError naming the node whose widths or inputs have no integer form.
 */
export function lowerSkeleton(network: Network): LoweredNetwork {
  const { frontEnd } = network
  requireIntegerForm(frontEnd)
  const shapes = inferShapes(network)
  const nodes = nodesById(network)
  const storage = storageOf(network)
  const modelTensors: IntegerTensor[] = []
  const modelLayers: IntegerLayer[] = []
  const layers = new Map<string, number>()
  const tensors = new Map<string, number>()
  const narrowing = new Map<string, number>()

  const addTensor = (name: string, shape: Shape, stored: ValueStorage): number => {
    return modelTensors.push({ name, shape, scale: stored.scale ?? 1, ...integerRange(stored) }) - 1
  }
  const narrowed = (id: string, from: number, shape: Shape, to: ValueStorage): number => {
    const name = `${id}.narrow`
    const output = addTensor(name, shape, to)
    narrowing.set(id, modelLayers.length)
    modelLayers.push({ name, op: 'requantize', input: from, output, multiplier: multipliers(1), shift: new Int8Array(1) })
    return output
  }

  for (const node of network.nodes) {
    const stored = storage.values.get(throughViews(nodes, node.id))!
    const shape = shapes.get(node.id)!
    if (node.op === 'input') {
      tensors.set(node.id, addTensor('input', shape, stored))
      continue
    }
    const inputShape = shapes.get(node.inputs[0])!
    const keys = isMultiplying(node) ? inputKeys(node) : []
    const inputs = node.inputs.map((id, i) => {
      const read = keys[i] === undefined ? undefined : storage.inputs.get(keys[i])
      return read?.narrowed ? narrowed(keys[i], tensors.get(id)!, shapes.get(id)!, read) : tensors.get(id)!
    })
    const output = addTensor(node.id, shape, stored)
    tensors.set(node.id, output)
    layers.set(node.id, modelLayers.length)
    modelLayers.push(layerSkeleton(node, inputs, output, inputShape, stored))
  }
  const { name, classes } = network
  return { model: { name, classes, frontEnd, tensors: modelTensors, layers: modelLayers }, layers, tensors, narrowing }
}
