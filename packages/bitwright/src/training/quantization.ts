// Quantization-aware training of one network: a weight quantizer per layer, an activation quantizer per stored value (and per layer
// that narrows a stream for itself), their places on the heap, and what each does in a step.
import { type Engine, none, type ParameterStore, type QuantizerSlot, type WeightReference } from '@bitwright/engine'
import { consumers, inputKeys, isMultiplying, parameterPrefix, weightedNodes } from '../network/graph.ts'
import type { Network, WeightedNetworkNode } from '../network/network.ts'
import { parameterShapes } from '../network/parameters.ts'
import { inferShapes } from '../network/shapes.ts'
import { type LayerInput, storageOf } from '../network/storage.ts'
import {
  type ActivationQuantizer,
  averageBits,
  averageBitsPenalty,
  type Penalty,
  sizePenalty,
  TrainedWidth,
  type WeightQuantizer,
  type WidthItem,
} from '../quantizers/index.ts'
import { LearnedAdam } from './learned-adam.ts'
import { meetAverage } from './meet-average.ts'
import { activationQuantizer, type QuantizationOptions, startActivationBits, weightQuantizer, widthParameters } from './quantizer-choice.ts'
import type { Quantized, WeightSources } from './record.ts'

/** Weights are pressed harder than activations, whose last bits cost more accuracy. Ours; the paper presses both alike. */
const weightPressure = 3
/** Strength of the size penalty, a kilobyte squared (arXiv 1905.11452). */
const sizeStrength = 0.1

interface WeightEntry {
  readonly node: WeightedNetworkNode
  readonly quantizer: WeightQuantizer
  readonly count: number
  /** Numbers that the model file holds: the weights, or two cut-offs a filter. */
  readonly numbers: number
  readonly quantized: number
  readonly gradient: number
}
interface ActivationEntry {
  readonly quantizer: ActivationQuantizer
  readonly slot: QuantizerSlot
  /** Counts towards the average: the input of a layer's multipliers. */
  readonly multiplied: boolean
}
const widthOf = (quantizer: ActivationQuantizer): WidthItem => ({ bits: quantizer.bits(), count: quantizer.elements })
const storedWidth = ({ quantizer, numbers }: WeightEntry): WidthItem => ({ bits: quantizer.sizeBits() / numbers, count: numbers })

export class Quantization implements Quantized {
  readonly network: Network
  private readonly engine: Engine
  private readonly options: QuantizationOptions
  private readonly weightEntries = new Map<string, WeightEntry>()
  private readonly valueEntries = new Map<string, ActivationEntry>()
  private readonly narrowedEntries = new Map<string, ActivationEntry>()
  private readonly adam: LearnedAdam
  private readonly owned: number[] = []
  /** Trained widths stand still once frozen; scales go on learning. */
  private frozen = false

  /** `network` must carry bits (withBits) as far as they are fixed; layers whose bits are trained start from 8. */
  constructor(store: ParameterStore, network: Network, options: QuantizationOptions) {
    const { engine } = store
    this.engine = engine
    this.network = network
    this.options = options
    const shapes = inferShapes(network)
    const elements = (id: string) => shapes.get(id)!.reduce((product, length) => product * length, 1)
    const storage = storageOf(network)
    const last = network.nodes.at(-1)!
    const sizes = new Map(
      parameterShapes(network)
        .filter(({ kind }) => kind === 'weight')
        .map(({ name, shape }) => [name, shape.reduce((a, b) => a * b, 1)]),
    )

    for (const node of weightedNodes(network)) {
      const count =
        node.op === 'sinc' ? node.kernelSize[0] * node.kernelSize[1] * node.channels : sizes.get(`${parameterPrefix(node)}.weight`)!
      const quantizer = weightQuantizer(node, count, store, options)
      this.weightEntries.set(node.id, {
        node,
        quantizer,
        count,
        numbers: node.op === 'sinc' ? 2 * node.channels : count,
        quantized: this.allocate(count),
        gradient: this.allocate(count),
      })
    }
    const readDirectly = new Set([...storage.inputs.values()].filter(({ narrowed }) => !narrowed).map(({ value }) => value))
    const widths = options.activationBits === 'trained' ? trainedWidths(network) : undefined
    const trainable = widths && trainableValues(network, storage.inputs)
    for (const [id, { bits, signed, scale }] of storage.values) {
      if (scale !== undefined || id === last.id) continue
      const reader = trainable?.get(id)
      const width = reader === undefined ? undefined : widths?.get(reader)
      const entry = this.activation({ bits, signed, elements: elements(id) }, readDirectly.has(id), width)
      this.valueEntries.set(id, entry)
    }
    for (const [key, { value, bits, signed, narrowed }] of storage.inputs) {
      if (narrowed) this.narrowedEntries.set(key, this.activation({ bits, signed, elements: elements(value) }, true, widths?.get(key)))
    }
    const quantizers = this.quantizers()
    this.adam = new LearnedAdam(
      [...new Set(quantizers.flatMap((quantizer) => [...quantizer.parameters()]))],
      new Map(quantizers.flatMap(widthParameters)),
    )
  }

