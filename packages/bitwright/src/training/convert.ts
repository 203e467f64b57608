// From a trained, fake-quantized network to its integer model: the skeleton that hardware/lower.ts makes, filled with the numbers that
// training found. Where a value is quantized both sides round at the same place (network/storage.ts); what this adds is the whole bias,
// the fixed-point factor, and a scale for the logits.
//
// A layer's sum s of whole products stands for scale[c] * s, scale[c] = scale of its input * scale of its weights. Batch norm or bias is
// y = slope * x + offset, so y = factor * (s + bias) with factor = slope * scale (convert-channels.ts), all shifted left as far as int32
// allows, so that biases have fractions of s; where slope is negative, the channel's weights change sign instead, so that factors are
// positive as TensorFlow Lite wants them (filters that the device makes cannot: there the factor is negative). After a log-magnitude,
// ln(|x| + epsilon) = ln 2 / 2^16 * log2Q16(|s| + logOffset) + ln scale: the same form with log2Q16 in the place of s (and a factor that
// keeps its sign).
import { type ParameterStore, Tape } from '@bitwright/engine'
import type { IntegerConvolution, IntegerLayer, IntegerModel, IntegerTensor } from '@bitwright/runtime'
import { RunError } from '../errors.ts'
import { lowerSkeleton } from '../hardware/lower.ts'
import { isLearned, isView, isWeighted, nodesById, parameterPrefix, throughViews } from '../network/graph.ts'
import type { Network, NetworkNode, WeightedNetworkNode } from '../network/network.ts'
import { storageOf } from '../network/storage.ts'
import { type ActivationQuantizer, MadeFilters } from '../quantizers/index.ts'
import { compactParameters, type RealChannel } from './compact.ts'
import { channelAffine, foldOffset, setChannelAffine, wholeEpsilon } from './convert-channels.ts'
import { type Multiplier, realFactor, requantizer, fixedPoint } from './multiplier.ts'
import { type Quantized, Recorder } from './record.ts'

export interface ConversionOptions {
  /** With its widths decided: `quantization.decided()`. */
  readonly network: Network
  readonly store: ParameterStore
  readonly quantization: Quantized
  /** Largest |logit| of some clips. The int16 logits reach to twice that; default: to the largest that can be. */
  readonly largestLogit?: number
}

const int32Max = 2 ** 31 - 1
const int16Max = 2 ** 15 - 1
const largestShift = 24
/** log2Q16 of any uint32 is below. */
const largestLog2 = 32 * 2 ** 16
/** A probability of one. */
const attentionWhole = 32767
/** Logits of clips nobody has seen may be this much larger. */
const logitHeadroom = 2

/** Largest |q - zeroPoint|. */
const reachOf = ({ min, max, zeroPoint }: IntegerTensor): number => Math.max(zeroPoint - min, max - zeroPoint)

/**
 * The integer model.
 * @throws RunError naming the layer whose sums could leave int32, or whose widths are not those of its quantizers.
 */
export function convertNetwork(options: ConversionOptions): IntegerModel {
  const { network, quantization } = options
  const { model, layers, tensors, narrowing } = lowerSkeleton(network)
  const nodes = nodesById(network)
  const last = network.nodes.at(-1)!
  const { values } = storageOf(network)
  const newTensors = [...model.tensors]
  const newLayers = [...model.layers]
  const weights = floatWeights(options)

  for (const [id, index] of narrowing) {
    const at = model.layers[index].output
    newTensors[at] = scaled(model.tensors[at], quantization.activationQuantizer(id, true))
  }
  for (const node of network.nodes) {
    const at = tensors.get(node.id)!
    if (isView(node)) {
      const { scale, min, max } = newTensors[tensors.get(throughViews(nodes, node.id))!]
      newTensors[at] = { ...newTensors[at], scale, min, max }
      continue
    }
    const isGiven = values.get(throughViews(nodes, node.id))!.scale !== undefined
    if (!isGiven && node !== last) newTensors[at] = clipped(node, scaled(newTensors[at], quantization.activationQuantizer(node.id)))
    if (node.op === 'input') continue
    const index = layers.get(node.id)!
    const layer = newLayers[index]
    const sums = isWeighted(node) ? layerSums(node, layer as IntegerConvolution, newTensors, weights.get(node.id)!, options) : undefined
    if (node === last)
      newTensors[at] = clipped(node, {
        ...newTensors[at],
        scale: logitScale(layer, newTensors, sums, options.largestLogit, learnedFactor(options, node)),
      })
    newLayers[index] = sums
      ? weighted(layer as IntegerConvolution, sums, newTensors)
      : rescaling(layer, newTensors, learnedFactor(options, node))
  }
  for (const at of narrowing.values()) newLayers[at] = rescaling(newLayers[at], newTensors)
  return { ...model, tensors: newTensors, layers: newLayers }
}

