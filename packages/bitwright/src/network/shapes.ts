// Shape inference over a Network: [height, width, channels] of every node's output, with errors that name the node.
import { UsageError } from '../errors.ts'
import type { AttendNode, FrontEnd, Network, NetworkNode, Padding, Pair, Shape } from './network.ts'

const text = (shape: Shape): string => `[${shape.join(', ')}]`

/**
 * Shape of the input that a front end gives: raw [samples, 1, 1], graph [1, 1, features] (of one node), image [height, width, channels], spectral [frames, coefficients, 1] with
 * frames = floor((samples - windowSamples) / hopSamples) + 1 (whole windows only, no padding).
 * @throws UsageError when not even one window fits.
 */
export function frontEndShape(frontEnd: FrontEnd): Shape {
  if (frontEnd.kind === 'raw') return [frontEnd.samples, 1, 1]
  if (frontEnd.kind === 'graph') return [1, 1, frontEnd.features]
  if (frontEnd.kind === 'image') return [frontEnd.height, frontEnd.width, frontEnd.channels]
  const { samples, windowSamples, hopSamples, coefficients } = frontEnd
  if (windowSamples > samples) {
    throw new UsageError(`front end: a window of ${windowSamples} samples does not fit into ${samples} samples; shorten windowSamples`)
  }
  return [Math.floor((samples - windowSamples) / hopSamples) + 1, coefficients, 1]
}

/** Output length of one axis: floor((size + before + after - kernel) / stride) + 1; below 1 where the kernel does not fit. */
export function outputSize(size: number, kernel: number, stride: number, before: number, after: number): number {
  return Math.floor((size + before + after - kernel) / stride) + 1
}

/** Zeros before and after both axes so that the output has ceil(size / stride) rows and columns; the odd one goes after. */
export function samePadding(size: Pair, kernelSize: Pair, stride: Pair): Padding {
  const axis = (i: 0 | 1): [number, number] => {
    const total = Math.max(0, (Math.ceil(size[i] / stride[i]) - 1) * stride[i] + kernelSize[i] - size[i])
    return [Math.floor(total / 2), Math.ceil(total / 2)]
  }
  return [...axis(0), ...axis(1)]
}

function slide(where: string, [height, width]: Shape, kernel: Pair, stride: Pair, padding: Padding): Pair {
  const rows = outputSize(height, kernel[0], stride[0], padding[0], padding[1])
  const columns = outputSize(width, kernel[1], stride[1], padding[2], padding[3])
  if (rows < 1 || columns < 1) {
    const padded = `${height + padding[0] + padding[1]}x${width + padding[2] + padding[3]}`
    throw new UsageError(
      `${where}: kernel ${kernel[0]}x${kernel[1]} does not fit its padded input of ${padded}; shrink the kernel or pad more`,
    )
  }
  return [rows, columns]
}

/** Positions of a map that attend can look over: the sums of its rows fit 32 bits in the integer model. */
export const attendPositions = 1024

function attended(node: AttendNode, [query, key, value]: readonly Shape[]): Shape {
  const where = `node "${node.id}" (attend)`
  const [height, width] = query
  for (const [index, other] of [key, value].entries()) {
    if (other[0] === height && other[1] === width) continue
    const id = node.inputs[index + 1]
    throw new UsageError(
      `${where}: its query "${node.inputs[0]}" is a map of ${height}x${width}, its ${index === 0 ? 'key' : 'value'} "${id}" one of ${other[0]}x${other[1]}; they must be alike`,
    )
  }
  if (query[2] !== key[2]) {
    throw new UsageError(
      `${where}: its query "${node.inputs[0]}" has ${query[2]} channels and its key "${node.inputs[1]}" ${key[2]}; they must have as many`,
    )
  }
  if (height * width > attendPositions) {
    throw new UsageError(
      `${where}: looks over ${height}x${width} = ${height * width} positions, at most ${attendPositions} are possible; put a stride or a pool before it`,
    )
  }
  return value
}

const inputCounts: Partial<Record<NetworkNode['op'], number>> = { input: 0, add: 2, attend: 3 }

/**
 * Output shape of one node from the shapes of its inputs (in `inputs` order).
 * @throws UsageError naming the node and what disagrees.
 */
export function nodeShape(node: NetworkNode, inputs: readonly Shape[]): Shape {
  const where = `node "${node.id}" (${node.op})`
  const expected = inputCounts[node.op] ?? 1
  if (inputs.length !== expected) throw new UsageError(`${where}: takes ${expected} inputs, has ${inputs.length}`)
  const [input] = inputs
  switch (node.op) {
    case 'input':
      return node.shape
    case 'convolution': {
      if (node.groups !== 1 && (node.groups !== input[2] || node.channels !== input[2])) {
        throw new UsageError(
          `${where}: groups ${node.groups} with ${input[2]} input and ${node.channels} output channels; use groups 1, or all three equal (depthwise)`,
        )
      }
      return [...slide(where, input, node.kernelSize, node.stride, node.padding), node.channels]
    }
    case 'sinc':
      if (input[1] !== 1 || input[2] !== 1) throw new UsageError(`${where}: reads raw audio [samples, 1, 1], got ${text(input)}`)
      return [...slide(where, input, node.kernelSize, node.stride, node.padding), node.channels]
    case 'linear':
      if (input[0] !== 1 || input[1] !== 1) {
        throw new UsageError(`${where}: reads [1, 1, channels], got ${text(input)}; put globalAveragePool or reshape before it`)
      }
      return [1, 1, node.channels]
    case 'reshape':
      if (input[0] * input[1] * input[2] !== node.shape[0] * node.shape[1] * node.shape[2]) {
        throw new UsageError(`${where}: ${text(input)} has not as many values as ${text(node.shape)}`)
      }
      return node.shape
    case 'crop':
      if (node.rows >= input[0]) throw new UsageError(`${where}: takes ${node.rows} rows off ${text(input)}; leave it at least one`)
      return [input[0] - node.rows, input[1], input[2]]
    case 'add':
      if (input.some((size, axis) => size !== inputs[1][axis])) {
        throw new UsageError(
          `${where}: its inputs "${node.inputs[0]}" ${text(input)} and "${node.inputs[1]}" ${text(inputs[1])} differ in shape`,
        )
      }
      return input
    case 'attend':
      return attended(node, inputs)
    case 'aggregate':
      if (input[2] % node.heads !== 0) throw new UsageError(`${where}: ${input[2]} channels cannot be shared evenly by ${node.heads} heads`)
      return input
    case 'averagePool':
      return [...slide(where, input, node.kernelSize, node.stride, [0, 0, 0, 0]), input[2]]
    case 'globalAveragePool':
      return [1, 1, input[2]]
    default:
      throw new UsageError(`unknown op in node ${JSON.stringify(node satisfies never)}`)
  }
}

/**
 * Shape of every node's output by id.
 * @throws UsageError naming the node: an input that is no earlier node, shapes that disagree, a kernel that does not fit.
 */
export function inferShapes(network: Network): Map<string, Shape> {
  const shapes = new Map<string, Shape>()
  for (const node of network.nodes) {
    const inputs = node.inputs.map((id) => {
      const shape = shapes.get(id)
      if (shape === undefined) throw new UsageError(`node "${node.id}" (${node.op}): its input "${id}" is not an earlier node`)
      return shape
    })
    shapes.set(node.id, nodeShape(node, inputs))
  }
  return shapes
}
