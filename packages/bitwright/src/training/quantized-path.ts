// A network of a supernet at its widths: what a recorder asks for and a step needs, out of the quantizers that all paths share
// (shared-quantization.ts), and the gradients of what other widths would have given.
import {
  dot,
  type Engine,
  fakeQuantize,
  none,
  type ParameterStore,
  type QuantizerSlot,
  Tape,
  type WeightReference,
} from '@bitwright/engine'
import { consumers, inputKeys, isMultiplying, isWeighted, nodesById, parameterPrefix, readsInput, throughViews } from '../network/graph.ts'
import type { MultiplyingNode, Network, NetworkNode, WeightedNetworkNode } from '../network/network.ts'
import { parameterShapes } from '../network/parameters.ts'
import { storageOf, streamBits } from '../network/storage.ts'
import { type BitSharingActivation, type BitSharingQuantizer, MadeFilters, NestedBits, type WeightQuantizer } from '../quantizers/index.ts'
import { expandedBlocks, type PrunedChannels } from './pruned-channels.ts'
import type { Quantized, Recorder, WeightSources } from './record.ts'
import type { SharedQuantizationOptions } from './shared-quantization.ts'

/** dLoss / dgate of every width at one layer's place: <gradient of the quantized numbers, the numbers at that width>. */
export interface WidthGates {
  readonly role: string
  /** By width, as in `weightWidths`; empty where the layer has no weights whose width is to choose (SincConv, attend). */
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

/** What all paths share, as a path asks for it. */
export interface SharedQuantizers {
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
  private readonly shared: SharedQuantizers
  private readonly options: SharedQuantizationOptions
  private readonly weightEntries = new Map<string, WeightEntry>()
  private readonly valueEntries = new Map<string, ActivationEntry>()
  private readonly narrowedEntries = new Map<string, ActivationEntry>()
  /** Slots that give a reader of a stream a map of its own and change no number: the stream's own grid once more. */
  private readonly apart = new Map<string, ActivationEntry>()
  private readonly owned: number[] = []
  private isTraining = false

  constructor(
    store: ParameterStore,
    network: Network,
    shared: SharedQuantizers,
    options: SharedQuantizationOptions,
    nodes: readonly NetworkNode[],
  ) {
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
    }
    for (const key of nodes.filter(isMultiplying).flatMap(inputKeys)) {
      const { narrowed, signed, bits } = inputs.get(key)!
      if (narrowed) this.narrowedEntries.set(key, this.activation(shared.narrowed(key, signed), bits))
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
  narrowed(key: string): QuantizerSlot | undefined {
    return (this.narrowedEntries.get(key) ?? this.apart.get(key))?.slot
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

  /** Layers whose inputs have a width to choose. */
  private chosen(): MultiplyingNode[] {
    const byId = nodesById(this.network)
    return this.network.nodes.filter(isMultiplying).filter((node) => !readsInput(byId, node))
  }
  /** Which values are streams: several nodes read them, or one that multiplies nothing. */
  private streams(): (id: string) => boolean {
    const readers = consumers(this.network)
    return (id) => readers.get(id)!.length > 1 || !isMultiplying(readers.get(id)![0])
  }

  /** Before anything is recorded: every layer that reads a stream gets a map of its own, so that its gradient is known apart. */
  keepApart(): void {
    const { inputs, values } = storageOf(this.network)
    const isStream = this.streams()
    for (const key of this.chosen().flatMap(inputKeys)) {
      const { value, narrowed } = inputs.get(key)!
      if (!narrowed && isStream(value))
        this.apart.set(key, this.activation(this.shared.value(value, values.get(value)!.signed), streamBits))
    }
  }

  /** Before `tape.backward()`: what layers read keeps its gradient. */
  keepGradients(recorder: Recorder): void {
    for (const key of this.chosen().flatMap(inputKeys)) recorder.multiplied.get(key)!.stored.keepGradient = true
  }

  /**
   * dLoss / dgate of every width of every layer, after the backward kernels of a tape recorded with weight gradients, `keepApart` and
   * `keepGradients`. What a grid cuts off has no gradient for other widths either; nested unsigned grids cut off the same. The inputs of
   * one layer have one width, whose gate opens all of them.
   */
  gateGradients(recorder: Recorder): WidthGates[] {
    const { engine } = this
    const { activationWidths } = this.options
    const tape = new Tape(engine, { batch: recorder.tape.batch, mode: 'recalibrate' })
    const { inputs } = storageOf(this.network)
    const reads = new Map<string, (() => number)[][]>()
    const isStream = this.streams()
    const gatesOf = (key: string): (() => number)[] => {
      const { value: id, signed } = inputs.get(key)!
      const plain = recorder.multiplied.get(key)!
      const ofStream = isStream(id)
      const quantizer = ofStream ? this.shared.narrowed(key, signed) : this.valueEntries.get(id)!.quantizer
      return activationWidths.map((bits) => {
        if (ofStream && bits === streamBits) return dot(tape, plain, plain.stored)
        const offset = tape.allocate(4)
        quantizer.select(bits)
        quantizer.writeSlot(engine.backend.heap, offset)
        return dot(tape, fakeQuantize(plain, { offset, sums: none }), plain.stored)
      })
    }
    for (const node of this.chosen()) reads.set(node.id, inputKeys(node).map(gatesOf))
    engine.backend.run(tape.program(['finish']))
    const gates = this.network.nodes.filter(isMultiplying).map(({ id }) => {
      const entry = this.weightEntries.get(id)
      const ofInputs = reads.get(id)
      return {
        role: this.shared.roleOf(id),
        weights: entry ? this.weightGates(entry, engine.floats(recorder.sources.get(id)!.offset, entry.count)) : [],
        activations: ofInputs ? activationWidths.map((_, width) => ofInputs.reduce((sum, gate) => sum + gate[width](), 0)) : [],
      }
    })
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
