// Which channels of its expanded blocks a network can do without, learned in float with the weights: a hard-concrete gate (arXiv 1712.01312,
// sections 2.2 and 3.1) for every channel that a projecting layer reads, times its weights there. A gate on the weights of the depthwise layer
// would learn nothing: batch norm behind it takes out any factor but zero, so that the loss is the same until the channel is gone. Here the
// sum behind has as much of the channel as the gate lets through, and a channel whose gate is shut leaves without a trace (pruned-channels.ts).
import { type Engine, none, type ParameterStore, type QuantizerSlot, Random, type WeightReference } from '@bitwright/engine'
import { parameterPrefix } from '../network/graph.ts'
import type { ConvolutionNode, Network, WeightedNetworkNode } from '../network/network.ts'
import { type GateSample, isOpen, openProbability, openSlope, sampleGate, settledGate } from '../quantizers/hard-concrete.ts'
import { ParameterGroup } from '../quantizers/uniform.ts'
import { LearnedAdam } from './learned-adam.ts'
import { expandedBlocks, type PrunedChannels, withBlockChannels, withoutPrunedChannels } from './pruned-channels.ts'
import type { QuantizedReferences, WeightSources } from './record.ts'

/** Numbers by block: the id of its depthwise layer. */
export type ByBlock = ReadonlyMap<string, number>

/** d penalty / d channel of every block, where so many of its channels are expected to be open. */
export type Pressure = (open: ByBlock) => ByBlock

/** At first open with a probability of 0.93: nearer to 1 there is next to no gradient. */
const firstLogit = 1

interface Entry {
  readonly block: string
  readonly channels: number
  readonly project: ConvolutionNode
  readonly logits: ParameterGroup
  readonly count: number
  /** On the heap: the weights times their gates, and the gradient of that. */
  readonly gated: number
  readonly gradient: number
  sample: readonly GateSample[]
}

export class ChannelGates implements QuantizedReferences {
  /** Presses gates shut. */
  pressure: Pressure = () => new Map()
  private readonly network: Network
  private readonly engine: Engine
  private readonly store: ParameterStore
  private readonly seed: number
  private readonly entries: readonly Entry[]
  private readonly byProject: ReadonlyMap<string, Entry>
  private readonly adam: LearnedAdam

  constructor(store: ParameterStore, network: Network, seed: number) {
    this.network = network
    this.engine = store.engine
    this.store = store
    this.seed = seed
    this.entries = [...expandedBlocks(network)].map(([block, { depthwise, project }]) => {
      const count = project.kernelSize[0] * project.kernelSize[1] * depthwise.channels * project.channels
      const logits = new ParameterGroup(depthwise.channels)
      logits.values.fill(firstLogit)
      const [gated, gradient] = [this.allocate(count), this.allocate(count)]
      return { block, channels: depthwise.channels, project, logits, count, gated, gradient, sample: [] }
    })
    this.byProject = new Map(this.entries.map((entry) => [entry.project.id, entry]))
    this.adam = new LearnedAdam(
      this.entries.map(({ logits }) => logits),
      new Map(),
    )
  }

  private allocate(count: number): number {
    const offset = this.engine.heap.allocate(count)
    this.engine.floats(offset, count).fill(0)
    return offset
  }

  weights(node: WeightedNetworkNode, source: WeightReference): WeightReference {
    const entry = this.byProject.get(node.id)
    return entry ? { offset: entry.gated, gradient: source.gradient === none ? none : entry.gradient } : source
  }
  value(): QuantizerSlot | undefined {
    return undefined
  }
  narrowed(): QuantizerSlot | undefined {
    return undefined
  }

  /** Before the kernels: draws the gates of this step. */
  prepare(sources: WeightSources): void {
    this.entries.forEach((entry, index) => {
      const { project, channels, logits, count, gated } = entry
      const random = new Random(this.seed, 'channel gates', this.adam.updates, index)
      entry.sample = Array.from(logits.values, (logAlpha) => sampleGate(logAlpha, random.uniform()))
      const weights = this.engine.floats(sources.get(project.id)!.offset, count)
      const out = this.engine.floats(gated, count)
      for (let i = 0; i < count; i++) out[i] = entry.sample[channelOf(i, channels, project)].value * weights[i]
    })
  }