/**
 * Rounds the batch norms in the store to what the model's compact parameters hold of them, so that the fake-quantized network computes
 * what the model does, whose own rounding (compact.ts) it cannot know.
 */
export function settleNorms(options: ConversionOptions, model: IntegerModel): void {
  const { network, store } = options
  const { layers } = lowerSkeleton(network)
  const weights = floatWeights(options)
  for (const node of network.nodes) {
    const layer = isWeighted(node) ? (model.layers[layers.get(node.id)!] as IntegerConvolution) : undefined
    if (!isWeighted(node) || !layer?.compact) continue
    const { scale, slope } = layerSums(node, layer, model.tensors, weights.get(node.id)!, options)
    const step = 1 / Math.fround(1 / model.tensors[layer.output].scale)
    const factors = Array.from(layer.multiplier, (multiplier, c) => realFactor({ multiplier, shift: layer.shift[c] }) * step)
    const rounded = factors.map((factor, c) => (Math.sign(slope[c]) * factor * 2 ** (layer.accumulatorShift ?? 0)) / scale[c])
    setChannelAffine(store, node, { slope: rounded, offset: factors.map((factor, c) => factor * layer.bias[c]) }, step)
  }
}

/** Float weights by id of the layer; those of a sinc layer made from its cut-offs. */
function floatWeights({ network, store, quantization }: ConversionOptions): Map<string, Float32Array> {
  const { engine } = store
  const tape = new Tape(engine, { batch: 1, mode: 'evaluate' })
  const recorder = new Recorder(tape, { store, momentum: 0 })
  recorder.network(network)
  engine.backend.run(tape.program(['generate']))
  const weights = new Map(
    [...recorder.sources].map(([id, { offset }]) => [id, engine.floats(offset, quantization.weightQuantizer(id).size).slice()]),
  )
  tape.dispose()
  return weights
}

/** The tensor with the quantizer's scale. */
function scaled(tensor: IntegerTensor, quantizer: ActivationQuantizer | undefined): IntegerTensor {
  const grid = quantizer?.grid()
  if (grid?.minimum !== tensor.min - tensor.zeroPoint || grid.maximum !== tensor.max - tensor.zeroPoint) {
    const levels = grid ? `a quantizer of ${grid.minimum}..${grid.maximum}` : 'no quantizer'
    throw new RunError(
      `"${tensor.name}": the network has ${tensor.bits} bits here, training ${levels}; convert the network that quantization.decided() gives`,
    )
  }
  return { ...tensor, scale: grid.scale }
}

/** Limits that the grid does not have yet: relu6's six, and the zero of an activation before 16-bit logits. */
function clipped(node: NetworkNode, tensor: IntegerTensor): IntegerTensor {
  const activation = 'activation' in node ? node.activation : 'none'
  if (activation !== 'relu' && activation !== 'relu6') return tensor
  const six = activation === 'relu6' ? Math.round(6 / tensor.scale) + tensor.zeroPoint : Infinity
  return { ...tensor, min: Math.max(tensor.min, tensor.zeroPoint), max: Math.min(tensor.max, six) }
}

/** What a layer with weights sums, and what its sums mean. */
interface LayerSums {
  readonly node: WeightedNetworkNode
  /** [channels][kernelHeight][kernelWidth][inputChannels per group] */
  readonly integers: Int8Array
  readonly isOdd: boolean
  /** What they are made from, in a sinc layer. */
  readonly cutoffs?: Uint16Array
  /** One unit of the sum, per channel. */
  readonly scale: Float64Array
  /** Largest possible |sum|, per channel. */
  readonly largest: Float64Array
  readonly slope: Float64Array
  readonly offset: Float64Array
}

