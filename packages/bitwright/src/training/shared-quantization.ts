// Quantizers of a supernet: one for the weights of every role and one for every value, shared by all options and all widths; a sampled path
// takes from them what its network's widths ask for. Ours: a smaller option has the ranges of the first channels of the larger one, as it has
// the weights of the first channels; a value has the same range whether it is kept at the width of its one reader or as a stream, and
// a layer that narrows a stream for itself has a range of its own.
import {
  dot,
  type Engine,
  fakeQuantize,
  none,
  observe,
  type ParameterStore,
  type QuantizerSlot,
  Random,
  Tape,
  type WeightReference,
} from '@bitwright/engine'
import { UsageError } from '../errors.ts'
import { consumers, isWeighted, nodesById, parameterPrefix, readsInput, throughViews, weightedNodes } from '../network/graph.ts'
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
  MadeFilters,
  NestedBits,
  NestedBitsActivation,
  type WeightQuantizer,
} from '../quantizers/index.ts'
import { LearnedAdam } from './learned-adam.ts'
import { expandedBlocks, type PrunedChannels } from './pruned-channels.ts'
import { type Quantized, Recorder, type WeightSources } from './record.ts'
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

/** dLoss / dgate of every width at one layer's place: <gradient of the quantized numbers, the numbers at that width>. */
export interface WidthGates {
  readonly role: string
  /** By width, as in `weightWidths`; empty where the layer's weights have no width to choose (SincConv). */
  readonly weights: readonly number[]
  /** By width, as in `activationWidths`; empty where the layer reads the network's input. */
  readonly activations: readonly number[]
}

