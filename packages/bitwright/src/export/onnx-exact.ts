// The integer model as an ONNX model that gives the same bits as core/: sums of whole numbers small enough for float32 to hold them, and
// everything after a sum (bias, gemmlowp's requantization, the base-2 logarithm: core/arithmetic.h) in whole numbers that float64 holds.
// (Not in 64-bit integers: ONNX Runtime 1.30 clips those wrongly beyond 32 bits.) No reader can fuse it, so it is slower than the
// quantize-dequantize form of onnx.ts; what it is for is to be sure.
import type { IntegerAdd, IntegerAttend, IntegerAveragePool, IntegerConvolution, IntegerModel } from '@bitwright/runtime'
import { RunError } from '../errors.ts'
import type { ConvolutionShape } from './onnx-graph.ts'
import { type ComputingLayer, IntegerTranslation, wholeShare } from './onnx-integer.ts'

/** Whole numbers up to here are exact in float32, whatever the order of their sum. */
const largestSum = 2 ** 24
/** 2^16 * 2^-t at the same points (core/scores.c), and octaves from which on nothing is left. */
const powerPoints = Float64Array.from({ length: 65 }, (_, i) => Math.round(65536 * 2 ** (-i / 64)))
const allOctaves = 20
/** log2Q16 at the 64 points of an octave and its end (core/log2_table.c). */
const log2Points = Float64Array.from({ length: 65 }, (_, i) => Math.round(65536 * Math.log2(1 + i / 64)))

/** A chain of nodes on whole numbers in float64, all below 2^53; each method appends to it and returns the chain's new value. */
class Whole {
  private readonly translation: ExactTranslation
  readonly name: string
  readonly value: string

  constructor(translation: ExactTranslation, name: string, value: string) {
    this.translation = translation
    this.name = name
    this.value = value
  }

  private with(op: string, ...inputs: readonly string[]): Whole {
    return new Whole(this.translation, this.name, this.translation.append(op, `${this.name}.${op}`, [this.value, ...inputs]))
  }

  /** @param operand one number, one a channel, or another chain */
  private operand(operand: Operand): string {
    return operand instanceof Whole ? operand.value : this.translation.numbers(this.name, operand)
  }

  plus = (operand: Operand): Whole => this.with('Add', this.operand(operand))
  minus = (operand: Operand): Whole => this.with('Sub', this.operand(operand))
  times = (operand: Operand): Whole => this.with('Mul', this.operand(operand))
  /** Rounded down. */
  over = (operand: Operand): Whole => this.with('Div', this.operand(operand)).with('Floor')
  clip = (least: number, most: number): Whole => this.with('Clip', this.operand([least]), this.operand([most]))
  abs = (): Whole => this.with('Abs')
  sign = (): Whole => this.with('Sign')
  /** The remainder of `over`, which is not below 0. */
  modulo = (divisor: number): Whole => this.minus(this.over([divisor]).times([divisor]))
  saturate = (): Whole => this.clip(-(2 ** 31), 2 ** 31 - 1)
  /** The entries of a table at these places. */
  lookUp = (table: ArrayLike<number>): Whole => new Whole(this.translation, this.name, this.translation.entries(this, table))

  /** floor((this * multiplier + 2^30) / 2^31), in two halves: the product may have 62 bits. */
  private highProduct(multiplier: readonly number[]): Whole {
    const upper = this.over([2 ** 16]).times(multiplier)
    const lower = this.modulo(2 ** 16).times(multiplier)
    const rest = upper
      .modulo(2 ** 15)
      .times([2 ** 16])
      .plus(lower)
      .plus([2 ** 30])
    return upper.over([2 ** 15]).plus(rest.over([2 ** 31]))
  }

  /** round(value * multiplier * 2^(shift - 31)) with gemmlowp's two roundings; one multiplier and shift, or one a channel. */
  requantize(multiplier: readonly number[], shift: readonly number[]): Whole {
    const left = shift.some((each) => each > 0) ? this.times(shift.map((each) => 2 ** Math.max(0, each))).saturate() : this
    // saturated for the one product that is too large, -2^31 * -2^31
    const high = left.highProduct(multiplier).saturate()
    if (shift.every((each) => each >= 0)) return high
    const divisors = shift.map((each) => 2 ** Math.max(0, -each))
    const halves = divisors.map((divisor) => Math.floor(divisor / 2))
    return high.abs().plus(halves).over(divisors).times(high.sign())
  }

  /** The largest of each row of a matrix. */
  largest = (): Whole => this.with('ReduceMax', this.translation.lastAxis(this.name))
  total = (): Whole => this.with('ReduceSum', this.translation.lastAxis(this.name))

