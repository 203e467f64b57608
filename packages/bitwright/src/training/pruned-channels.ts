// How a pruned channel leaves a network (ours). Where the weights of a depthwise channel are all zero, what its layer gives there is the same
// number everywhere: that of batch norm and activation on 0. The 1x1 layer behind it adds a multiple of it to each of its sums, which its own batch
// norm takes out again. So the channel goes from the layer before it, from its own, and from the one behind, whose running mean is moved by
// what the channel gave; the network's answers stay what they are.
import type { ParameterStore } from '@bitwright/engine'
import { UsageError } from '../errors.ts'
import { consumers, nodesById, normalizationPrefix, parameterPrefix } from '../network/graph.ts'
import type { ConvolutionNode, Network, NetworkNode } from '../network/network.ts'
import { parameterShapes, statisticShapes } from '../network/parameters.ts'
import { channelAffine } from './convert-channels.ts'
import { createStore } from './initialize.ts'

/** By id of the depthwise layer. */
export type PrunedChannels = ReadonlyMap<string, readonly number[]>

interface Block {
  readonly expand: ConvolutionNode
  readonly depthwise: ConvolutionNode
  readonly project: ConvolutionNode
}

const isConvolution = (node: NetworkNode | undefined): node is ConvolutionNode => node?.op === 'convolution'

/** The expanded blocks of a network, by id of the depthwise layer: the only places where a channel can be dropped exactly. */
export function expandedBlocks(network: Network): Map<string, Block> {
  const byId = nodesById(network)
  const readers = consumers(network)
  const blocks = new Map<string, Block>()
  for (const depthwise of network.nodes) {
    if (!isConvolution(depthwise) || depthwise.groups === 1 || depthwise.normalization === 'none') continue
    const expand = byId.get(depthwise.inputs[0])
    const [project, other] = readers.get(depthwise.id)!
    if (!isConvolution(expand) || expand.groups !== 1 || readers.get(expand.id)!.length !== 1) continue
    if (!isConvolution(project) || other || project.groups !== 1 || project.normalization === 'none') continue
    // zeros around the map would not be that number
    if (project.padding.some((zeros) => zeros > 0)) continue
    blocks.set(depthwise.id, { expand, depthwise, project })
  }
  return blocks
}

/** Along one axis, what stays. */
interface Cut {
  readonly axis: number
  readonly positions: readonly number[]
}

/** The network whose layers have these numbers of channels, by id; one for each group stays one for each group. */
function withChannels(network: Network, channels: ReadonlyMap<string, number>): Network {
  const nodes = network.nodes.map((node) => {
    const count = channels.get(node.id)
    if (count === undefined || !isConvolution(node)) return node
    return { ...node, channels: count, groups: node.groups === 1 ? 1 : count }
  })
  return { ...network, nodes }
}

/** The network with so many channels in these blocks, by id of the depthwise layer. */
export function withBlockChannels(network: Network, channels: ReadonlyMap<string, number>): Network {
  const blocks = expandedBlocks(network)
  return withChannels(
    network,
    new Map([...channels].flatMap(([id, count]) => [[blocks.get(id)!.expand.id, count] as const, [id, count] as const])),
  )
}

/** The numbers of some positions along one axis. */
function kept(values: Float32Array, shape: readonly number[], axis: number, positions: readonly number[]): Float32Array {
  const inner = shape.slice(axis + 1).reduce((size, length) => size * length, 1)
  const outer = values.length / inner / shape[axis]
  const out = new Float32Array(outer * positions.length * inner)
  for (let o = 0; o < outer; o++)
    positions.forEach((position, i) => {
      const from = (o * shape[axis] + position) * inner
      out.set(values.subarray(from, from + inner), (o * positions.length + i) * inner)
    })
  return out
}

/**
 * The network without these channels, and a store of its own with its parameters and their moments. The weights of the channels count as zero, whatever they
 * are in `store`. A layer keeps its first channel where all of them are pruned.
 * @throws UsageError naming a layer whose channels cannot be dropped
 */
export function withoutPrunedChannels(
  store: ParameterStore,
  network: Network,
  pruned: PrunedChannels,
): { network: Network; store: ParameterStore } {
  const blocks = expandedBlocks(network)
  /** By parameter name: the axes along which channels go, and those that stay. */
  const cuts = new Map<string, Cut[]>()
  const cut = (name: string, its: Cut) => cuts.set(name, [...(cuts.get(name) ?? []), its])
  const channels = new Map<string, number>()
  const means = new Map<string, Float32Array>()
  for (const [id, dropped] of pruned) {
    const block = blocks.get(id)
    if (!block) throw new UsageError(`"${id}": only the depthwise layer of an expanded block can lose channels`)
    const { expand, depthwise, project } = block
    const all = Array.from({ length: depthwise.channels }, (_, c) => c)
    const stay = all.filter((c) => !dropped.includes(c))
    const positions = stay.length > 0 ? stay : [0]
    for (const node of [expand, depthwise]) {
      channels.set(node.id, positions.length)
      cut(`${parameterPrefix(node)}.weight`, { axis: node === expand ? 3 : 2, positions })
      for (const suffix of ['scale', 'offset', 'mean', 'variance']) cut(`${normalizationPrefix(node)}.${suffix}`, { axis: 0, positions })
      if (node.bias) cut(`${parameterPrefix(node)}.bias`, { axis: 0, positions })
    }
    cut(`${parameterPrefix(project)}.weight`, { axis: 2, positions })
    const { offset } = channelAffine(store, depthwise)
    const weight = store.value(`${parameterPrefix(project)}.weight`)
    const taps = project.kernelSize[0] * project.kernelSize[1]
    const mean = store.value(`${normalizationPrefix(project)}.mean`).slice()
    for (const c of all.filter((each) => !positions.includes(each))) {
      const constant = activated(depthwise, offset[c])
      for (let tap = 0; tap < taps; tap++)
        for (let o = 0; o < project.channels; o++) mean[o] -= constant * weight[(tap * depthwise.channels + c) * project.channels + o]
    }
    means.set(`${normalizationPrefix(project)}.mean`, mean)
  }
  const result = withChannels(network, channels)
  const made = createStore(store.engine, [result], 0)
  for (const { name, shape } of [...parameterShapes(network), ...statisticShapes(network)]) {
    const [from, to] = [store.get(name), made.get(name)]
    for (const block of ['values', 'first', 'second'] as const) {
      let values = store.engine.floats(store[block] + from.position, from.size)
      if (block === 'values') values = means.get(name) ?? values
      let lengths = shape
      // the layer between two depthwise ones loses channels on both sides
      for (const { axis, positions } of cuts.get(name) ?? []) {
        values = kept(values, lengths, axis, positions)
        lengths = lengths.with(axis, positions.length)
      }
      store.engine.floats(made[block] + to.position, to.size).set(values)
    }
  }
  return { network: result, store: made }
}

function activated({ activation }: ConvolutionNode, value: number): number {
  if (activation === 'relu') return Math.max(0, value)
  return activation === 'relu6' ? Math.min(6, Math.max(0, value)) : value
}