interface WeightEntry {
  readonly node: WeightedNetworkNode
  readonly quantizer: WeightQuantizer
  readonly bits: number
  readonly count: number
  readonly quantized: number
  readonly gradient: number
}
interface ActivationEntry {
  readonly quantizer: BitSharingActivation
  readonly bits: number
  readonly slot: QuantizerSlot
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
        const { value } = inputs.get(node.id)!
        const { scale, signed } = values.get(value)!
        if (scale === undefined) this.add(this.narrowed, this.activationKey(node.id, signed), signed)
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
      const tape = new Tape(this.engine, { batch: size, mode: 'recalibrate' })
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
      for (let batch = 0; batch < calibrationBatches && (batch + 1) * size <= order.length; batch++) {
        source.fill(input, order.slice(batch * size, (batch + 1) * size), { seed, epoch: 0 })
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

interface Shared {
  weights(node: WeightedNetworkNode, rank: number): BitSharingQuantizer
  value(id: string, signed: boolean): BitSharingActivation
  narrowed(id: string, signed: boolean): BitSharingActivation
  roleOf(id: string): string
  /** Draws for the gates of one pass. */
  uniforms(): () => number
}

/** The quantizers of one network at its widths, and their places on the heap. */
export class QuantizedPath implements Quantized {
  readonly network: Network
  private readonly engine: Engine
  private readonly shared: Shared
  private readonly options: SharedQuantizationOptions
  private readonly weightEntries = new Map<string, WeightEntry>()
  private readonly valueEntries = new Map<string, ActivationEntry>()
  private readonly narrowedEntries = new Map<string, ActivationEntry>()
  /** Slots that give a reader of a stream a map of its own and change no number: the stream's own grid once more. */
  private readonly apart = new Map<string, ActivationEntry>()
  private readonly owned: number[] = []
  private isTraining = false

  constructor(store: ParameterStore, network: Network, shared: Shared, options: SharedQuantizationOptions, nodes: readonly NetworkNode[]) {
    this.network = network
    this.engine = store.engine
    this.shared = shared
    this.options = options
    const { values, inputs } = storageOf(network)
    const blocks = options.pruning ? expandedBlocks(network) : new Map<string, unknown>()
    const shapes = new Map(parameterShapes(network).map(({ name, shape }) => [name, shape]))
    const byId = nodesById(network)
    const read = new Set(nodes.flatMap((node) => node.inputs.map((id) => throughViews(byId, id))))
    for (const node of nodes.filter(isWeighted)) {
      const prefix = parameterPrefix(node)
      const bits = node.weightBits ?? streamBits
      const shape = shapes.get(`${prefix}.weight`)
      const count = shape ? product(shape) : product(node.op === 'sinc' ? node.kernelSize : []) * node.channels
      const quantizer = shape
        ? sliceOf(shared.weights(node, shape.length), count, node.channels, blocks.has(node.id))
        : new MadeFilters(count / node.channels, node.channels, node.op === 'sinc' ? node.sampleRate : 0, () => ({
            lowHz: store.value(`${prefix}.lowHz`),
            bandHz: store.value(`${prefix}.bandHz`),
          }))
      if (isSharing(quantizer)) quantizer.select(bits)
      this.weightEntries.set(node.id, {
        node,
        quantizer,
        bits,
        count,
        quantized: this.allocate(count),
        gradient: this.allocate(count),
      })
      const input = inputs.get(node.id)!
      if (input.narrowed) this.narrowedEntries.set(node.id, this.activation(shared.narrowed(node.id, input.signed), input.bits))
    }
    for (const [id, { bits, signed, scale }] of values) {
      if (scale === undefined && read.has(id)) this.valueEntries.set(id, this.activation(shared.value(id, signed), bits))
    }
  }

  private activation(quantizer: BitSharingActivation, bits: number): ActivationEntry {
    quantizer.select(bits)
    return { quantizer, bits, slot: { offset: this.allocate(4), sums: this.allocate(3) } }
  }
  private allocate(count: number): number {
    const offset = this.engine.heap.allocate(count)
    this.owned.push(offset)
    this.engine.floats(offset, count).fill(0)
    return offset
  }
  private activationEntries(): ActivationEntry[] {
    return [...this.valueEntries.values(), ...this.narrowedEntries.values()]
  }

  weights(node: WeightedNetworkNode, source: WeightReference): WeightReference {
    const { quantized, gradient } = this.weightEntries.get(node.id)!
    if (source.gradient !== none) this.isTraining = true
    return { offset: quantized, gradient: source.gradient === none ? none : gradient }
  }
  value(id: string): QuantizerSlot | undefined {
    return this.valueEntries.get(id)?.slot
  }
  narrowed(node: WeightedNetworkNode): QuantizerSlot | undefined {
    return (this.narrowedEntries.get(node.id) ?? this.apart.get(node.id))?.slot
  }
  weightQuantizer(id: string): WeightQuantizer {
    return this.weightEntries.get(id)!.quantizer
  }
  activationQuantizer(id: string, narrowed = false): BitSharingActivation | undefined {
    const entry = (narrowed ? this.narrowedEntries : this.valueEntries).get(id)
    // other paths have selected other widths since
    entry?.quantizer.select(entry.bits)
    return entry?.quantizer
  }

  /** Before the kernels, after `generate`: quantized weights of the recorded layers, and quantizer slots, on the heap. */
  prepare(sources: WeightSources): void {
    const { engine } = this
    if (this.options.pruning && this.isTraining) {
      const uniform = this.shared.uniforms()
      for (const { quantizer } of this.gated()) quantizer.drawChannels(uniform)
    }
    for (const [id, { quantizer, count, quantized }] of this.weightEntries) {
      const source = sources.get(id)
      if (source) quantizer.forward(engine.floats(source.offset, count), engine.floats(quantized, count))
    }
    for (const { quantizer, bits, slot } of [...this.activationEntries(), ...this.apart.values()]) {
      quantizer.select(bits)
      quantizer.writeSlot(engine.backend.heap, slot.offset)
    }
  }

  /** Weights whose channels have gates. */
  private gated(): (WeightEntry & { quantizer: NestedBits })[] {
    return [...this.weightEntries.values()].filter(
      (entry): entry is WeightEntry & { quantizer: NestedBits } => entry.quantizer instanceof NestedBits && entry.quantizer.gated,
    )
  }
  /** Channels that the gates have decided against. */
  pruned(): PrunedChannels {
    return new Map(
      this.gated().map(({ node, quantizer }) => [
        node.id,
        Array.from({ length: node.channels }, (_, c) => c).filter((c) => quantizer.isPruned(c)),
      ]),
    )
  }

  /**
   * After the backward kernels: gradients of the float weights, replaced; gradients of the ranges, added to those of other paths, unless
   * some are no numbers: a path that diverges spoils no other.
   */
  collect(sources: WeightSources): void {
    const { engine } = this
    const learned = [...this.weightEntries.values(), ...this.activationEntries()].flatMap(({ quantizer }) =>
      quantizer.parameters().map(({ gradients }) => ({ gradients, before: gradients.slice() })),
    )
    for (const [id, { quantizer, count, gradient }] of this.weightEntries) {
      const source = sources.get(id)!
      const dWeights = engine.floats(source.gradient, count)
      dWeights.fill(0)
      quantizer.backward(engine.floats(source.offset, count), engine.floats(gradient, count), dWeights)
    }
    const { pruning } = this.options
    if (pruning) {
      const total = [...this.weightEntries.values()].reduce((sum, { count }) => sum + count, 0)
      for (const { quantizer, count } of this.gated()) quantizer.channelPenaltyGradient((pruning.strength * count) / total)
    }
    for (const { quantizer, bits, slot } of this.activationEntries()) {
      quantizer.select(bits)
      const [inside, low, high] = engine.floats(slot.sums, 3)
      quantizer.backward(inside, low, high)
    }
    if (learned.every(({ gradients }) => gradients.every(Number.isFinite))) return
    for (const { gradients, before } of learned) gradients.set(before)
  }

  // --- gates

  /** Layers whose input has a width to choose. */
  private chosen(): WeightedNetworkNode[] {
    const byId = nodesById(this.network)
    return weightedNodes(this.network).filter((node) => !readsInput(byId, node))
  }
  private isStream(id: string): boolean {
    const readers = consumers(this.network).get(id)!
    return readers.length > 1 || !isWeighted(readers[0])
  }

  /** Before anything is recorded: every layer that reads a stream gets a map of its own, so that its gradient is known apart. */
  keepApart(): void {
    const { inputs, values } = storageOf(this.network)
    for (const { id } of this.chosen()) {
      const { value, narrowed } = inputs.get(id)!
      if (!narrowed && this.isStream(value))
        this.apart.set(id, this.activation(this.shared.value(value, values.get(value)!.signed), streamBits))
    }
  }

  /** Before `tape.backward()`: what layers read keeps its gradient. */
  keepGradients(recorder: Recorder): void {
    for (const { id } of this.chosen()) recorder.multiplied.get(id)!.stored.keepGradient = true
  }

  /**
   * dLoss / dgate of every width of every layer, after the backward kernels of a tape recorded with weight gradients, `keepApart` and
   * `keepGradients`. What a grid cuts off has no gradient for other widths either; nested unsigned grids cut off the same.
   */
  gateGradients(recorder: Recorder): WidthGates[] {
    const { engine } = this
    const { activationWidths } = this.options
    const tape = new Tape(engine, { batch: recorder.tape.batch, mode: 'recalibrate' })
    const { inputs } = storageOf(this.network)
    const reads = new Map<string, (() => number)[]>()
    for (const node of this.chosen()) {
      const { value: id, signed } = inputs.get(node.id)!
      const plain = recorder.multiplied.get(node.id)!
      const isStream = this.isStream(id)
      const quantizer = isStream ? this.shared.narrowed(node.id, signed) : this.valueEntries.get(id)!.quantizer
      const gate = (bits: number): (() => number) => {
        if (isStream && bits === streamBits) return dot(tape, plain, plain.stored)
        const offset = tape.allocate(4)
        quantizer.select(bits)
        quantizer.writeSlot(engine.backend.heap, offset)
        return dot(tape, fakeQuantize(plain, { offset, sums: none }), plain.stored)
      }
      reads.set(node.id, activationWidths.map(gate))
    }
    engine.backend.run(tape.program(['finish']))
    const gates = [...this.weightEntries.values()].map((entry) => ({
      role: this.shared.roleOf(entry.node.id),
      weights: this.weightGates(entry, engine.floats(recorder.sources.get(entry.node.id)!.offset, entry.count)),
      activations: (reads.get(entry.node.id) ?? []).map((read) => read()),
    }))
    tape.dispose()
    return gates
  }

  private weightGates({ quantizer, bits, count, gradient }: WeightEntry, weights: Float32Array): number[] {
    if (!isSharing(quantizer)) return []
    const d = this.engine.floats(gradient, count)
    const quantized = new Float32Array(count)
    const gates = this.options.weightWidths.map((width) => {
      quantizer.select(width)
      quantizer.forward(weights, quantized)
      return quantized.reduce((sum, value, i) => sum + value * d[i], 0)
    })
    quantizer.select(bits)
    return gates
  }

  dispose(): void {
    for (const offset of this.owned) this.engine.heap.release(offset)
    this.owned.length = 0
  }
}

const isSharing = (quantizer: WeightQuantizer): quantizer is BitSharingQuantizer => 'select' in quantizer

/** Only the channels of an expanded block can be dropped. */
function sliceOf(whole: BitSharingQuantizer, size: number, channels: number, prunable: boolean): BitSharingQuantizer {
  return whole instanceof NestedBits ? whole.slice(size, channels, whole.gated && prunable) : whole.slice(size, channels)
}
