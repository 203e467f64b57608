// The integer model as an ONNX model of QuantizeLinear and DequantizeLinear (QDQ): every stored value is quantized as it is in the .bw
// file, every layer between them computes in float. Whoever fuses a layer with the pairs around it gets integer arithmetic back; whoever
// does not gets the same numbers more slowly. docs/onnx.md says what is exact.
//
// What a layer does is read from its multipliers, not from the scales of training: a sum s of whole products becomes
// M * (2^accumulatorShift * s + bias) steps of the output, with M = multiplier * 2^(shift - 31). So its weights have the scale
// M * 2^accumulatorShift * (output's scale) / (input's scale), per channel, and its real bias is M * bias * (output's scale).
import type { IntegerAdd, IntegerAveragePool, IntegerConvolution, IntegerLayer, IntegerModel, IntegerTensor } from '@bitwright/runtime'
import { RunError } from '../errors.ts'
import { logMagnitudeEpsilon } from '../training/record.ts'
import type { FloatNetwork } from './float-network.ts'
import { OnnxGraph } from './onnx-graph.ts'
import { floatOnnxModel } from './onnx-float.ts'
import type { Exporter } from './exporter.ts'

/** Of the .bw format that the numbers come from. */
const formatVersion = 1
/** Scales that differ by less are one: as much as the fixed-point multipliers leave open. */
const sameScale = 2 ** -22
/** Stands for a factor of 0, which no scale may be. */
const noScale = 2 ** -100

const ranges = { int2: [-2, 1], int4: [-8, 7], uint8: [0, 255], int8: [-128, 127], int16: [-32768, 32767] } as const
type IntegerType = keyof typeof ranges

const fits = (type: IntegerType, least: number, most: number): boolean => least >= ranges[type][0] && most <= ranges[type][1]

/** The narrowest type for weights of this width that holds these values. */
function weightType(bits: number, weights: ArrayLike<number>): IntegerType {
  let [least, most] = [0, 0]
  for (let i = 0; i < weights.length; i++) [least, most] = [Math.min(least, weights[i]), Math.max(most, weights[i])]
  const wide: readonly IntegerType[] = bits <= 2 ? ['int2', 'int4', 'int8'] : bits <= 4 ? ['int4', 'int8'] : ['int8']
  return wide.find((type) => fits(type, least, most)) ?? 'int16'
}

export interface OnnxOptions {
  /**
   * Give the convolutions their biases, as ONNX Runtime wants them for its integer kernels: sooner, and no longer exact. It rounds those
   * biases to whole products, and its kernels for x64 processors without VNNI saturate (its setting session.x64quantprecision mends that).
   * Default: biases are added after the convolution, which then computes in float.
   */
  readonly integerConvolutions?: boolean
  /** Compute MFCC or log-mel in the graph: audio goes in. Default: features do. */
  readonly frontEnd?: boolean
}

/** A stored value in the graph: its integers, and what they mean. */
interface Stored {
  readonly name: string
  readonly type: IntegerType
  readonly zeroPoint: number
}

/** multiplier * 2^(shift - 31) */
const factor = (layer: { multiplier: Int32Array; shift: Int8Array }, index: number): number =>
  layer.multiplier[index] * 2 ** (layer.shift[index] - 31)

class Translation {
  private readonly graph = new OnnxGraph()
  private readonly model: IntegerModel
  private readonly options: OnnxOptions
  /** By index of the tensor. */
  private readonly stored: Stored[] = []
  /** Names of the real values, by tensor and scale. */
  private readonly real = new Map<string, string>()

  constructor(model: IntegerModel, options: OnnxOptions) {
    this.model = model
    this.options = options
  }

  file(): Uint8Array {
    const { model, graph } = this
    this.input()
    for (const layer of model.layers) this.layer(layer)
    const last = model.layers[model.layers.length - 1].output
    graph.logits(this.dequantize(last), model.classes.length)
    const widths = model.layers.flatMap((layer) => (layer.op === 'convolution' ? [[layer.name, layer.weightBits]] : []))
    return graph.finish(model.name, {
      'bitwright.format': `bw-${formatVersion}`,
      'bitwright.classes': JSON.stringify(model.classes),
      'bitwright.frontEnd': JSON.stringify(model.frontEnd),
      'bitwright.weightBits': JSON.stringify(Object.fromEntries(widths)),
      'bitwright.activationBits': JSON.stringify(Object.fromEntries(model.tensors.map(({ name, bits }) => [name, bits]))),
    })
  }

  private tensor(index: number): IntegerTensor {
    return this.model.tensors[index]
  }