  /** After the kernels: gradients of the weights, and a step of the gates along theirs and the pressure. @param length of the step in logits */
  update(sources: WeightSources, length: number): void {
    const pressure = this.pressure(this.open())
    for (const { block, channels, project, logits, count, gradient, sample } of this.entries) {
      const source = sources.get(project.id)!
      const weights = this.engine.floats(source.offset, count)
      const dGated = this.engine.floats(gradient, count)
      const dWeights = this.engine.floats(source.gradient, count)
      for (let i = 0; i < count; i++) {
        const channel = channelOf(i, channels, project)
        dWeights[i] = sample[channel].value * dGated[i]
        logits.gradients[channel] += sample[channel].slope * dGated[i] * weights[i]
      }
      const press = pressure.get(block) ?? 0
      logits.values.forEach((logAlpha, channel) => (logits.gradients[channel] += press * openSlope(logAlpha)))
    }
    this.adam.step(length, 0, false)
  }

  /** Channels that are expected to be open. */
  open(): ByBlock {
    return new Map(
      this.entries.map(({ block, logits }) => [block, logits.values.reduce((sum, logAlpha) => sum + openProbability(logAlpha), 0)]),
    )
  }

  /**
   * The channels that the gates have decided against, or, where the network has to fit, as few as that takes, the least open first. Every block
   * keeps the one that is most open.
   */
  decide(fits?: (network: Network) => boolean): PrunedChannels {
    const ordered = this.entries
      .flatMap(({ block, logits }) => {
        const order = Array.from(logits.values, (logAlpha, channel) => ({ block, channel, logAlpha })).toSorted(
          (a, b) => a.logAlpha - b.logAlpha || a.channel - b.channel,
        )
        return order.slice(0, -1)
      })
      .toSorted((a, b) => a.logAlpha - b.logAlpha)
    const first = (count: number): PrunedChannels =>
      new Map(
        this.entries.map(({ block }) => [
          block,
          ordered
            .slice(0, count)
            .filter((each) => each.block === block)
            .map(({ channel }) => channel),
        ]),
      )
    if (!fits) return first(ordered.filter(({ logAlpha }) => !isOpen(logAlpha)).length)
    let [low, high] = [-1, ordered.length]
    while (high - low > 1) {
      const middle = (low + high) >> 1
      if (fits(this.smaller(first(middle)))) high = middle
      else low = middle
    }
    return first(high)
  }

  /** The network without these channels. */
  smaller(pruned: PrunedChannels): Network {
    return withBlockChannels(
      this.network,
      new Map(this.entries.map(({ block, channels }) => [block, channels - pruned.get(block)!.length])),
    )
  }

  /** The network with as few channels in every block as it can have. */
  static least(network: Network): Network {
    return withBlockChannels(network, new Map([...expandedBlocks(network).keys()].map((block) => [block, 1])))
  }

  /** Writes the gates into the store's weights, as they are without draws: zero for these channels. */
  settle(pruned: PrunedChannels): void {
    for (const { block, channels, project, logits, count } of this.entries) {
      const shut = new Set(pruned.get(block))
      const weights = this.store.value(`${parameterPrefix(project)}.weight`)
      for (let i = 0; i < count; i++) {
        const channel = channelOf(i, channels, project)
        weights[i] *= shut.has(channel) ? 0 : settledGate(logits.values[channel])
      }
    }
  }

  /** The same with a store of its own, once settled. */
  without(pruned: PrunedChannels): { network: Network; store: ParameterStore } {
    return withoutPrunedChannels(this.store, this.network, pruned)
  }

  /** Everything that a resumed run needs. */
  state(): number[][] {
    return [[this.adam.updates], ...this.entries.map(({ logits }) => [...logits.values]), ...this.adam.state()]
  }
  restore([[updates], ...rest]: readonly (readonly number[])[]): void {
    this.entries.forEach(({ logits }, i) => logits.values.set(rest[i]))
    this.adam.restore(updates, rest.slice(this.entries.length))
  }

  dispose(): void {
    for (const { gated, gradient } of this.entries) for (const offset of [gated, gradient]) this.engine.heap.release(offset)
  }
}

/** The input channel of a number of a projecting layer's weights, [rows][columns][input channels][output channels]. */
const channelOf = (index: number, channels: number, project: ConvolutionNode): number => Math.floor(index / project.channels) % channels