  /** 2^16 * exp(-scale * value) as core/softmax.h interpolates it. */
  power(scale: number): Whole {
    const [bits] = new Uint32Array(Float32Array.of(scale).buffer)
    const exponent = Math.max(1, (bits >>> 23) & 255)
    const fraction = BigInt((bits & 0x7fffff) + ((bits >>> 23) & 255 ? 0x800000 : 0))
    const factor = (fraction * 3098164009n) >> 24n // log2(e) * 2^31
    const down = 141 - exponent
    const end = allOctaves * 65536
    // from here on nothing is left; products of what is below are exact in two halves
    const most = down <= 0 || factor === 0n ? 1n : ((BigInt(end) << BigInt(down)) + factor - 1n) / factor
    const near = factor === 0n ? this.times([0]) : this.clip(0, Number(most < 2n ** 31n ? most : 2n ** 31n))
    const [high, low] = [factor >> 16n, factor & 0xffffn].map(Number)
    const t = (
      down <= 0
        ? near.times([end])
        : down < 16
          ? near.times([Number(factor)]).over([2 ** down])
          : near
              .times([high])
              .plus(near.times([low]).over([65536]))
              .over([2 ** (down - 16)])
    ).clip(0, end)
    const index = t.modulo(65536).over([1024])
    const point = index.lookUp(powerPoints)
    const value = point.minus(
      point
        .minus(index.plus([1]).lookUp(powerPoints))
        .times(t.modulo(1024))
        .plus([512])
        .over([1024]),
    )
    const halves = Float64Array.from({ length: allOctaves + 1 }, (_, i) => 2 ** -i)
    return value
      .times(t.over([65536]).lookUp(halves))
      .plus([0.5])
      .over([1])
  }

  /** log2(value) * 2^16 as core/arithmetic.h interpolates it; 0 counts as 1. */
  log2(): Whole {
    const value = this.clip(1, 2 ** 32)
    const exponent = this.translation.octaves(value)
    const powers = Array.from({ length: 32 }, (_, i) => 2 ** (31 - i))
    const normal = value.times(exponent.lookUp(powers))
    const index = normal.over([2 ** 25]).minus([64])
    const fraction = normal.over([2 ** 9]).modulo(2 ** 16)
    const low = index.lookUp(log2Points)
    const rise = index.plus([1]).lookUp(log2Points).minus(low)
    const curve = fraction.times(fraction.times([-1]).plus([65536])).over([65536])
    const bulge = rise.times(rise).over([256]).times(curve).over([256]).times([355]).over([1024])
    const within = rise.times(fraction).plus(bulge).plus([0x8000]).over([65536])
    return exponent.times([65536]).plus(low).plus(within)
  }
}
type Operand = Whole | readonly number[]

class ExactTranslation extends IntegerTranslation {
  append(op: string, name: string, inputs: readonly string[]): string {
    return this.graph.node(op, name, inputs)
  }

  /** A constant for all of a map, or for each of its channels. */
  numbers(name: string, values: ArrayLike<number>): string {
    return this.graph.constant(`${name}.numbers`, 'double', values.length === 1 ? [] : [1, values.length, 1, 1], values)
  }

  lastAxis(name: string): string {
    return this.graph.constant(`${name}.axis`, 'int64', [1], [2])
  }

  entries({ name, value }: Whole, table: ArrayLike<number>): string {
    const { graph } = this
    return graph.node('Gather', `${name}.entries`, [
      graph.constant(`${name}.table`, 'double', [table.length], table),
      graph.cast(`${name}.places`, value, 'int64'),
    ])
  }

  /** floor(log2(value)), 0..31 */
  octaves({ name, value }: Whole): Whole {
    const { graph } = this
    const powers = Array.from({ length: 31 }, (_, i) => 2 ** (i + 1))
    const last = graph.constant(`${name}.axis`, 'int64', [1], [4])
    const spread = graph.node('Unsqueeze', `${name}.spread`, [value, last])
    const reached = graph.node('GreaterOrEqual', `${name}.reached`, [spread, graph.constant(`${name}.powers`, 'double', [31], powers)])
    const counted = graph.node('ReduceSum', `${name}.octaves`, [graph.cast(`${name}.counts`, reached, 'double'), last], { keepdims: 0 })
    return new Whole(this, name, counted)
  }

  protected compute(layer: ComputingLayer): void {
    switch (layer.op) {
      case 'convolution':
        this.store(layer.output, this.convolution(layer))
        return
      case 'add':
        this.store(layer.output, this.add(layer))
        return
      case 'attend':
        this.store(layer.output, this.attention(layer))
        return
      case 'averagePool':
        this.store(layer.output, this.averagePool(layer))
        return
      case 'requantize':
        this.store(layer.output, this.requantized(layer, this.whole(layer.name, this.dequantize(layer.input, 1))))
        return
      default:
        layer satisfies never
    }
  }

  private whole(name: string, real: string): Whole {
    return new Whole(this, name, this.graph.cast(`${name}.whole`, real, 'double'))
  }

  private requantized({ multiplier, shift }: { multiplier: Int32Array; shift: Int8Array }, value: Whole): Whole {
    return value.requantize([...multiplier], [...shift])
  }

