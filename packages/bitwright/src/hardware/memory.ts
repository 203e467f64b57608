// Flash and RAM of a network, to the byte: it is lowered to the structure of its integer model, and the file format and the arena planner
// themselves say what that takes. MACs and parameters as the papers count them (network/counts.ts).
import { type IntegerModel, modelInfo, streamPlan } from '@bitwright/runtime'
import { countNetwork } from '../network/counts.ts'
import type { Network } from '../network/network.ts'
import type { CostModel, NetworkCost, StreamCost } from './cost-model.ts'
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
    const { model, layers } = lowerSkeleton(network)
    const { flashBytes, ramBytes, layers: lowered } = modelInfo(model)
    const { params, macs, nodes } = countNetwork(network)
    return {
      params,
      macs,
      flashBytes,
      ramBytes,
      ...streamCost(model),
      nodes: nodes.map((node, index) => {
        const layer = lowered[layers.get(node.id) ?? -1]
        const sharesMemory = layer === undefined || network.nodes[index].op === 'reshape'
        return { ...node, weightBytes: layer?.weightBytes ?? 0, outputBytes: sharesMemory ? 0 : layer.outputBytes }
      }),
    }
  },
}
