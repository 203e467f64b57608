// What a cost model is to search: it prices a Network before anything is trained. Prices are pure functions of the network, so a
// candidate over budget is refused at once (architecture, decision 8). A network in float is priced as 8-bit weights and activations.
import type { FrontEnd, Network } from '../network/network.ts'
import type { Cost } from '../study/events.ts'
import type { NodeLayers } from './layer-shape.ts'

export interface NodeCost {
  readonly id: string
  readonly params: number
  readonly macs: number
  /** MACs times the bits of the weights times those of what they multiply. */
  readonly bitOperations: number
  /** Packed weights in the model file, without biases and multipliers. */
  readonly weightBytes: number
  /** The node's output while it lives in the arena; 0 where it shares another's memory (reshape). */
  readonly outputBytes: number
  /** Of what runs for the node, where the target tells them. */
  readonly latencyMs?: number
  readonly cycles?: number
  readonly energyUj?: number
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
  readonly bitOperations: number
  /** Of latencyMs: the spectral features of a clip. Absent where there are none, or the target does not compute them. */
  readonly frontEndMs?: number
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

/** What a target takes for a node, or for a network. */
export interface Time {
  readonly latencyMs: number
  readonly cycles?: number
  readonly energyUj?: number
}

export interface NetworkTime extends Time {
  readonly frontEndMs?: number
  /** One entry per node, in graph order; with the front end's they add up to the network's. */
  readonly nodes: readonly Time[]
}

/** The part of a cost model that differs from target to target. One whole clip or image, features included. */
export interface TimeModel {
  readonly name: string
  /** @throws UsageError naming the node whose layer the target has no price for. */
  time(nodes: readonly NodeLayers[], frontEnd: FrontEnd): NetworkTime
}