function layerSums(
  node: WeightedNetworkNode,
  layer: IntegerConvolution,
  tensors: readonly IntegerTensor[],
  source: Float32Array,
  { store, quantization }: ConversionOptions,
): LayerSums {
  const input = tensors[layer.input]
  const quantizer = quantization.weightQuantizer(node.id)
  const cutoffs = quantizer instanceof MadeFilters ? quantizer.cutoffs() : undefined
  const { values, scale: weightScale, isOdd } = quantizer.toIntegers(source)
  const { slope, offset } = channelAffine(store, node)
  const { channels } = node
  const taps = values.length / channels
  const integers = new Int8Array(values.length)
  const largest = new Float64Array(channels)
  for (let tap = 0; tap < taps; tap++) {
    for (let c = 0; c < channels; c++) {
      // a channel that batch norm has switched off needs no weights, and its bias all the room
      const value = slope[c] === 0 && !isOdd && !cutoffs ? 0 : values[tap * channels + c]
      integers[c * taps + tap] = value
      largest[c] += Math.abs(value) * reachOf(input)
    }
  }
  const scale = Float64Array.from({ length: channels }, (_, c) => input.scale * weightScale[weightScale.length === 1 ? 0 : c])
  const worst = Math.max(...largest)
  if (worst > int32Max) {
    throw new RunError(
      `layer "${node.id}": its sums can reach ${worst}, beyond int32; use fewer weight bits (now ${layer.weightBits}), a smaller kernel or narrower inputs`,
    )
  }
  return { node, integers, isOdd, ...(cutoffs ? { cutoffs } : {}), scale, largest, slope, offset }
}

function weighted(layer: IntegerConvolution, sums: LayerSums, tensors: readonly IntegerTensor[]): IntegerConvolution {
  const output = tensors[layer.output]
  const logarithm = sums.node.activation === 'logMagnitude'
  const { channels } = sums.node
  const taps = sums.integers.length / channels
  const accumulatorShift = logarithm ? 0 : bestShift(sums, output)
  const weights = sums.integers.slice()
  const logOffset = new Uint32Array(channels)
  // in float32, like the product it is in evaluation: a value half way between two steps goes the same way
  const inverse = Math.fround(1 / output.scale)
  const affine: RealChannel[] = []
  for (let c = 0; c < channels; c++) {
    const [scale, slope, offset, largest] = [sums.scale[c], sums.slope[c], sums.offset[c], sums.largest[c]]
    if (logarithm) {
      logOffset[c] = Math.min(2 ** 32 - 1 - largest, wholeEpsilon(scale))
      affine.push({ factor: (slope * Math.LN2) / 2 ** 16, offset: slope * Math.log(scale) + offset, largest: largestLog2 })
      continue
    }
    if (slope < 0 && !sums.cutoffs) for (let tap = 0; tap < taps; tap++) weights[c * taps + tap] *= -1
    const factor = Math.fround(sums.cutoffs ? slope * scale : Math.abs(slope * scale)) / 2 ** accumulatorShift
    affine.push({ factor, offset, largest: largest * 2 ** accumulatorShift })
  }
  return {
    ...layer,
    weights,
    ...(sums.isOdd && layer.weightBits > 1 ? { oddWeights: true as const } : {}),
    ...(sums.cutoffs ? { cutoffs: sums.cutoffs } : {}),
    ...(accumulatorShift > 0 ? { accumulatorShift } : {}),
    ...(layer.compact ? compact(affine, inverse, output) : wide(affine, inverse, output)),
    ...(logarithm ? { logOffset } : {}),
  }
}

/** Whole biases and full multipliers. */
function wide(channels: readonly RealChannel[], inverse: number, output: IntegerTensor) {
  const folded = channels.map(({ factor, offset, largest }) => foldOffset(factor, offset, int32Max - largest))
  const factors = folded.map(({ factor }) => requantizer(factor * inverse, reachOf(output)))
  return { bias: Int32Array.from(folded, ({ bias }) => bias), ...columns(factors) }
}

