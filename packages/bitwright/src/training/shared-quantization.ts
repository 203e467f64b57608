// Quantizers of a supernet: one for the weights of every role and one for every value, shared by all options and all widths; a sampled path
// takes from them what its network's widths ask for. Ours: a smaller option has the ranges of the first channels of the larger one, as it has
// the weights of the first channels; a value has the same range whether it is kept at the width of its one reader or as a stream, and
// a layer that narrows a stream for itself has a range of its own.
import { type Engine, observe, type ParameterStore, Random, Tape } from '@bitwright/engine'
import { UsageError } from '../errors.ts'
import { parameterPrefix, weightedNodes } from '../network/graph.ts'
import type { Network, NetworkNode, WeightedNetworkNode } from '../network/network.ts'
import { parameterShapes } from '../network/parameters.ts'
import { storageOf, streamBits } from '../network/storage.ts'
import {
  ActivationStatistics,
  type BitSharingActivation,
  type BitSharingQuantizer,
  type Granularity,
  LatentBits,
  LatentBitsActivation,
  NestedBits,
  NestedBitsActivation,
} from '../quantizers/index.ts'
import { LearnedAdam } from './learned-adam.ts'
import { expandedBlocks } from './pruned-channels.ts'
import { QuantizedPath } from './quantized-path.ts'
import { Recorder } from './record.ts'
import { batchesOf, batchRows } from './rows.ts'
import type { SampleSource } from './sample-source.ts'

export interface SharedQuantizationOptions {
  /** Ascending. */
  readonly weightWidths: readonly number[]
  /** Ascending. Streams have 8 bits whether that is among them or not. */
  readonly activationWidths: readonly number[]
  /** `nested`: grids that contain each other, one range; `latent`: a step for every width. */
  readonly sharing: 'nested' | 'latent'
  readonly granularity: Granularity
  /**
   * Channels of expanded blocks have gates that are sampled in training, pressed shut by so much a bit of the mean weight. Nested sharing only;
   * default: no gates.
   */
  readonly pruning?: { readonly strength: number; readonly seed: number }
  /** Relative change of a range in a step, as a share of the weights' learning rate. Default 1/3. */
  readonly rangeRate?: number
}

const product = (shape: readonly number[]): number => shape.reduce((size, length) => size * length, 1)

/** Batches that a value's range is chosen from. */
const calibrationBatches = 2

export class SharedQuantization {
  readonly options: SharedQuantizationOptions
  private readonly store: ParameterStore
  private readonly engine: Engine
  private readonly roleOf: (id: string) => string
  private readonly networks: readonly Network[]
  /** By role and rank: layers of another kind at the same place are another tensor. */
  private readonly weights = new Map<string, { quantizer: BitSharingQuantizer; name: string }>()
  private readonly values = new Map<string, BitSharingActivation>()
  private readonly narrowed = new Map<string, BitSharingActivation>()
  private readonly adam: LearnedAdam
  /** Paths that have drawn their gates. */
  private draws = 0

  /** `networks` together have every option; `roleOf` is the space's (spaces/roles.ts). */
  constructor(store: ParameterStore, networks: readonly Network[], roleOf: (id: string) => string, options: SharedQuantizationOptions) {
    this.store = store
    this.engine = store.engine
    this.roleOf = roleOf
    this.networks = networks
    this.options = options
    const largest = new Map<string, { name: string; size: number; channels: number }>()
    const prunable = new Set<string>()
    for (const network of networks) {
      const shapes = new Map(parameterShapes(network).map(({ name, shape }) => [name, shape]))
      const { values, inputs } = storageOf(network)
      const blocks = options.pruning ? expandedBlocks(network) : new Map<string, unknown>()
      for (const node of weightedNodes(network)) {
        const name = `${parameterPrefix(node)}.weight`
        const shape = shapes.get(name)
        if (shape) {
          const key = this.weightKey(node, shape.length)
          const [size, channels] = [product(shape), node.channels]
          if (blocks.has(node.id)) prunable.add(key)
          const known = largest.get(key)
          if (!known || channels > known.channels || (channels === known.channels && size > known.size))
            largest.set(key, { name, size, channels })
        }
      }
      for (const [key, { value }] of inputs) {
        const { scale, signed } = values.get(value)!
        if (scale === undefined) this.add(this.narrowed, this.activationKey(key, signed), signed)
      }
      for (const [id, { signed, scale }] of values) {
        if (scale === undefined && id !== network.nodes.at(-1)!.id) this.add(this.values, this.activationKey(id, signed), signed)
      }
    }
    const { sharing, weightWidths: widths, granularity } = options
    if (options.pruning && sharing !== 'nested') throw new UsageError('pruning: only nested bits have gates for channels')
    for (const [key, { name, size, channels }] of largest) {
      const quantizer =
        sharing === 'nested'
          ? new NestedBits(size, channels, { widths, granularity, gated: prunable.has(key) })
          : new LatentBits(size, channels, { widths, granularity })
      this.weights.set(key, { name, quantizer })
    }
    this.adam = new LearnedAdam(
      this.quantizers().flatMap((quantizer) => [...quantizer.parameters()]),
      new Map(),
      true,
    )
  }