  private activation(
    options: { bits: number; signed: boolean; elements: number },
    multiplied: boolean,
    width?: TrainedWidth,
  ): ActivationEntry {
    return { quantizer: activationQuantizer(options, width), slot: { offset: this.allocate(4), sums: this.allocate(3) }, multiplied }
  }

  private allocate(count: number): number {
    const offset = this.engine.heap.allocate(count)
    this.owned.push(offset)
    this.engine.floats(offset, count).fill(0)
    return offset
  }

  /** All quantizers in a fixed order. */
  private quantizers(): (WeightQuantizer | ActivationQuantizer)[] {
    return [
      ...[...this.weightEntries.values()].map(({ quantizer }) => quantizer),
      ...this.activationEntries().map(({ quantizer }) => quantizer),
    ]
  }

  private activationEntries(): ActivationEntry[] {
    return [...this.valueEntries.values(), ...this.narrowedEntries.values()]
  }

  private multipliedEntries(): ActivationEntry[] {
    return this.activationEntries().filter(({ multiplied }) => multiplied)
  }

  // --- what the recorder asks

  weights(node: WeightedNetworkNode, source: WeightReference): WeightReference {
    const entry = this.weightEntries.get(node.id)!
    return { offset: entry.quantized, gradient: source.gradient === none ? none : entry.gradient }
  }

  value(id: string): QuantizerSlot | undefined {
    return this.valueEntries.get(id)?.slot
  }

  narrowed(key: string): QuantizerSlot | undefined {
    return this.narrowedEntries.get(key)?.slot
  }

  weightQuantizer(id: string): WeightQuantizer {
    return this.weightEntries.get(id)!.quantizer
  }

  /** By id of the value, or, of a layer that narrows its input, by what it multiplies. */
  activationQuantizer(id: string, narrowed = false): ActivationQuantizer | undefined {
    return (narrowed ? this.narrowedEntries : this.valueEntries).get(id)?.quantizer
  }

  /** Every activation quantizer with the id of the value that it rounds. */
  rounded(): { quantizer: ActivationQuantizer; value: string }[] {
    return this.network.nodes.flatMap((node) => {
      const own = this.valueEntries.get(node.id)
      const narrowed = isMultiplying(node) ? inputKeys(node).map((key) => this.narrowedEntries.get(key)) : []
      return [
        ...(own ? [{ quantizer: own.quantizer, value: node.id }] : []),
        ...narrowed.flatMap((entry, i) => (entry ? [{ quantizer: entry.quantizer, value: node.inputs[i] }] : [])),
      ]
    })
  }

  // --- the life of a step

  /** Starts the weight quantizers from a recorded network's weights as they are on the heap (after `generate`). */
  initializeWeights(sources: WeightSources): void {
    for (const [id, { quantizer, count }] of this.weightEntries) quantizer.initialize(this.engine.floats(sources.get(id)!.offset, count))
  }

  /** Before the kernels: quantized weights and quantizer slots on the heap. */
  prepare(sources: WeightSources): void {
    for (const [id, { quantizer, count, quantized }] of this.weightEntries) {
      quantizer.forward(this.engine.floats(sources.get(id)!.offset, count), this.engine.floats(quantized, count))
    }
    for (const { quantizer, slot } of this.activationEntries()) quantizer.writeSlot(this.engine.backend.heap, slot.offset)
  }