function compact(channels: readonly RealChannel[], inverse: number, { min, max, zeroPoint }: IntegerTensor) {
  const inSteps = channels.map(({ factor, offset, largest }) => ({ factor: factor * inverse, offset: offset * inverse, largest }))
  const { form, channels: held } = compactParameters(inSteps, [min - zeroPoint, max - zeroPoint])
  return { compact: form, bias: Int32Array.from(held, ({ bias }) => bias), ...columns(held) }
}

/** The shift of the sums that makes the worst error of any channel, in output steps, least: of rounding its bias, or of a bias that has no room. */
function bestShift({ slope, scale, offset, largest }: LayerSums, output: IntegerTensor): number {
  let [best, least] = [0, Infinity]
  for (let shift = 0; shift <= largestShift; shift++) {
    let error = 0
    for (const [c, sum] of largest.entries()) {
      const unit = (Math.abs(slope[c]) * scale[c]) / output.scale / 2 ** shift
      const steps = Math.abs(offset[c]) / output.scale
      const room = int32Max - sum * 2 ** shift
      const atLimit = shift > 0 && room < 2 ** 30 ? Infinity : (sum * 2 ** shift * Math.min(steps, reachOf(output))) / room
      error = Math.max(error, steps <= unit * room && atLimit < Infinity ? unit / 2 : atLimit)
    }
    if (error < least) [best, least] = [shift, error]
  }
  return best
}

function columns(factors: readonly Multiplier[]): { multiplier: Int32Array; shift: Int8Array } {
  return { multiplier: Int32Array.from(factors, ({ multiplier }) => multiplier), shift: Int8Array.from(factors, ({ shift }) => shift) }
}

/** What an addition multiplies its second input by. */
const learnedFactor = ({ store }: ConversionOptions, node: NetworkNode): number =>
  node.op === 'add' && isLearned(node) ? store.value(`${parameterPrefix(node)}.scale`)[0] : 1

/** Pools, sums, attention and narrowings: nothing but scales. */
function rescaling(layer: IntegerLayer, tensors: readonly IntegerTensor[], factor = 1): IntegerLayer {
  const output = tensors[layer.output]
  switch (layer.op) {
    case 'averagePool': {
      const ratio = tensors[layer.input].scale / (output.scale * layer.kernelSize[0] * layer.kernelSize[1])
      return { ...layer, ...columns([requantizer(ratio, reachOf(output))]) }
    }
    case 'requantize':
      return { ...layer, ...columns([requantizer(tensors[layer.input].scale / output.scale, reachOf(output))]) }
    case 'attend':
      return { ...layer, ...columns([requantizer(tensors[layer.inputs[2]].scale / attentionWhole / output.scale, reachOf(output))]) }
    case 'add': {
      // terms shifted left by 20 bits, in units of twice the larger scale (TensorFlow Lite's addition)
      const scales = layer.inputs.map((at, i) => (i === 1 ? factor : 1) * tensors[at].scale)
      const unit = 2 * Math.max(...scales.map(Math.abs))
      return { ...layer, ...columns([...scales.map((scale) => fixedPoint(scale / unit)), fixedPoint(unit / 2 ** 20 / output.scale)]) }
    }
    default:
      return layer
  }
}

/** A scale that 16 bits of logits use well. */
function logitScale(
  layer: IntegerLayer,
  tensors: readonly IntegerTensor[],
  sums: LayerSums | undefined,
  largestLogit = Infinity,
  factor = 1,
): number {
  const inputs = layer.op === 'attend' ? [layer.inputs[2]] : layer.op === 'add' ? layer.inputs : [layer.input]
  const bound = sums
    ? Math.max(...sums.largest.map((largest, c) => Math.abs(sums.slope[c]) * sums.scale[c] * largest + Math.abs(sums.offset[c])))
    : inputs.reduce((sum, at, i) => sum + (i === 1 ? Math.abs(factor) : 1) * tensors[at].scale * reachOf(tensors[at]), 0)
  return Math.fround(Math.min(bound, logitHeadroom * largestLogit) / int16Max) || 1
}
