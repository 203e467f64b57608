// What a cost model is to search: it prices a Network before anything is trained. Prices are pure functions of the network, so a
// candidate over budget is refused at once (architecture, decision 8). A network in float is priced as 8-bit weights and activations.
import type { Network } from '../network/network.ts'
import type { Cost } from '../study/events.ts'

export interface NodeCost {
  readonly id: string
  readonly params: number
  readonly macs: number
  /** Packed weights in the model file, without biases and multipliers. */
  readonly weightBytes: number
  /** The node's output while it lives in the arena; 0 where it shares another's memory (reshape). */
  readonly outputBytes: number
}

/** What a network takes on a stream, row by row. */
export interface StreamCost {
  /** Everything that is kept between samples, tables of a spectral front end aside. */
  readonly streamRamBytes: number
  readonly macsPerSecond: number
  /** From one decision to the next. */
  readonly hopSeconds: number
}

export interface NetworkCost extends Cost {
  /** Absent where the network cannot stream. */
  readonly stream?: StreamCost
  /** One entry per node, in graph order. */
  readonly nodes: readonly NodeCost[]
}

export interface CostModel {
  readonly name: string
  /** @throws UsageError naming the node of a network that cannot be built for the target. */
  price(network: Network): NetworkCost
}
