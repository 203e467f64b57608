// What a model costs, exactly and layer by layer. It reads structure, names and widths and no weight, so that cost models can ask it
// about a network that has none yet.

import { filterTaps, layerInputs, tensorBytes } from './arena.ts'
import { decodeModel } from './decode.ts'
import { frontEndBytes, isSpectral } from './front-end.ts'
import { layoutModel } from './layout.ts'
import type { IntegerAttend, IntegerLayer, IntegerModel } from './model.ts'

export interface LayerInfo {
  readonly name: string
  readonly op: IntegerLayer['op']
  /** Width of the weights; 16 where they are made from cut-offs; 0 for layers without. */
  readonly weightBits: number
  /** True width of the (first) input. */
  readonly activationBits: number
  /** Weights (or cut-offs) and biases. */
  readonly params: number
  /** Multiply-accumulates per clip, padding counted. */
  readonly macs: number
  /** Packed weights, or cut-offs, in the file. */
  readonly weightBytes: number
  /** The output tensor in the arena. */
  readonly outputBytes: number
}

export interface ModelInfo {
  readonly params: number
  readonly macs: number
  /** Length of the .bw file. */
  readonly flashBytes: number
  /** The planned arena: every tensor, the input included, and scratch. */
  readonly ramBytes: number
  /** Tables and buffers of an MFCC or log-mel front end, not in ramBytes; 0 for raw audio and images. */
  readonly frontEndBytes: number
  readonly layers: readonly LayerInfo[]
}

/** Of every position with every other: keys with queries, probabilities with values. */
function attentionMacs({ tensors }: IntegerModel, { inputs, output }: IntegerAttend): number {
  const [height, width, channels] = tensors[output].shape
  return (height * width) ** 2 * (tensors[inputs[0]].shape[2] + channels)
}

/**
 * Sizes of a model or .bw file. For a model the arrays of weights and parameters are not read and may be empty.
 * @throws BadModelError for bytes that are no model
 */
export function modelInfo(source: IntegerModel | Uint8Array): ModelInfo {
  const model = source instanceof Uint8Array ? decodeModel(source) : source
  const layout = layoutModel(model)
  const layers = model.layers.map((layer, i): LayerInfo => {
    const [height, width, channels] = model.tensors[layer.output].shape
    const taps = filterTaps(model, layer)
    return {
      name: layer.name,
      op: layer.op,
      weightBits: layer.op === 'convolution' ? (layer.cutoffs ? 16 : layer.weightBits) : 0,
      activationBits: model.tensors[layerInputs(layer)[0]].bits,
      params: layer.op === 'convolution' ? channels * ((layer.cutoffs ? 2 : taps) + 1) : 0,
      macs: layer.op === 'attend' ? attentionMacs(model, layer) : height * width * channels * taps,
      weightBytes: layout.weights[i].bytes,
      outputBytes: tensorBytes(model.tensors[layer.output]),
    }
  })
  return {
    params: layers.reduce((sum, layer) => sum + layer.params, 0),
    macs: layers.reduce((sum, layer) => sum + layer.macs, 0),
    flashBytes: layout.bytes,
    ramBytes: layout.arena.bytes,
    frontEndBytes: isSpectral(model.frontEnd) ? frontEndBytes(model.frontEnd) : 0,
    layers,
  }
}
