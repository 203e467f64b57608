// The integer model as an ONNX model of QuantizeLinear and DequantizeLinear (QDQ): every stored value is quantized as it is in the .bw
// file, every layer between them computes in float. Whoever fuses a layer with the pairs around it gets integer arithmetic back; whoever
// does not gets the same numbers more slowly. docs/onnx.md says what is exact.
//
// What a layer does is read from its multipliers, not from the scales of training: a sum s of whole products becomes
// M * (2^accumulatorShift * s + bias) steps of the output, with M = multiplier * 2^(shift - 31). So its weights have the scale
// M * 2^accumulatorShift * (output's scale) / (input's scale), per channel, and its real bias is M * bias * (output's scale).
import type { IntegerAdd, IntegerAttend, IntegerAveragePool, IntegerConvolution, IntegerModel } from '@bitwright/runtime'
import { RunError } from '../errors.ts'
import { logMagnitudeEpsilon } from '../training/record.ts'
import type { FloatNetwork } from './float-network.ts'
import { exactOnnxModel } from './onnx-exact.ts'
import { floatOnnxModel } from './onnx-float.ts'
import { type ComputingLayer, IntegerTranslation, wholeShare } from './onnx-integer.ts'
import type { Exporter } from './exporter.ts'

/** Stands for a factor of 0, which no scale may be. */
const noScale = 2 ** -100

export interface OnnxOptions {
  /**
   * Give the convolutions their biases, as ONNX Runtime wants them for its integer kernels: sooner, and no longer exact. It rounds those
   * biases to whole products, and its kernels for x64 processors without VNNI saturate (its setting session.x64quantprecision mends that).
   * Default: biases are added after the convolution, which then computes in float.
   */
  readonly integerConvolutions?: boolean
  /** The core's bits, in a form that no reader can fuse (onnx-exact.ts). Default: QuantizeLinear and DequantizeLinear. */
  readonly exact?: boolean
  /** Compute MFCC or log-mel in the graph: audio goes in. Default: features do. */
  readonly frontEnd?: boolean
}

/** multiplier * 2^(shift - 31) */
const factor = (layer: { multiplier: Int32Array; shift: Int8Array }, index: number): number =>
  layer.multiplier[index] * 2 ** (layer.shift[index] - 31)

class QdqTranslation extends IntegerTranslation {
  private readonly options: OnnxOptions

  constructor(model: IntegerModel, options: OnnxOptions) {
    super(model, options.frontEnd ?? false)
    this.options = options
  }

  protected compute(layer: ComputingLayer): void {
    switch (layer.op) {
      case 'convolution':
        this.quantize(layer.output, layer.logOffset ? this.logMagnitude(layer, layer.logOffset) : this.convolution(layer))
        return
      case 'add':
        this.quantize(layer.output, this.add(layer))
        return
      case 'attend':
        this.quantize(layer.output, this.attention(layer))
        return
      case 'averagePool':
        this.quantize(layer.output, this.averagePool(layer))
        return
      case 'requantize':
        // limits are given even where they are the type's: readers that merge two pairs in a row would change the scale
        this.quantize(layer.output, this.dequantize(layer.input, this.rescaled(layer.name, layer, layer.output)), true)
        return
      default:
        layer satisfies never
    }
  }

  /** What a step of the input is worth to a layer that only rescales. */
  private rescaled(name: string, layer: { multiplier: Int32Array; shift: Int8Array }, output: number, times = 1): number {
    const scale = factor(layer, 0) * times * this.tensor(output).scale
    if (scale > 0) return scale
    throw new RunError(`layer "${name}": its factor ${factor(layer, 0)} is not above 0, which ONNX has no form for`)
  }

  private add(layer: IntegerAdd): string {
    // out = M2 * (M0 * (a << 20) + M1 * (b << 20))
    const times = 2 ** 20 * factor(layer, 2)
    const terms = layer.inputs.map((input, i) => this.term(layer, input, times * factor(layer, i)))
    return this.graph.node('Add', `${layer.name}.sum`, terms)
  }

  /** So many steps of the sum for a step of the input: a learned factor may make them negative, or none. */
  private term({ name, output }: IntegerAdd, input: number, steps: number): string {
    const { graph } = this
    if (steps > 0) return this.dequantize(input, steps * this.tensor(output).scale)
    if (steps < 0) return graph.node('Neg', `${name}.negative`, [this.dequantize(input, -steps * this.tensor(output).scale)])
    return graph.node('Mul', `${name}.none`, [this.dequantize(input), graph.constant(`${name}.zero`, 'float', [], [0])])
  }

  private attention(layer: IntegerAttend): string {
    const { name, inputs, output } = layer
    const scales = [this.tensor(inputs[0]).scale, this.tensor(inputs[1]).scale, this.rescaled(name, layer, output, wholeShare)]
    // maps become matrices as whole numbers: ONNX Runtime 1.30 gives a wrong type to what it moves a DequantizeLinear over
    return this.graph.attention(
      name,
      inputs.map((input) => this.stored[input].name),
      this.tensor(inputs[0]).shape,
      this.tensor(output).shape[2],
      (scores) => this.graph.softmax(`${name}.shares`, scores),
      (which, matrix) => this.dequantized(inputs[which], matrix, scales[which]),
    )
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

  private sums(layer: IntegerConvolution, weights: { name: string }, ...bias: string[]): string {
    return this.graph.convolution(`${layer.name}.sums`, [this.dequantize(layer.input), weights.name, ...bias], layer)
  }
}

/**
 * The .onnx file of an integer model.
 * @throws RunError naming a layer that has no ONNX form: a pool, attention or rescaling by a factor that is not above 0.
 */
export function onnxModel(model: IntegerModel, options: OnnxOptions = {}): Uint8Array {
  return options.exact ? exactOnnxModel(model, options.frontEnd) : new QdqTranslation(model, options).file()
}

export const onnx: Exporter = {
  name: 'onnx',
  summary: 'ONNX, quantized (QDQ, opset 25)',
  takesFrontEnd: true,
  hasExactForm: true,
  files: ({ model }, options) => [{ path: 'model.onnx', bytes: onnxModel(model, options) }],
  floatFiles: (network: FloatNetwork, options) => [{ path: 'model-float.onnx', bytes: floatOnnxModel(network, options) }],
}
