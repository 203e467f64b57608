// Gives every layer of a network its widths.
import { UsageError } from '../errors.ts'
import { isMultiplying, isWeighted, nodesById, parameterPrefix, readsInput, throughViews } from './graph.ts'
import { type AggregateNode, type AttendNode, type Network, type NetworkNode, ternaryBits, type WeightedNetworkNode } from './network.ts'
import { signedness } from './storage.ts'

export interface Widths {
  /** Width of the weights, 1..8, or ternary (`ternaryBits`). */
  readonly weightBits: number
  /** Width of each layer's input, 1..8. */
  readonly activationBits: number
}
export interface WithBitsOptions {
  /**
   * Weights of the edge layers (those that read the network's input, and the one that gives the logits). `'8'`: always 8 bits, because
   * these few weights decide most of the loss at low widths. `'same'`: like all others. Default: `'8'`.
   */
  readonly edges?: '8' | 'same'
  /** By node id; wins over everything but the 16 bits of raw audio. Attend has no weights and leaves a width of them unread. */
  readonly overrides?: Readonly<Record<string, Partial<Widths>>>
}

function checkWidth(key: string, bits: number, what = key): void {
  if (key === 'weightBits' && bits === ternaryBits) return
  if (!Number.isInteger(bits) || bits < 1 || bits > 8) throw new UsageError(`${what} must be a whole number from 1 to 8, got ${bits}`)
}

/**
 * The same network with widths on every layer with weights, attend and aggregate. The layer that reads raw audio has activationBits 16; a sinc
 * layer's filters are made at 8 bits (quantizers/made-filters.ts); one that reads features or pixels has 8; a layer whose input can be negative has at least 2 (one bit cannot hold -1, 0 and +1).
 * @throws UsageError on a width outside 1..8 or an override for a node that multiplies nothing.
 */
export function withBits(network: Network, widths: Widths, { edges = '8', overrides = {} }: WithBitsOptions = {}): Network {
  checkWidth('weightBits', widths.weightBits)
  checkWidth('activationBits', widths.activationBits)
  const nodes = nodesById(network)
  const signed = signedness(network)
  for (const [id, override] of Object.entries(overrides)) {
    const node = nodes.get(id)
    if (node === undefined || !isMultiplying(node)) throw new UsageError(`withBits: override for "${id}", which multiplies nothing`)
    for (const [key, bits] of Object.entries(override)) checkWidth(key, bits, `withBits: override for "${id}"`)
  }
  const last = network.nodes.at(-1)!.id

  const least = (node: NetworkNode): number => (node.inputs.some((id) => signed.get(throughViews(nodes, id))) ? 2 : 1)
  const narrow = <T extends AggregateNode | AttendNode>(node: T): T => {
    const wanted = overrides[node.id]?.activationBits ?? widths.activationBits
    return { ...node, activationBits: Math.max(least(node), wanted) }
  }
  const decide = (node: WeightedNetworkNode): WeightedNetworkNode => {
    const onInput = readsInput(nodes, node)
    const isEdge = onInput || node.id === last
    const weightBits = node.op === 'sinc' ? 8 : (overrides[node.id]?.weightBits ?? (isEdge && edges === '8' ? 8 : widths.weightBits))
    const wanted = overrides[node.id]?.activationBits ?? (onInput ? 8 : widths.activationBits)
    return { ...node, weightBits, activationBits: onInput && network.frontEnd.kind === 'raw' ? 16 : Math.max(least(node), wanted) }
  }
  const decided = (node: NetworkNode) =>
    isWeighted(node) ? decide(node) : node.op === 'attend' || node.op === 'aggregate' ? narrow(node) : node
  return { ...network, nodes: network.nodes.map(decided) }
}

/** The same network whose normalisations have parameters and statistics of their own for every width of the layer's weights. */
export function withNormalizationPerWidth(network: Network): Network {
  const decide = (node: NetworkNode): NetworkNode =>
    isWeighted(node) && node.normalization !== 'none' && node.weightBits !== undefined
      ? { ...node, normalizationParameters: `${parameterPrefix(node)}.w${node.weightBits}` }
      : node
  return { ...network, nodes: network.nodes.map(decide) }
}

function withoutWidths(node: NetworkNode): NetworkNode {
  if (!isMultiplying(node)) return node
  const { activationBits: _activationBits, ...rest } = node
  if (rest.op === 'attend' || rest.op === 'aggregate') return rest
  const { weightBits: _weightBits, ...bare } = rest
  return bare
}

/** The same network in float: no widths anywhere. */
export function withoutBits(network: Network): Network {
  return { ...network, nodes: network.nodes.map(withoutWidths) }
}