  /**
   * After the kernels: gradients of the float weights, and one Adam step on everything the quantizers have learned.
   * @param rateFactor of the schedule, 0..1
   * @param widthStep bits that a width moves in one step at most, before the factor
   */
  update(sources: WeightSources, rateFactor: number, widthStep: number): void {
    const { engine } = this
    for (const [id, { quantizer, count, gradient }] of this.weightEntries) {
      const source = sources.get(id)!
      const dWeights = engine.floats(source.gradient, count)
      dWeights.fill(0)
      quantizer.backward(engine.floats(source.offset, count), engine.floats(gradient, count), dWeights)
    }
    for (const { quantizer, slot } of this.activationEntries()) {
      const [inside, low, high] = engine.floats(slot.sums, 3)
      quantizer.backward(inside, low, high)
    }
    const strength = this.options.penalty ?? 0.08
    const { weightBytes, averageBits: target = 3 } = this.options
    const weights = [...this.weightEntries.values()].map((entry) => ({ quantizer: entry.quantizer, item: storedWidth(entry) }))
    const activations = this.multipliedEntries().map(({ quantizer }) => ({ quantizer, item: widthOf(quantizer) }))
    for (const group of [weights, activations]) {
      const items = group.map(({ item }) => item)
      const penalty: Penalty =
        group === activations
          ? averageBitsPenalty(items, strength, target)
          : weightBytes === undefined
            ? averageBitsPenalty(items, weightPressure * strength, target)
            : sizePenalty(items, weightBytes, sizeStrength)
      group.forEach(({ quantizer }, i) => quantizer.penaltyGradient(penalty.dBits[i]))
    }
    this.adam.step((this.options.learningRate ?? 1e-3) * rateFactor, widthStep * rateFactor, this.frozen)
    for (const quantizer of this.quantizers()) quantizer.constrain()
    // a layer that narrows a stream for itself stays narrower than the stream
    for (const { quantizer } of this.narrowedEntries.values()) {
      if (quantizer.bits() <= startActivationBits) continue
      const offset = quantizer.parameters().at(-1)!.values
      offset[0] = Math.sign(offset[0]) * (startActivationBits - 2)
    }
  }

  /** From now on widths stay what they are; first, where an average is still above what it is pressed to, those that fall next do so. */
  freezeBits(): void {
    if (this.frozen) return
    this.frozen = true
    const { averageBits: target = 3, weightBytes } = this.options
    if (target === 0) return
    if (weightBytes === undefined) {
      const weights = [...this.weightEntries.values()]
      meetAverage(
        weights.map((entry) => ({ quantizer: entry.quantizer, width: () => storedWidth(entry) })),
        target,
      )
    }
    meetAverage(
      this.multipliedEntries().map(({ quantizer }) => ({ quantizer, width: () => widthOf(quantizer) })),
      target,
    )
  }

  averages(): { weights: number; activations: number } {
    const weights = [...this.weightEntries.values()].map(storedWidth)
    const activations = this.multipliedEntries().map(({ quantizer }) => widthOf(quantizer))
    return { weights: averageBits(weights), activations: averageBits(activations) }
  }

  /** The network with the widths as they are now. */
  decided(): Network {
    const storage = storageOf(this.network)
    return {
      ...this.network,
      nodes: this.network.nodes.map((node) => {
        if (!isMultiplying(node)) return node
        // the inputs of one layer have one width
        const [key] = inputKeys(node)
        const input = storage.inputs.get(key)!
        const activation = this.narrowedEntries.get(key) ?? this.valueEntries.get(input.value)
        const activationBits = activation?.quantizer.bits() ?? input.bits
        return node.op === 'attend' || node.op === 'aggregate'
          ? { ...node, activationBits }
          : { ...node, weightBits: this.weightQuantizer(node.id).bits(), activationBits }
      }),
    }
  }

  /** Everything a resumed run needs. */
  state(): number[][] {
    return [[this.adam.updates, this.frozen ? 1 : 0], ...this.quantizers().map((quantizer) => [...quantizer.state()]), ...this.adam.state()]
  }

  restore(state: readonly (readonly number[])[]): void {
    const [[updates, frozen], ...rest] = state
    this.frozen = frozen === 1
    const quantizers = this.quantizers()
    quantizers.forEach((quantizer, i) => quantizer.restore(Float32Array.from(rest[i])))
    this.adam.restore(updates, rest.slice(quantizers.length))
  }

  dispose(): void {
    for (const offset of this.owned) this.engine.heap.release(offset)
    this.owned.length = 0
  }
}

/** The width of each layer's inputs, one for all of them, by what the layer multiplies. */
function trainedWidths(network: Network): Map<string, TrainedWidth> {
  return new Map(
    network.nodes.filter(isMultiplying).flatMap((node) => {
      const width = new TrainedWidth(startActivationBits)
      return inputKeys(node).map((key) => [key, width] as const)
    }),
  )
}

/** The values whose width is trained, with what their reader calls them: exactly one layer that multiplies reads them and nothing else does. */
function trainableValues(network: Network, inputs: ReadonlyMap<string, LayerInput>): Map<string, string> {
  const readers = consumers(network)
  const isOwn = (id: string) => readers.get(id)!.length === 1 && isMultiplying(readers.get(id)![0]) && network.nodes[0].id !== id
  return new Map([...inputs].flatMap(([key, { value, narrowed }]) => (!narrowed && isOwn(value) ? [[value, key] as const] : [])))
}
