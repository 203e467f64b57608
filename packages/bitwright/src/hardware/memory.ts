// What is exact of a network: flash and RAM to the byte, since it is lowered to the structure of its integer model, and the file format and
// the arena planner themselves say what that takes; MACs and parameters as the papers count them (network/counts.ts), and bit operations.
import { type IntegerModel, modelInfo, streamPlan } from '@bitwright/runtime'
import { countNetwork } from '../network/counts.ts'
import type { Network } from '../network/network.ts'
import type { CostModel, NetworkCost, StreamCost, TimeModel } from './cost-model.ts'
import { priceGraph } from './graph-memory.ts'
import { bitOperationsOf, modelLayers, networkLayers } from './layer-shape.ts'
import { lowerSkeleton } from './lower.ts'

/** By the core's own plan, to the byte; nothing for a model that cannot stream. */
export function streamCost(model: IntegerModel): { readonly stream?: StreamCost } {
  const plan = streamPlan(model)
  if ('reason' in plan || model.frontEnd.kind === 'image') return {}
  const { ramBytes: streamRamBytes, macsPerSecond, hopSamples } = plan
  return { stream: { streamRamBytes, macsPerSecond, hopSeconds: hopSamples / model.frontEnd.sampleRate } }
}

export const memory: CostModel = {
  name: 'memory',

  /** flashBytes: length of the .bw file under the network's own name. ramBytes: the planned arena, input and scratch included. */
  price(network: Network): NetworkCost {
    if (network.frontEnd.kind === 'graph') return priceGraph(network, network.frontEnd)
    const { model, layers } = lowerSkeleton(network)
    const { flashBytes, ramBytes, layers: lowered } = modelInfo(model)
    const layerShapes = modelLayers(model)
    const { params, macs, nodes } = countNetwork(network)
    const perNode = nodes.map((node, index) => {
      const at = layers.get(node.id)
      const layer = at === undefined ? undefined : lowered[at]
      const sharesMemory = layer === undefined || network.nodes[index].op === 'reshape'
      return {
        ...node,
        bitOperations: at === undefined ? 0 : bitOperationsOf(layerShapes[at]),
        weightBytes: layer?.weightBytes ?? 0,
        outputBytes: sharesMemory ? 0 : layer.outputBytes,
      }
    })
    return {
      params,
      macs,
      bitOperations: perNode.reduce((sum, { bitOperations }) => sum + bitOperations, 0),
      flashBytes,
      ramBytes,
      ...streamCost(model),
      nodes: perNode,
    }
  },
}

/** What is exact, and what a target takes. */
export function pricedOn(target: TimeModel): CostModel {
  return {
    name: target.name,
    price(network: Network): NetworkCost {
      const { nodes, ...exact } = memory.price(network)
      const { nodes: times, ...time } = target.time(networkLayers(network), network.frontEnd)
      return { ...exact, ...time, nodes: nodes.map((node, i) => ({ ...node, ...times[i] })) }
    },
  }
}
