// The space of one network, in which nothing is left to choose; with bits (joint.ts), the mixed precisions of a given architecture.
import type { Network } from '../network/network.ts'
import { decisionIndices } from './decisions.ts'
import type { Space } from './space.ts'

/** @param network in float */
export function oneNetworkSpace(network: Network): Space {
  return {
    name: network.name,
    choices: [],
    build: (decisions) => {
      decisionIndices([], decisions)
      return network
    },
    edges: () => [],
    fragment: () => {
      throw new Error(`${network.name}: there is no place with options`)
    },
  }
}
