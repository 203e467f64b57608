// In which order a dense layer's weights lie in a .bw file (docs/bw-format.md, "Packed weights"): one stream of fields, or, packed for a
// processor, padded to whole words and interleaved as its kernels in core/ unpack them; core/weights.h reads the same orders. Depthwise
// layers keep the stream.

import { BadModelError } from './errors.ts'
import type { IntegerConvolution, IntegerModel } from './model.ts'

/** In the order of their numbers in a layer's record, from 1 on. */
export const packings = ['pairedInputs', 'pairedOutputs', 'vectors'] as const
export type Packing = (typeof packings)[number]

/** Families of kernels in core/, and the packing each reads: plain C, the 16-bit pairs of Armv7E-M, the vectors of Armv8.1-M. */
export const packingOf = { plain: 'pairedOutputs', dsp: 'pairedInputs', helium: 'vectors' } as const satisfies Record<string, Packing>
export type Kernels = keyof typeof packingOf

interface Shape {
  /** Output channels and inputs that lie together. */
  readonly group: number
  readonly unit: number
  readonly lanes: number
  readonly laneBits: number
}

function shapeOf(packing: Packing, bits: number): Shape {
  const narrowest = bits & -bits
  switch (packing) {
    case 'pairedInputs':
      return { group: 2, unit: Math.max(4, 16 / narrowest), lanes: 2, laneBits: 16 }
    case 'pairedOutputs':
      return { group: 4, unit: 8 / narrowest, lanes: 2, laneBits: 16 }
    case 'vectors':
      return { group: 4, unit: narrowest === 1 ? 32 : 16, lanes: 16, laneBits: 8 }
    default:
      throw new BadModelError(`unknown packing ${String(packing satisfies never)}`)
  }
}

const roundUp = (value: number, unit: number): number => Math.ceil(value / unit) * unit

/** Inputs of one output channel with the padding of the packing. */
export function paddedDepth(packing: Packing, bits: number, depth: number): number {
  return roundUp(depth, shapeOf(packing, bits).unit)
}

/** Bytes of the weights of so many output channels. */
export function packedBytes(packing: Packing, bits: number, channels: number, depth: number): number {
  const { group, unit } = shapeOf(packing, bits)
  return (roundUp(channels, group) * roundUp(depth, unit) * bits) / 8
}

/**
 * Calls `visit` with the place of every part of the field of output channel c and input k: the bit of the layer's weights where the part
 * lies, its width, and how far the field is shifted right for it.
 */
export function packedParts(
  packing: Packing,
  bits: number,
  depth: number,
  c: number,
  k: number,
  visit: (bit: number, width: number, shift: number) => void,
): void {
  const { group, unit, lanes, laneBits } = shapeOf(packing, bits)
  const [channel, i] = [c % group, k % unit]
  let slot = Math.floor(i / 16) * 4 + channel
  let lane = i % 16
  if (packing === 'pairedInputs') [slot, lane] = [Math.floor(i / 4) * 4 + (i % 2) * 2 + channel, Math.floor(i / 2) % 2]
  if (packing === 'pairedOutputs') [slot, lane] = [i * 2 + Math.floor(channel / 2), channel % 2]
  let bit = (Math.floor(c / group) * Math.ceil(depth / unit) + Math.floor(k / unit)) * group * unit * bits
  let shift = 0
  for (const width of [8, 4, 2, 1]) {
    if (!(bits & width)) continue
    const perWord = laneBits / width
    visit(bit + (Math.floor(slot / perWord) * lanes + lane) * laneBits + (slot % perWord) * width, width, shift)
    bit += group * unit * width
    shift += width
  }
}

/** The model as a microcontroller holds it: the same layers and answers, weights in the order that its kernels read. */
export function packModel(model: IntegerModel, kernels: Kernels): IntegerModel {
  const packing = packingOf[kernels]
  const packed = (layer: IntegerConvolution): IntegerConvolution => (layer.cutoffs ? layer : { ...layer, packing })
  return { ...model, layers: model.layers.map((layer) => (layer.op === 'convolution' ? packed(layer) : layer)) }
}
