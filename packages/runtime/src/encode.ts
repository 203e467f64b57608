// Integer model to .bw file (docs/bw-format.md): records, packed weights, the arena plan, names, checksum.

import { isDepthwise, filterTaps, layerInputs } from './arena.ts'
import { biasExponents, compactChannel, scaleExponents, type CompactForm } from './compact.ts'
import { crc32 } from './crc32.ts'
import { BadModelError } from './errors.ts'
import {
  frontEndKinds,
  layerRecordBytes,
  layoutModel,
  magic,
  oddKind,
  operations,
  packedKind,
  tensorRecordBytes,
  version,
  type Layout,
} from './layout.ts'
import { checkImage } from './machine.ts'
import type { IntegerConvolution, IntegerLayer, IntegerModel, IntegerTensor } from './model.ts'
import { packedParts, packings, type Packing } from './packing.ts'
import { sincFilters } from './sinc-filter.ts'

/**
 * The .bw file of a model. Its length depends on structure, names and bit-widths only.
 * @throws BadModelError where a value does not fit its width, arrays have the wrong length, or the core would refuse the file
 */
export function encodeModel(model: IntegerModel): Uint8Array {
  checkPicture(model)
  const layout = layoutModel(model)
  const bytes = new Uint8Array(layout.bytes)
  const view = new DataView(bytes.buffer)
  writeHeader(view, model, layout)
  model.tensors.forEach((tensor, i) => writeTensor(view, layout.tensors + i * tensorRecordBytes, tensor, layout.arena.tensors[i]))
  model.layers.forEach((layer, i) => {
    writeLayer(view, layout.layers + i * layerRecordBytes, model, layer, layout, i)
    writeParameters(view, layout.parameters[i].offset, model, layer)
    if (layer.op === 'convolution') {
      const count = model.tensors[layer.output].shape[2] * filterTaps(model, layer)
      expectLength(layer, 'weights', layer.weights, count)
      const to = bytes.subarray(layout.weights[i].offset, layout.weights[i].offset + layout.weights[i].bytes)
      if (layer.cutoffs) writeCutoffs(layer, layer.cutoffs, count, to)
      else packWeights(layer, isDepthwise(model, layer) ? undefined : layer.packing, filterTaps(model, layer), to)
    }
  })
  bytes.set(layout.names, layout.strings)
  sealImage(bytes)
  checkImage(bytes, model.name || 'model', (place, index) =>
    place === 'layer' ? `${index} (${model.layers[index]?.name})` : `${index} (${model.tensors[index]?.name})`,
  )
  return bytes
}

/** Writes the checksum of everything behind it. */
export function sealImage(bytes: Uint8Array): void {
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(12, crc32(bytes.subarray(16)), true)
}

/** The file has an image's size in tensor 0 alone. */
function checkPicture({ frontEnd, tensors }: IntegerModel): void {
  if (frontEnd.kind !== 'image') return
  const size = [frontEnd.height, frontEnd.width, frontEnd.channels]
  if (size.join() !== tensors[0].shape.join())
    throw new BadModelError(`tensor ${tensors[0].name}: shape [${tensors[0].shape}] differs from [${size}], which the front end gives`)
}

function integer(value: number, low: number, high: number, what: string): number {
  if (Number.isInteger(value) && value >= low && value <= high) return value
  throw new BadModelError(`${what} is ${value}: it must be a whole number in ${low}..${high}`)
}

function expectLength(layer: IntegerLayer, what: string, values: ArrayLike<number>, count: number): void {
  if (values.length !== count) throw new BadModelError(`layer ${layer.name}: ${values.length} ${what}, expected ${count}`)
}

function writeHeader(view: DataView, model: IntegerModel, layout: Layout): void {
  const frontEnd = model.frontEnd
  const audio = frontEnd.kind === 'image' ? undefined : frontEnd
  const spectral = audio?.kind === 'raw' ? undefined : audio
  const fields = [magic, version, layout.bytes, 0, frontEndKinds.indexOf(frontEnd.kind), audio?.sampleRate ?? 0, audio?.samples ?? 0]
  fields.push(spectral?.windowSamples ?? 0, spectral?.hopSamples ?? 0, spectral?.melBands ?? 0, spectral?.coefficients ?? 0)
  fields.forEach((value, i) => view.setUint32(4 * i, integer(value, 0, 2 ** 32 - 1, 'a number of the front end'), true))
  view.setFloat32(44, spectral?.lowHz ?? 0, true)
  view.setFloat32(48, spectral?.highHz ?? 0, true)
  const counts = [model.tensors.length, model.layers.length, model.classes.length]
  const places = [layout.tensors, layout.layers, layout.strings, layout.names.length, layout.arena.bytes]
  ;[...counts, ...places].forEach((value, i) => view.setUint32(52 + 4 * i, value, true))
}

