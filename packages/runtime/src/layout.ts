// Where everything lies in a .bw file (docs/bw-format.md). It follows from structure, names and bit-widths alone and reads no value,
// so that a cost model learns a file's exact size before a single weight is trained.

import { filterTaps, isDepthwise, planArena, type ArenaPlan } from './arena.ts'
import { BadModelError } from './errors.ts'
import type { IntegerLayer, IntegerModel } from './model.ts'
import { packedBytes } from './packing.ts'

export const magic = 0x4c4d5742
export const version = 4
export const headerBytes = 84
export const tensorRecordBytes = 24
export const layerRecordBytes = 40
/** Added to the width in a layer's record where its weights are odd. */
export const oddKind = 16
export const operations = ['convolution', 'add', 'averagePool', 'requantize', 'reshape', 'crop', 'attend'] as const
/** Added for each packing but the stream, times its number (packing.ts). */
export const packedKind = 32
export const frontEndKinds = ['raw', 'mfcc', 'logmel', 'image'] as const
/** In the table of names: this tensor is called as the layer that makes it (tensor 0: 'input'). */
export const sameName = 255

export interface Layout {
  readonly tensors: number
  readonly layers: number
  /** Per layer: bytes and offset of the packed weights (0 where it has none). */
  readonly weights: readonly { readonly offset: number; readonly bytes: number }[]
  readonly parameters: readonly { readonly offset: number; readonly bytes: number }[]
  readonly strings: number
  /** The table of names, ready to be copied. */
  readonly names: Uint8Array
  readonly bytes: number
  readonly arena: ArenaPlan
}

const align4 = (bytes: number): number => Math.ceil(bytes / 4) * 4

/** Bytes of a layer's weights at their true width, or of the cut-offs they are made from. */
export function weightBytes(model: IntegerModel, layer: IntegerLayer): number {
  if (layer.op !== 'convolution') return 0
  const channels = model.tensors[layer.output].shape[2]
  if (layer.cutoffs) return 4 * channels
  const taps = filterTaps(model, layer)
  if (layer.packing && !isDepthwise(model, layer)) return packedBytes(layer.packing, layer.weightBits, channels, taps)
  return Math.ceil((channels * taps * layer.weightBits) / 8)
}

/** Bytes of a layer's bias, multipliers, offsets of the logarithm and shifts. */
export function parameterBytes(model: IntegerModel, layer: IntegerLayer): number {
  switch (layer.op) {
    case 'convolution':
      return model.tensors[layer.output].shape[2] * (layer.compact ? 4 : layer.logOffset ? 13 : 9)
    case 'add':
      return 15
    case 'averagePool':
    case 'requantize':
    case 'attend':
      return 5
    case 'reshape':
    case 'crop':
      return 0
    default:
      throw new BadModelError(`unknown operation ${(layer satisfies never as IntegerLayer).op}`)
  }
}

/** The name a tensor has when none of its own is stored. */
export function defaultTensorNames(layers: readonly { readonly name: string; readonly output: number }[], count: number): string[] {
  const names = Array.from({ length: count }, (_, i): string => (i === 0 ? 'input' : ''))
  for (const layer of layers) names[layer.output] = layer.name
  return names
}

function nameTable(model: IntegerModel): Uint8Array {
  const encoder = new TextEncoder()
  const bytes: number[] = []
  const push = (name: string): void => {
    const encoded = encoder.encode(name)
    if (encoded.length >= sameName) throw new BadModelError(`name '${name.slice(0, 40)}...' has ${encoded.length} bytes: at most 254 fit`)
    bytes.push(encoded.length, ...encoded)
  }
  const defaults = defaultTensorNames(model.layers, model.tensors.length)
  push(model.name)
  model.classes.forEach(push)
  model.tensors.forEach((tensor, i) => (tensor.name === defaults[i] ? bytes.push(sameName) : push(tensor.name)))
  model.layers.forEach((layer) => push(layer.name))
  return Uint8Array.from(bytes)
}

/** Lays a model out. Reads structure, names and widths; weights and parameters may be empty arrays. */
export function layoutModel(model: IntegerModel): Layout {
  const tensors = headerBytes
  const layers = tensors + model.tensors.length * tensorRecordBytes
  let at = layers + model.layers.length * layerRecordBytes
  const weights: { offset: number; bytes: number }[] = []
  const parameters: { offset: number; bytes: number }[] = []
  const take = (bytes: number): { offset: number; bytes: number } => {
    const place = { offset: bytes > 0 ? at : 0, bytes }
    at += align4(bytes)
    return place
  }
  for (const layer of model.layers) {
    parameters.push(take(parameterBytes(model, layer)))
    weights.push(take(weightBytes(model, layer)))
  }
  const names = nameTable(model)
  return { tensors, layers, weights, parameters, strings: at, names, bytes: at + names.length, arena: planArena(model) }
}
