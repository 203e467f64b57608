// The tape: ops append commands to a program, their gradients append the reverse ones. It is plain data: a fixed network is recorded
// once and replayed, a sampled one recorded anew; one call of the backend executes it all.
//
// A value may be pending: its stored map still waits for normalisation, activation and fake-quantization, which every consumer applies
// while loading it and undoes while writing its gradient. The gradient kept for a map is therefore the one of the normalisation's output.
import { type CommandName, command, float, none } from './commands.ts'
import { align, type Engine } from './engine.ts'

/** Parts of a program in the order they run. `generate` makes weights from other parameters (SincConv), `pack` lays weights out. */
export const segments = ['generate', 'pack', 'forward', 'backward', 'finish', 'update'] as const
export type Segment = (typeof segments)[number]

/** Scale and offset per channel that wait to be applied: batch norm, or a bias (scale 1). */
export interface Normalization {
  /** Heap offset of the scales; the offsets follow at `+ stride`. */
  readonly arrays: number
  /** Appends the command that turns the backward sums into parameter gradients; returns the coefficients' heap offset or none. */
  readonly backward: (sums: number) => number
}

/** A map as stored: [batch][height][width][stride], rows `rowStride` floats apart. */
export interface Stored {
  readonly offset: number
  readonly batch: number
  readonly height: number
  readonly width: number
  readonly channels: number
  /** Floats per pixel: channels padded to the vector width, or 1. */
  readonly stride: number
  readonly rowStride: number
  readonly needsGradient: boolean
  /** Another view of this map; gradients are kept there. */
  readonly aliasOf?: Stored
  normalization?: Normalization
  /** Where in the forward segment the producing command keeps the offset for its batch-norm sums. */
  sumsArgument?: number
  gradient?: number
  gradientSums?: number
  keepGradient?: boolean
}

/** Slot of an activation quantizer in the heap: [step, 1 / step, lowest level, highest level], then its three gradient sums. */
export interface QuantizerSlot {
  readonly offset: number
  /** Heap offset of [inside, below, above], written by every backward run. */
  readonly sums: number
}

export interface Value {
  readonly stored: Stored
  readonly low: number
  readonly high: number
  readonly quantizer?: QuantizerSlot
}

/** Weights of a layer: where they are read and where their gradient goes (none: not wanted). */
export interface WeightReference {
  readonly offset: number
  readonly gradient: number
}

export interface TapeOptions {
  readonly batch: number
  /** `train`: batch statistics and gradients; `recalibrate`: batch statistics only; `evaluate`: running statistics only. */
  readonly mode: 'train' | 'recalibrate' | 'evaluate'
}

export class Tape {
  readonly engine: Engine
  readonly batch: number
  readonly mode: TapeOptions['mode']
  private readonly words: Record<Segment, number[]> = { generate: [], pack: [], forward: [], backward: [], finish: [], update: [] }
  private readonly owned: number[] = []
  private readonly pool: { offset: number; size: number }[] = []
  private readonly reverse: (() => void)[] = []
  private readonly slotsSeen = new Set<number>()
  private scratch = 0
  private packs = 0
  private sharedSums = 0
  private sharedSumsSize = 0
  private sharedWeights = 0
  private sharedWeightsSize = 0

  constructor(engine: Engine, options: TapeOptions) {
    this.engine = engine
    this.batch = options.batch
    this.mode = options.mode
  }

  get chunks(): number {
    return this.engine.chunks
  }

  get training(): boolean {
    return this.mode === 'train'
  }

  /** Appends a command and returns the position of its first argument within the segment. */
  emit(segment: Segment, name: CommandName, args: readonly number[], scratch = 0, barrier = true): number {
    const words = this.words[segment]
    if (scratch > this.scratch) this.scratch = scratch
    const at = words.length + 2
    command(words, name, args, barrier)
    return at
  }

  patch(segment: Segment, at: number, value: number): void {
    this.words[segment][at] = value
  }

  /** Number of the next packing command: thread `number % threads` executes it. */
  nextPack(): number {
    return this.packs++
  }

  /** A range of the heap that lives as long as the tape. */
  allocate(count: number): number {
    const offset = this.engine.heap.allocate(count)
    this.owned.push(offset)
    return offset
  }

  /** A range that goes back to the tape's own pool when `recycle` is called, for buffers whose life ends inside the program. */
  borrow(count: number): number {
    const size = align(count)
    let best = -1
    this.pool.forEach((block, i) => {
      if (block.size >= size && (best < 0 || block.size < this.pool[best].size)) best = i
    })
    if (best >= 0 && this.pool[best].size <= size * 2) {
      const [block] = this.pool.splice(best, 1)
      this.sizes.set(block.offset, block.size)
      return block.offset
    }
    const offset = this.allocate(size)
    this.sizes.set(offset, size)
    return offset
  }
  private readonly sizes = new Map<number, number>()

  recycle(offset: number): void {
    this.pool.push({ offset, size: this.sizes.get(offset)! })
  }

  /** Room for sums that the very next command consumes; one for all layers. */
  transientSums(count: number): number {
    if (count > this.sharedSumsSize) {
      this.sharedSumsSize = count
      this.sharedSums = this.allocate(count)
    }
    return this.sharedSums
  }

