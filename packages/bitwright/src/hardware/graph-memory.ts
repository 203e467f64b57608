// What a network for a graph takes, of which no integer model is made: its weights packed at their widths, other numbers (biases, attention, and a
// scale for every channel of weights) in four bytes, and the largest pair of what is read and written at once over all nodes. The features are the
// graph's own and do not count. MACs are those of all nodes.
import { countNetwork } from '../network/counts.ts'
import { isWeighted, nodesById, storedWeightBits } from '../network/graph.ts'
import type { GraphFrontEnd, Network } from '../network/network.ts'
import { inferShapes } from '../network/shapes.ts'
import { storageOf } from '../network/storage.ts'
import type { NetworkCost, NodeCost } from './cost-model.ts'

export function priceGraph(network: Network, { nodes: count }: GraphFrontEnd): NetworkCost {
  const counts = new Map(countNetwork(network).nodes.map((node) => [node.id, node]))
  const shapes = inferShapes(network)
  const byId = nodesById(network)
  const { values, inputs } = storageOf(network)
  const bytesOf = (id: string): number =>
    byId.get(id)!.op === 'input' ? 0 : Math.ceil((count * shapes.get(id)![2] * values.get(id)!.bits) / 8)
  let [otherBytes, ramBytes] = [0, 0]
  const nodes = network.nodes.map((node): NodeCost => {
    const { id, params, macs } = counts.get(node.id)!
    const weights = isWeighted(node) ? shapes.get(node.inputs[0])![2] * node.channels : 0
    const weightBytes = isWeighted(node) ? Math.ceil((weights * storedWeightBits(node)) / 8) : 0
    otherBytes += 4 * (params - weights + (isWeighted(node) ? node.channels : 0))
    ramBytes = Math.max(ramBytes, bytesOf(id) + node.inputs.reduce((sum, input) => sum + bytesOf(input), 0))
    const bits = isWeighted(node) ? storedWeightBits(node) * inputs.get(id)!.bits : 0
    return { id, params, macs: macs * count, bitOperations: macs * count * bits, weightBytes, outputBytes: bytesOf(id) }
  })
  const sum = (key: 'params' | 'macs' | 'bitOperations' | 'weightBytes') => nodes.reduce((total, node) => total + node[key], 0)
  return {
    params: sum('params'),
    macs: sum('macs'),
    bitOperations: sum('bitOperations'),
    flashBytes: sum('weightBytes') + otherBytes,
    ramBytes,
    nodes,
  }
}