  /** Puts a result without its zero point into the tensor. */
  private store(index: number, value: Whole): void {
    const tensor = this.tensor(index)
    const { name, zeroPoint, min, max } = tensor
    const type = this.typeOf(tensor)
    this.stored[index] = { name: this.graph.cast(name, value.plus([zeroPoint]).clip(min, max).value, type), type, zeroPoint }
  }

  private convolution(layer: IntegerConvolution): Whole {
    const { name, bias, logOffset, weights } = layer
    const perChannel = weights.length / bias.length
    const magnitudes = Array.from(bias, (_, c) =>
      weights.subarray(c * perChannel, (c + 1) * perChannel).reduce((sum, w) => sum + Math.abs(w), 0),
    )
    const ones = Array.from(bias, () => 1)
    const sum = this.sums(name, layer.input, this.weights(layer, ones).name, Math.max(...magnitudes), layer)
    const value = logOffset
      ? sum
          .abs()
          .plus([...logOffset])
          .log2()
      : sum.times([2 ** (layer.accumulatorShift ?? 0)])
    return this.requantized(layer, value.plus([...bias]))
  }

  /**
   * Sums of products, exact: an input so wide that float32 could not hold them goes in by parts.
   * @param magnitude largest sum of the absolute weights of a channel
   */
  private sums(name: string, input: number, weights: string, magnitude: number, shape: ConvolutionShape): Whole {
    const { graph } = this
    const { min, max, zeroPoint } = this.tensor(input)
    const part = (value: string) => this.whole(name, graph.convolution(`${name}.sums`, [value, weights], shape))
    let rest = this.dequantize(input, 1)
    let reach = Math.max(max - zeroPoint, zeroPoint - min)
    const bits = Math.floor(Math.log2(largestSum / Math.max(1, magnitude)))
    let sum: Whole | undefined
    for (let unit = 1; ; unit *= 2 ** bits) {
      const isLast = reach * magnitude <= largestSum
      if (!isLast && bits < 1) throw new RunError(`layer "${name}": its sums are too large for float32`)
      const [low, high] = isLast ? [rest, rest] : this.split(name, rest, 2 ** bits)
      const term = unit === 1 ? part(low) : part(low).times([unit])
      sum = sum ? sum.plus(term) : term
      if (isLast) return sum
      rest = high
      reach = Math.ceil(reach / 2 ** bits)
    }
  }

  /** Whole numbers in float as low + unit * high, 0 <= low < unit. */
  private split(name: string, value: string, unit: number): [low: string, high: string] {
    const { graph } = this
    const scale = graph.constant(`${name}.unit`, 'float', [], [unit])
    const high = graph.node('Floor', `${name}.high`, [graph.node('Div', `${name}.shifted`, [value, scale])])
    return [graph.node('Sub', `${name}.low`, [value, graph.node('Mul', `${name}.back`, [high, scale])]), high]
  }

  private averagePool(layer: IntegerAveragePool): Whole {
    const { name, input, kernelSize, stride } = layer
    const channels = this.tensor(input).shape[2]
    const window = kernelSize[0] * kernelSize[1]
    const ones = this.graph.constant(`${name}.ones`, 'float', [channels, 1, ...kernelSize], new Uint8Array(channels * window).fill(1))
    const shape = { kernelSize, stride, padding: [0, 0, 0, 0], groups: channels } as const
    return this.requantized(layer, this.sums(name, input, ones, window, shape))
  }

  private attention(layer: IntegerAttend): Whole {
    const { name, inputs, output } = layer
    const [query, key] = inputs.map((input) => this.tensor(input))
    const scale = Math.fround(Math.fround(query.scale) * Math.fround(key.scale))
    const maps = inputs.map((input) => this.whole(name, this.dequantize(input, 1)).value)
    const sums = this.graph.attention(name, maps, query.shape, this.tensor(output).shape[2], (value) => {
      const scores = new Whole(this, name, value)
      const parts = scores.largest().minus(scores).power(scale)
      const sum = parts.total()
      return parts
        .times([2 * wholeShare])
        .plus(sum)
        .over(sum.times([2])).value
    })
    return this.requantized(layer, new Whole(this, name, sums))
  }

  private add({ name, inputs, multiplier, shift }: IntegerAdd): Whole {
    const [a, b] = inputs.map((input, i) =>
      this.whole(name, this.dequantize(input, 1))
        .times([2 ** 20])
        .requantize([multiplier[i]], [shift[i]]),
    )
    return a.plus(b).saturate().requantize([multiplier[2]], [shift[2]])
  }
}

/**
 * The .onnx file of an integer model whose logits have the core's bits.
 * @throws RunError naming a layer whose sums no float32 can hold.
 */
export function exactOnnxModel(model: IntegerModel, frontEnd = false): Uint8Array {
  return new ExactTranslation(model, frontEnd).file()
}