  transientWeights(count: number): number {
    if (count > this.sharedWeightsSize) {
      this.sharedWeightsSize = count
      this.sharedWeights = this.allocate(count)
    }
    return this.sharedWeights
  }

  /** A new map in memory. */
  store(
    height: number,
    width: number,
    channels: number,
    options: { needsGradient: boolean; stride?: number; rowStride?: number } = { needsGradient: true },
  ): Stored {
    const stride = options.stride ?? this.engine.padded(channels)
    const rowStride = options.rowStride ?? width * stride
    const offset = this.allocate(this.batch * height * rowStride)
    return { offset, batch: this.batch, height, width, channels, stride, rowStride, needsGradient: options.needsGradient && this.training }
  }

  value(stored: Stored): Value {
    return { stored, low: -Infinity, high: Infinity }
  }

  /** An input map, filled by the caller: one channel is stored densely, several padded to the vector width (with zeros, already there). */
  input(height: number, width: number, channels: number, needsGradient = false): Value {
    const stored = this.store(height, width, channels, { needsGradient, stride: channels === 1 ? 1 : undefined })
    this.engine.floats(stored.offset, this.batch * height * stored.rowStride).fill(0)
    return this.value(stored)
  }

  /** Registers what `stored`'s producer does backward; called in reverse order of recording. */
  onBackward(append: () => void): void {
    if (this.training) this.reverse.push(append)
  }

  /** The arguments of a value's pending transform: scales, offsets, low, high, quantizer slot. */
  transform(value: Value): number[] {
    const { normalization, stride } = value.stored
    return [
      normalization ? normalization.arrays : none,
      normalization ? normalization.arrays + stride : none,
      float(value.low),
      float(value.high),
      value.quantizer ? value.quantizer.offset : none,
    ]
  }

  /** True when nothing waits to be applied. */
  settled(value: Value): boolean {
    return !value.stored.normalization && value.low === -Infinity && value.high === Infinity && !value.quantizer
  }

  /** Where a consumer writes the gradient of what it read: [gradient, accumulate, sums, quantizer sums]; all none if not wanted. */
  gradientTarget(value: Value): [number, number, number, number] {
    const base = value.stored.aliasOf ?? value.stored
    if (!base.needsGradient) return [none, 0, none, none]
    const accumulate = base.gradient === undefined ? 0 : 1
    if (!accumulate) {
      base.gradient = this.borrow(base.batch * base.height * base.rowStride)
      if (base.normalization) base.gradientSums = this.borrow(this.chunks * 2 * base.stride)
    }
    const quantizerSums = value.quantizer ? this.transientSums(this.chunks * 3 * this.engine.lanes) : none
    return [base.gradient!, accumulate, base.gradientSums ?? none, quantizerSums]
  }

  /** After a consumer's backward command: adds its quantizer sums into the slot's. `from`: where they are, if not where the target says. */
  collectQuantizerSums(value: Value, from = this.transientSums(0)): void {
    if (!value.quantizer || !(value.stored.aliasOf ?? value.stored).needsGradient) return
    const { sums } = value.quantizer
    this.emit('backward', 'reduceLanes', [from, this.chunks, 3, sums, this.slotsSeen.has(sums) ? 1 : 0])
    this.slotsSeen.add(sums)
  }

  /** At the start of a producer's backward: [gradient, coefficients] of its output, or undefined when nobody used it. */
  outputGradient(stored: Stored): [number, number] | undefined {
    if (stored.gradient === undefined) return undefined
    const coefficients = stored.normalization ? stored.normalization.backward(stored.gradientSums!) : none
    return [stored.gradient, coefficients]
  }

  /** After a producer's backward: its output's gradient may be overwritten. */
  releaseGradient(stored: Stored, coefficients = none): void {
    if (coefficients !== none) this.recycle(coefficients)
    if (stored.keepGradient || stored.gradient === undefined) return
    this.recycle(stored.gradient)
    if (stored.gradientSums !== undefined) this.recycle(stored.gradientSums)
  }

  /** Appends all gradients; call once after the loss. */
  backward(): void {
    for (let i = this.reverse.length - 1; i >= 0; i--) this.reverse[i]()
    this.reverse.length = 0
  }

  /** The program made of these segments, with the scratch memory its kernels ask for. */
  program(parts: readonly Segment[] = segments, extra: readonly number[] = []): Int32Array {
    const stride = align(this.scratch + 64)
    const pack = this.words.pack
    if (pack.length) {
      // packs do not wait for each other; all wait once after the last
      let last = 0
      for (let at = 0; at < pack.length; at += pack[at + 1]) last = at
      pack[last] &= 0xffff
    }
    if (this.scratchOffset === none || this.scratchSize < stride) {
      this.scratchOffset = this.allocate(stride * this.engine.backend.threads)
      this.scratchSize = stride
    }
    return Int32Array.from([this.scratchOffset, this.scratchSize, ...parts.flatMap((part) => this.words[part]), ...extra])
  }
  private scratchOffset = none
  private scratchSize = 0

  dispose(): void {
    for (const offset of this.owned) this.engine.heap.release(offset)
    this.owned.length = 0
  }
}
