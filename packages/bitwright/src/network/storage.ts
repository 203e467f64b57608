// How wide each value is kept between layers. Training fake-quantizes by this table and lowering builds the integer graph from it, so
// both have the same numbers in the same places.
//
// - The raw input: 16 bits. The logits: 16 bits.
// - A value read exactly once, by a layer with weights or attend: that layer's activationBits, stored directly.
// - Any other value (read by add or a pool, or more than once), and spectral or image input: 8 bits, a "stream". A layer with fewer
//   activationBits that reads a stream narrows it for itself first (`narrowed`).
// - Features of a graph are kept as they are.
// - Raw audio and images come as whole numbers of a known scale, so nothing quantizes them; all other scales are learned.
// - Unsigned where the value cannot be negative: after relu or relu6, and pools and sums of such values; signed elsewhere (a learned factor
//   can become negative).
// A float network is seen as 8 / 8.
import { UsageError } from '../errors.ts'
import { consumers, inputKeys, isMultiplying, isView, isWeighted, nodesById, throughViews } from './graph.ts'
import type { Network, NetworkNode } from './network.ts'

export const streamBits = 8
/** Scales of inputs that are whole numbers already. */
const inputScales = { raw: 2 ** -15, image: 2 ** -7, graph: 1 }

export interface ValueStorage {
  /** Width of the stored value: 1..8, or 16 for raw audio and the logits. */
  readonly bits: number
  readonly signed: boolean
  /** What one step is worth, where it is known beforehand: 2^-15 of raw audio, 2^-7 of pixels; 1 of a graph's features. */
  readonly scale?: number
}
/** What a layer multiplies. */
export interface LayerInput extends ValueStorage {
  /** Id of the value it reads, views followed back. */
  readonly value: string
  /** Whether it is narrowed from a wider stream by this layer alone. */
  readonly narrowed: boolean
}
export interface Storage {
  /** By node id, for every value that is not a view (a reshape or crop is stored like what it shows). */
  readonly values: ReadonlyMap<string, ValueStorage>
  /** By id of the layer with weights; attend has three (`inputKeys`). */
  readonly inputs: ReadonlyMap<string, LayerInput>
}

/** By node id, views included: whether the value can be negative. */
export function signedness(network: Network): Map<string, boolean> {
  const signed = new Map<string, boolean>()
  const reads = (node: NetworkNode): boolean => node.inputs.some((id) => signed.get(id))
  for (const node of network.nodes) {
    switch (node.op) {
      case 'input':
        signed.set(node.id, true)
        break
      case 'convolution':
      case 'sinc':
      case 'linear':
        signed.set(node.id, node.activation !== 'relu' && node.activation !== 'relu6')
        break
      case 'attend':
        signed.set(node.id, node.activation !== 'relu' && signed.get(node.inputs[2])!)
        break
      case 'aggregate':
        signed.set(node.id, node.activation !== 'relu' && reads(node))
        break
      case 'add':
        signed.set(node.id, node.activation !== 'relu' && (node.scale === 'learned' || reads(node)))
        break
      default:
        signed.set(node.id, reads(node))
    }
  }
  return signed
}

/**
 * The storage table of a network.
 * @throws UsageError naming the node where raw audio meets a layer without weights, or a signed value would get 1 bit.
 */
export function storageOf(network: Network): Storage {
  const nodes = nodesById(network)
  const signed = signedness(network)
  const readers = consumers(network)
  const { kind } = network.frontEnd
  const input = network.nodes[0].id
  const raw = kind === 'raw' ? input : undefined
  const last = network.nodes.at(-1)!.id

  const values = new Map<string, ValueStorage>()
  for (const node of network.nodes) {
    if (isView(node)) continue
    const uses = readers.get(node.id)!
    const [only] = uses
    const direct = uses.length === 1 && isMultiplying(only) && node.op !== 'input'
    const bits = node.id === raw || node.id === last ? 16 : direct ? (only.activationBits ?? streamBits) : streamBits
    const scale = node.id === input && kind in inputScales ? { scale: inputScales[kind as keyof typeof inputScales] } : {}
    values.set(node.id, { bits, signed: node.id === last || signed.get(node.id)!, ...scale })
  }

  const inputs = new Map<string, LayerInput>()
  for (const node of network.nodes) {
    const read = node.inputs.map((id) => throughViews(nodes, id))
    if (!isWeighted(node) && node.op !== 'reshape' && read.some((id) => id === raw)) {
      throw new UsageError(`node "${node.id}" (${node.op}): raw audio may only be read by a convolution or sinc layer`)
    }
    if (!isMultiplying(node)) continue
    inputKeys(node).forEach((key, index) => {
      if (key !== node.id && nodes.has(key)) throw new UsageError(`node "${key}": "${node.id}" calls its inputs so; give it another id`)
      const value = read[index]
      const stored = values.get(value)!
      const bits = value === raw ? 16 : (node.activationBits ?? streamBits)
      if (bits === 1 && stored.signed) {
        throw new UsageError(
          `node "${node.id}" (${node.op}): 1-bit input that can be negative; use activationBits 2 or more, or relu before it`,
        )
      }
      const narrowed = bits < stored.bits
      inputs.set(key, { ...(narrowed ? { signed: stored.signed } : stored), value, bits, narrowed })
    })
  }
  return { values, inputs }
}