  private weightKey(node: WeightedNetworkNode, rank: number): string {
    return `${this.roleOf(node.id)}/${rank}`
  }
  private activationKey(id: string, signed: boolean): string {
    return `${this.roleOf(id)}/${signed ? 'signed' : 'unsigned'}`
  }
  private add(to: Map<string, BitSharingActivation>, key: string, signed: boolean): void {
    if (to.has(key)) return
    const { sharing, activationWidths } = this.options
    const widths = [...new Set([...activationWidths, streamBits])].toSorted((a, b) => a - b)
    const Quantizer = sharing === 'nested' ? NestedBitsActivation : LatentBitsActivation
    to.set(key, new Quantizer({ widths, signed, elements: 1 }))
  }
  /** In a fixed order. */
  private quantizers(): (BitSharingQuantizer | BitSharingActivation)[] {
    return [...[...this.weights.values()].map(({ quantizer }) => quantizer), ...this.values.values(), ...this.narrowed.values()]
  }

  /** Starts the weights' ranges from the largest option's weights as they are in the store. */
  initializeWeights(): void {
    for (const { quantizer, name } of this.weights.values()) quantizer.initialize(this.store.value(name).subarray(0, quantizer.size))
  }

  /** Starts the values' ranges from what training batches look like in float, with batch statistics, in all networks. `load`: brings a network's parameters into the store. */
  async initializeActivations(
    source: SampleSource,
    { seed, batchSize, load = () => {} }: { seed: number; batchSize: number; load?: (network: Network) => void },
  ): Promise<void> {
    const order = source.epochOrder(seed, 0)
    const size = Math.min(batchSize, order.length)
    const statistics = new Map<BitSharingActivation, ActivationStatistics>()
    const seen = (quantizer: BitSharingActivation): ActivationStatistics => {
      if (!statistics.has(quantizer)) statistics.set(quantizer, new ActivationStatistics())
      return statistics.get(quantizer)!
    }
    for (const network of this.networks) {
      load(network)
      const tape = new Tape(this.engine, { batch: batchRows(network, size), mode: 'recalibrate' })
      const momentum = tape.allocate(1)
      this.engine.floats(momentum, 1)[0] = 0
      const recorder = new Recorder(tape, { store: this.store, momentum })
      const { input } = recorder.network(network)
      const { values, inputs } = storageOf(network)
      const watched = network.nodes.flatMap((node) => {
        const quantizers: BitSharingActivation[] = []
        const own = values.get(node.id)
        const ofValue = own && this.values.get(this.activationKey(node.id, own.signed))
        if (ofValue && own.scale === undefined) quantizers.push(ofValue)
        for (const [reader, { value }] of inputs) {
          const ofReader = value === node.id && own ? this.narrowed.get(this.activationKey(reader, own.signed)) : undefined
          if (ofReader) quantizers.push(ofReader)
        }
        return quantizers.length > 0 ? [{ quantizers, read: observe(tape, recorder.values.get(node.id)!) }] : []
      })
      const run = tape.program(['generate', 'pack', 'forward'])
      for (const batch of batchesOf(network, order, size, calibrationBatches)) {
        source.fill(input, batch, { seed, epoch: 0 })
        this.engine.backend.run(run)
        for (const { quantizers, read } of watched) {
          const { samples } = read()
          for (const quantizer of quantizers) seen(quantizer).observe(samples)
        }
        await new Promise((resolve) => setImmediate(resolve))
      }
      tape.dispose()
    }
    for (const [quantizer, its] of statistics) quantizer.initialize(its)
  }

  /**
   * What a recorder and a step of this network need, or of these nodes of it alone. `network` must have widths at every layer. Give it back with
   * `dispose`.
   */
  path(network: Network, nodes: readonly NetworkNode[] = network.nodes): QuantizedPath {
    const { options } = this
    return new QuantizedPath(
      this.store,
      network,
      {
        weights: (node, rank) => this.weights.get(this.weightKey(node, rank))!.quantizer,
        value: (id, signed) => this.values.get(this.activationKey(id, signed))!,
        narrowed: (id, signed) => this.narrowed.get(this.activationKey(id, signed))!,
        roleOf: this.roleOf,
        uniforms: () => {
          const random = new Random(options.pruning?.seed ?? 0, 'channel gates', this.draws++)
          return () => random.uniform()
        },
      },
      options,
      nodes,
    )
  }

  /** One Adam step on the ranges that paths have collected gradients for since the last one. @param learningRate of the weights */
  update(learningRate: number): void {
    this.adam.step(learningRate * (this.options.rangeRate ?? 1 / 3), 0, false)
    for (const quantizer of this.quantizers()) quantizer.constrain()
  }

  /** Forgets what was collected. */
  discard(): void {
    for (const quantizer of this.quantizers()) for (const { gradients } of quantizer.parameters()) gradients.fill(0)
  }

  /** Everything a resumed search needs. */
  state(): number[][] {
    return [[this.adam.updates, this.draws], ...this.quantizers().map((quantizer) => [...quantizer.state()]), ...this.adam.state()]
  }

  restore(state: readonly (readonly number[])[]): void {
    const [[updates, draws], ...rest] = state
    this.draws = draws
    const quantizers = this.quantizers()
    quantizers.forEach((quantizer, i) => quantizer.restore(Float32Array.from(rest[i])))
    this.adam.restore(updates, rest.slice(quantizers.length))
  }
}
