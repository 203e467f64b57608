// Parameters and multiply-accumulates of a network, counted as the papers do (shared conventions: papers.md sections 0 and 2):
// weights, batch-norm scale and offset, biases and two numbers per sinc filter; plain normalisation has none, running statistics do not
// count. A MAC is one multiplication: kh * kw * cin * cout * ho * wo / groups, no factor 2; sinc counts as the dense convolution it is, and
// attend as its two products of matrices. Of a graph all counts are those of one node, whose features count as if none were zero.
import { isLearned, parameterPrefix } from './graph.ts'
import type { Network, NetworkNode, Shape } from './network.ts'
import { nodeParameterShapes } from './parameters.ts'
import { inferShapes } from './shapes.ts'

export interface NodeCount {
  readonly id: string
  /** A prefix that an earlier node already uses counts there and is 0 here. */
  readonly params: number
  readonly macs: number
}
export interface NetworkCount {
  readonly params: number
  readonly macs: number
  /** One entry per node, in graph order. */
  readonly nodes: readonly NodeCount[]
}

/** MACs of one node for one clip, from the shapes of its first input and its output. */
export function nodeMacs(node: NetworkNode, input: Shape, output: Shape): number {
  switch (node.op) {
    case 'convolution':
      return (node.kernelSize[0] * node.kernelSize[1] * input[2] * output[0] * output[1] * output[2]) / node.groups
    case 'sinc':
      return node.kernelSize[0] * node.kernelSize[1] * output[0] * output[1] * output[2]
    case 'linear':
      return input[2] * output[2]
    case 'attend':
      return (input[0] * input[1]) ** 2 * (input[2] + output[2])
    default:
      return 0
  }
}

/** One a channel and neighbour, of which a node has so many in the mean. */
function aggregateMacs({ frontEnd }: Network, [, , channels]: Shape): number {
  return frontEnd.kind === 'graph' ? Math.round((channels * (2 * frontEnd.edges + frontEnd.nodes)) / frontEnd.nodes) : 0
}

/** Counts of the whole network and of each node. */
export function countNetwork(network: Network): NetworkCount {
  const shapes = inferShapes(network)
  const counted = new Set<string>()
  const nodes = network.nodes.map((node): NodeCount => {
    if (node.op === 'input') return { id: node.id, params: 0, macs: 0 }
    const input = shapes.get(node.inputs[0])!
    const macs = node.op === 'aggregate' ? aggregateMacs(network, input) : nodeMacs(node, input, shapes.get(node.id)!)
    if (!isLearned(node)) return { id: node.id, params: 0, macs }
    const prefix = parameterPrefix(node)
    const params = counted.has(prefix)
      ? 0
      : nodeParameterShapes(node, input).reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0)
    counted.add(prefix)
    return { id: node.id, params, macs }
  })
  const total = (key: 'params' | 'macs'): number => nodes.reduce((sum, node) => sum + node[key], 0)
  return { params: total('params'), macs: total('macs'), nodes }
}