function writeTensor(view: DataView, at: number, tensor: IntegerTensor, offset: number): void {
  const what = (field: string): string => `tensor ${tensor.name}: ${field}`
  view.setUint32(at, integer(tensor.shape[0], 1, 2 ** 32 - 1, what('height')), true)
  view.setUint16(at + 4, integer(tensor.shape[1], 1, 65535, what('width')), true)
  view.setUint16(at + 6, integer(tensor.shape[2], 1, 65535, what('channels')), true)
  view.setUint8(at + 8, integer(tensor.containerBits, 2, 16, what('containerBits')))
  view.setUint8(at + 9, integer(tensor.bits, 1, 16, what('bits')))
  view.setInt16(at + 10, integer(tensor.zeroPoint, -32768, 32767, what('zeroPoint')), true)
  view.setInt16(at + 12, integer(tensor.min, -32768, 32767, what('min')), true)
  view.setInt16(at + 14, integer(tensor.max, -32768, 32767, what('max')), true)
  view.setFloat32(at + 16, tensor.scale, true)
  view.setUint32(at + 20, offset, true)
}

function writeLayer(view: DataView, at: number, model: IntegerModel, layer: IntegerLayer, layout: Layout, index: number): void {
  const what = (field: string): string => `layer ${layer.name}: ${field}`
  const words = (offset: number, values: readonly number[], field: string): void =>
    values.forEach((value, i) => view.setUint16(at + offset + 2 * i, integer(value, 0, 65535, what(field)), true))
  view.setUint8(at, operations.indexOf(layer.op))
  words(4, layerInputs(layer).slice(0, 2), 'input')
  if (layer.op === 'attend') words(12, [layer.inputs[2]], 'input')
  words(8, [layer.output], 'output')
  if (layer.op === 'convolution' || layer.op === 'averagePool') {
    words(12, layer.kernelSize, 'kernelSize')
    words(16, layer.stride, 'stride')
  }
  if (layer.op === 'convolution') {
    const depthwise = isDepthwise(model, layer)
    if (layer.groups !== 1 && !depthwise) {
      const channels = model.tensors[layer.input].shape[2]
      throw new BadModelError(`layer ${layer.name}: groups is ${layer.groups}: only 1 or all ${channels} input channels are supported`)
    }
    const weightBits = integer(layer.weightBits, 1, 8, what('weightBits'))
    if (layer.oddWeights && weightBits > 7)
      throw new BadModelError(`layer ${layer.name}: odd weights have at most 7 bits, not ${weightBits}`)
    const packed = layer.packing ? packedKind * (packings.indexOf(layer.packing) + 1) : 0
    view.setUint8(at + 1, layer.cutoffs ? 0 : weightBits + (layer.oddWeights ? oddKind : 0) + packed)
    view.setUint8(at + 2, depthwise ? 1 : 0)
    view.setUint8(at + 3, layer.logOffset ? 1 : 0)
    view.setUint8(at + 10, integer(layer.accumulatorShift ?? 0, 0, 255, what('accumulatorShift')))
    if (layer.compact) {
      view.setInt8(at + 6, integer(layer.compact.scaleExponent, ...scaleExponents, what('scaleExponent')))
      view.setInt8(at + 7, integer(layer.compact.biasExponent, ...biasExponents, what('biasExponent')))
      view.setUint8(at + 11, 1)
    }
    words(20, layer.padding, 'padding')
  }
  view.setUint32(at + 28, layout.weights[index].offset, true)
  view.setUint32(at + 32, layout.parameters[index].offset, true)
  view.setUint32(at + 36, layout.arena.scratch[index], true)
}