  private input(): void {
    const { graph, model } = this
    const value = graph.frontEnd(model.frontEnd, this.options.frontEnd ?? false)
    if (model.frontEnd.kind !== 'image') {
      this.quantize(0, value)
      return
    }
    // a pixel p is stored as p - 128
    const zeroPoint = this.tensor(0).zeroPoint + 128
    if (fits('uint8', zeroPoint, zeroPoint)) this.stored[0] = { name: value, type: 'uint8', zeroPoint }
    else this.stored[0] = { name: graph.cast('pixels.wide', value, 'int16'), type: 'int16', zeroPoint }
  }

  private layer(layer: IntegerLayer): void {
    switch (layer.op) {
      case 'convolution':
        this.quantize(layer.output, layer.logOffset ? this.logMagnitude(layer, layer.logOffset) : this.convolution(layer))
        return
      case 'add':
        this.quantize(layer.output, this.add(layer))
        return
      case 'averagePool':
        this.quantize(layer.output, this.averagePool(layer))
        return
      case 'requantize':
        // limits are given even where they are the type's: readers that merge two pairs in a row would change the scale
        this.quantize(layer.output, this.dequantize(layer.input, this.rescaled(layer.name, layer, layer.output)), true)
        return
      case 'reshape': {
        const from = this.stored[layer.input]
        const name = this.graph.reshape(
          this.tensor(layer.output).name,
          from.name,
          this.tensor(layer.input).shape,
          this.tensor(layer.output).shape,
        )
        this.stored[layer.output] = { ...from, name }
        return
      }
      case 'crop': {
        const from = this.stored[layer.input]
        const [{ shape }, output] = [this.tensor(layer.input), this.tensor(layer.output)]
        this.stored[layer.output] = { ...from, name: this.graph.crop(output.name, from.name, shape[0] - output.shape[0], shape) }
        return
      }
      default:
        layer satisfies never
    }
  }

  /** Rounds a real value to the tensor's steps and limits. */
  private quantize(index: number, value: string, alwaysLimit = false): void {
    const { graph } = this
    const { name, scale, zeroPoint, min, max } = this.tensor(index)
    const type = fits('int8', Math.min(min, zeroPoint), Math.max(max, zeroPoint)) ? 'int8' : 'int16'
    const [least, most] = ranges[type]
    const limited = alwaysLimit || min > least || max < most
    // ONNX has no Clip of int16
    const clipped =
      limited && type === 'int16'
        ? graph.clip(`${name}.limited`, value, 'float', [scale * (min - zeroPoint), scale * (max - zeroPoint)])
        : value
    const quantized = graph.node('QuantizeLinear', `${name}.quantized`, [clipped, ...this.steps(name, scale, type, zeroPoint)])
    const integers = limited && type === 'int8' ? graph.clip(name, quantized, 'int8', [min, max]) : quantized
    this.stored[index] = { name: integers, type, zeroPoint }
  }

  /** Scale and zero point of a whole tensor. */
  private steps(name: string, scale: number, type: IntegerType, zeroPoint: number): [string, string] {
    return [this.graph.constant(`${name}.scale`, 'float', [], [scale]), this.graph.constant(`${name}.zeroPoint`, type, [], [zeroPoint])]
  }

  /** A stored value as a real one, with the tensor's scale or the one that the reading layer gives it. */
  private dequantize(index: number, given?: number): string {
    const { scale: own, name } = this.tensor(index)
    const scale = given === undefined || Math.abs(given - own) <= sameScale * own ? own : given
    const key = `${index} ${scale}`
    const { name: integers, type, zeroPoint } = this.stored[index]
    const existing = this.real.get(key)
    if (existing !== undefined) return existing
    const value = this.graph.node('DequantizeLinear', `${name}.real`, [integers, ...this.steps(`${name}.real`, scale, type, zeroPoint)])
    this.real.set(key, value)
    return value
  }

  /** What a step of the input is worth to a layer that only rescales. */
  private rescaled(name: string, layer: { multiplier: Int32Array; shift: Int8Array }, output: number, times = 1, index = 0): number {
    const scale = factor(layer, index) * times * this.tensor(output).scale
    if (scale > 0) return scale
    throw new RunError(`layer "${name}": its factor ${factor(layer, index)} is not above 0, which ONNX has no form for`)
  }

  private add(layer: IntegerAdd): string {
    // out = M2 * (M0 * (a << 20) + M1 * (b << 20))
    const times = 2 ** 20 * factor(layer, 2)
    const terms = layer.inputs.map((input, i) => this.dequantize(input, this.rescaled(layer.name, layer, layer.output, times, i)))
    return this.graph.node('Add', `${layer.name}.sum`, terms)
  }

