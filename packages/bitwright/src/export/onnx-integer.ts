// What all ONNX forms of an integer model share: input, stored values, weights, reshapes and crops, output and metadata. How a layer
// computes between its stored values is a subclass's (onnx.ts, onnx-exact.ts).
import type { IntegerConvolution, IntegerLayer, IntegerModel, IntegerTensor } from '@bitwright/runtime'
import { OnnxGraph } from './onnx-graph.ts'

/** Of the .bw format that the numbers come from. */
const formatVersion = 1
/** Scales that differ by less are one: as much as the fixed-point multipliers leave open. */
const sameScale = 2 ** -22

const ranges = { int2: [-2, 1], int4: [-8, 7], uint8: [0, 255], int8: [-128, 127], int16: [-32768, 32767] } as const
export type IntegerType = keyof typeof ranges

const fits = (type: IntegerType, least: number, most: number): boolean => least >= ranges[type][0] && most <= ranges[type][1]

/** The narrowest type for weights of this width that holds these values. */
function weightType(bits: number, weights: ArrayLike<number>): IntegerType {
  let [least, most] = [0, 0]
  for (let i = 0; i < weights.length; i++) [least, most] = [Math.min(least, weights[i]), Math.max(most, weights[i])]
  const wide: readonly IntegerType[] = bits <= 2 ? ['int2', 'int4', 'int8'] : bits <= 4 ? ['int4', 'int8'] : ['int8']
  return wide.find((type) => fits(type, least, most)) ?? 'int16'
}

/** Attention's probability of one. */
export const wholeShare = 32767

/** A stored value in the graph: its integers, and what they mean. */
export interface Stored {
  readonly name: string
  readonly type: IntegerType
  readonly zeroPoint: number
}

/** A layer that computes. */
export type ComputingLayer = Exclude<IntegerLayer, { op: 'reshape' | 'crop' }>

export abstract class IntegerTranslation {
  protected readonly graph = new OnnxGraph()
  protected readonly model: IntegerModel
  /** By index of the tensor. */
  protected readonly stored: Stored[] = []
  private readonly frontEnd: boolean
  /** Names of the real values, by tensor and scale. */
  private readonly real = new Map<string, string>()

  /** @param frontEnd compute MFCC or log-mel in the graph */
  constructor(model: IntegerModel, frontEnd: boolean) {
    this.model = model
    this.frontEnd = frontEnd
  }

  /** Adds the layer's nodes and stores its output. */
  protected abstract compute(layer: ComputingLayer): void

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

  protected tensor(index: number): IntegerTensor {
    return this.model.tensors[index]
  }

  private input(): void {
    const { graph, model } = this
    const value = graph.frontEnd(model.frontEnd, this.frontEnd)
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
        this.compute(layer)
    }
  }

  /** Rounds a real value to the tensor's steps and limits. */
  protected quantize(index: number, value: string, alwaysLimit = false): void {
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
  protected dequantize(index: number, given?: number): string {
    const { scale: own } = this.tensor(index)
    const scale = given === undefined || Math.abs(given - own) <= sameScale * own ? own : given
    const key = `${index} ${scale}`
    const existing = this.real.get(key)
    if (existing !== undefined) return existing
    const value = this.dequantized(index, this.stored[index].name, scale)
    this.real.set(key, value)
    return value
  }

  /** A stored value's integers, in whatever shape, as real ones. */
  protected dequantized(index: number, integers: string, scale: number): string {
    const { type, zeroPoint } = this.stored[index]
    const name = `${this.tensor(index).name}.real`
    return this.graph.node('DequantizeLinear', name, [integers, ...this.steps(name, scale, type, zeroPoint)])
  }

  /** The integer type that holds the tensor's values. */
  protected typeOf({ min, max, zeroPoint }: IntegerTensor): 'int8' | 'int16' {
    return fits('int8', Math.min(min, zeroPoint), Math.max(max, zeroPoint)) ? 'int8' : 'int16'
  }

  /** The layer's weights as real ones; `negated` channels have the other sign. */
  protected weights(
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
}