function writeParameters(view: DataView, at: number, model: IntegerModel, layer: IntegerLayer): void {
  if (layer.op === 'reshape' || layer.op === 'crop') return
  const count = layer.op === 'convolution' ? model.tensors[layer.output].shape[2] : layer.op === 'add' ? 3 : 1
  if (layer.op === 'convolution' && layer.compact) {
    writeCompact(view, at, layer, layer.compact, count)
    return
  }
  const columns: [string, ArrayLike<number>][] = [['multipliers', layer.multiplier]]
  if (layer.op === 'convolution') columns.unshift(['biases', layer.bias])
  if (layer.op === 'convolution' && layer.logOffset) columns.push(['offsets of the logarithm', layer.logOffset])
  for (const [what, values] of columns) {
    expectLength(layer, what, values, count)
    for (let i = 0; i < count; i++, at += 4) view.setInt32(at, values[i], true)
  }
  expectLength(layer, 'shifts', layer.shift, count)
  for (let i = 0; i < count; i++) view.setInt8(at + i, layer.shift[i])
}

function writeCompact(view: DataView, at: number, layer: IntegerConvolution, form: CompactForm, count: number): void {
  if (layer.logOffset) throw new BadModelError(`layer ${layer.name}: a log-magnitude has no compact parameters`)
  expectLength(layer, 'biases', layer.bias, count)
  expectLength(layer, 'multipliers', layer.multiplier, count)
  expectLength(layer, 'shifts', layer.shift, count)
  for (let i = 0; i < count; i++) {
    const code = compactChannel(form, { bias: layer.bias[i], multiplier: layer.multiplier[i], shift: layer.shift[i] })
    if (!code) {
      const values = `bias ${layer.bias[i]}, multiplier ${layer.multiplier[i]}, shift ${layer.shift[i]}`
      throw new BadModelError(`layer ${layer.name}: channel ${i} has no compact form: ${values}`)
    }
    view.setUint32(at + 4 * i, code.scale + code.bias * 2 ** 17, true)
  }
}

/** Two uint16 a channel; the weights of the model must be what they make. */
function writeCutoffs(layer: IntegerConvolution, cutoffs: Uint16Array, count: number, to: Uint8Array): void {
  expectLength(layer, 'cut-offs', cutoffs, to.length / 2)
  const made = sincFilters(cutoffs, count / (cutoffs.length / 2))
  const wrong = made.findIndex((weight, i) => weight !== layer.weights[i])
  if (wrong !== -1)
    throw new BadModelError(`layer ${layer.name}: weight ${wrong} is ${layer.weights[wrong]}, its cut-offs make ${made[wrong]}`)
  const view = new DataView(to.buffer, to.byteOffset, to.byteLength)
  cutoffs.forEach((value, i) => view.setUint16(2 * i, value, true))
}

/** Fields of weightBits each, least significant bit first: w + 2^(bits-1), or (w + 2^bits - 1) / 2 of odd weights. */
function packWeights(layer: IntegerConvolution, packing: Packing | undefined, taps: number, to: Uint8Array): void {
  const bits = layer.weightBits
  const half = 1 << (bits - 1)
  const isOdd = layer.oddWeights ?? bits === 1
  for (let i = 0; i < layer.weights.length; i++) {
    const weight = layer.weights[i]
    const fits = isOdd ? Math.abs(weight) < 2 * half && weight % 2 !== 0 : weight >= -half && weight < half
    if (!fits) {
      const range = bits === 1 ? '-1 or +1' : isOdd ? `odd and in ${1 - 2 * half}..${2 * half - 1}` : `in ${-half}..${half - 1}`
      throw new BadModelError(
        `layer ${layer.name}: weight ${i} is ${weight}: at ${bits} bits it must be ${range} (sizes alone: use modelInfo)`,
      )
    }
    const field = isOdd ? (weight + 2 * half - 1) / 2 : weight + half
    if (packing) {
      packedParts(packing, bits, taps, Math.floor(i / taps), i % taps, (bit, width, shift) => {
        to[bit >>> 3] |= ((field >>> shift) & ((1 << width) - 1)) << (bit & 7)
      })
      continue
    }
    const at = i * bits
    to[at >>> 3] |= field << (at & 7)
    if ((at & 7) + bits > 8) to[(at >>> 3) + 1] |= field >>> (8 - (at & 7))
  }
}