  private averagePool(layer: IntegerAveragePool): string {
    const { kernelSize, stride, input, output, name } = layer
    const value = this.dequantize(input, this.rescaled(name, layer, output, kernelSize[0] * kernelSize[1]))
    return this.graph.node('AveragePool', `${name}.mean`, [value], { kernel_shape: kernelSize, strides: stride })
  }

  private convolution(layer: IntegerConvolution): string {
    const { name, bias, output, input } = layer
    const [x, y] = [this.tensor(input), this.tensor(output)]
    const factors = Array.from(bias, (_, c) => factor(layer, c))
    const unit = 2 ** (layer.accumulatorShift ?? 0)
    const scales = factors.map((real) => Math.max(noScale, (Math.abs(real) * unit * y.scale) / x.scale))
    const realBias = factors.map((real, c) => real * bias[c] * y.scale)
    const weights = this.weights(
      layer,
      scales,
      factors.map((real) => real < 0),
    )
    if (realBias.every((value) => value === 0)) return this.sums(layer, weights)
    if (this.options.integerConvolutions)
      return this.sums(layer, weights, this.graph.constant(`${name}.bias`, 'float', [bias.length], realBias))
    return this.graph.perChannel('Add', `${name}.biased`, this.sums(layer, weights), realBias)
  }

  /**
   * M * (log2Q16(|sum| + logOffset) + bias) as slope * log(|u * sum| + 1e-3) + offset: the sum's unit u, which may be any, is the one that
   * makes logOffset the epsilon of the float network.
   */
  private logMagnitude(layer: IntegerConvolution, logOffset: Uint32Array): string {
    const { name, bias, output, input } = layer
    if (logOffset.includes(0)) throw new RunError(`layer "${name}": a logarithm without an offset has no ONNX form`)
    const units = Array.from(logOffset, (offset) => logMagnitudeEpsilon / offset)
    const weights = this.weights(
      layer,
      units.map((unit) => unit / this.tensor(input).scale),
    )
    const steps = this.tensor(output).scale
    const slope = units.map((_, c) => (factor(layer, c) * steps * 2 ** 16) / Math.LN2)
    const offset = units.map((unit, c) => factor(layer, c) * steps * bias[c] - slope[c] * Math.log(unit))
    return this.graph.logMagnitude(name, this.sums(layer, weights), slope, offset)
  }

  /** The layer's weights as real ones; `negated` channels have the other sign. */
  private weights(
    layer: IntegerConvolution,
    scales: readonly number[],
    negated: readonly boolean[] = [],
  ): { name: string; type: IntegerType } {
    const { graph } = this
    const { kernelSize, name, weightBits } = layer
    const channels = scales.length
    const [taps, inputs] = [kernelSize[0] * kernelSize[1], layer.weights.length / channels / (kernelSize[0] * kernelSize[1])]
    const values = new Int16Array(layer.weights.length)
    for (let c = 0; c < channels; c++) {
      for (let tap = 0; tap < taps; tap++) {
        for (let i = 0; i < inputs; i++)
          values[(c * inputs + i) * taps + tap] = layer.weights[(c * taps + tap) * inputs + i] * (negated[c] ? -1 : 1)
      }
    }
    const type = weightType(weightBits, values)
    const inputsOfNode = [
      graph.constant(`${name}.weights`, type, [channels, inputs, ...kernelSize], values),
      graph.constant(`${name}.weights.scale`, 'float', [channels], scales),
      graph.constant(`${name}.weights.zeroPoint`, type, [channels], new Int8Array(channels)),
    ]
    return { name: graph.node('DequantizeLinear', `${name}.weights.real`, inputsOfNode, { axis: 0 }), type }
  }

  private sums(layer: IntegerConvolution, weights: { name: string }, ...bias: string[]): string {
    return this.graph.convolution(`${layer.name}.sums`, [this.dequantize(layer.input), weights.name, ...bias], layer)
  }
}

/**
 * The .onnx file of an integer model.
 * @throws RunError naming a layer that has no ONNX form: a pool, sum or rescaling by a factor that is not above 0.
 */
export function onnxModel(model: IntegerModel, options: OnnxOptions = {}): Uint8Array {
  return new Translation(model, options).file()
}

export const onnx: Exporter = {
  name: 'onnx',
  summary: 'ONNX, quantized (QDQ, opset 25)',
  takesFrontEnd: true,
  files: ({ model }, options) => [{ path: 'model.onnx', bytes: onnxModel(model, options) }],
  floatFiles: (network: FloatNetwork, options) => [{ path: 'model-float.onnx', bytes: floatOnnxModel(network, options) }],
}
