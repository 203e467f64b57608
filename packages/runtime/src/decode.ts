// .bw file to integer model: the inverse of encode.ts. The core checks the file first, so that reading it needs no checks.

import { expandChannel, largestScale } from './compact.ts'
import { BadModelError } from './errors.ts'
import {
  defaultTensorNames,
  frontEndKinds,
  layerRecordBytes,
  oddKind,
  operations,
  packedKind,
  sameName,
  tensorRecordBytes,
} from './layout.ts'
import { checkImage } from './machine.ts'
import type { IntegerFrontEnd, IntegerLayer, IntegerModel, IntegerTensor } from './model.ts'
import { packedParts, packings, type Packing } from './packing.ts'
import { sincFilters } from './sinc-filter.ts'

/**
 * The model in a .bw file. Scales and frequencies are float32 in the file and come back so rounded.
 * @throws BadModelError where the file is refused
 */
export function decodeModel(bytes: Uint8Array, file = 'model.bw'): IntegerModel {
  checkImage(bytes, file)
  return parseModel(bytes, file)
}

/** Reads a file that the core has accepted. */
export function parseModel(bytes: Uint8Array, file: string): IntegerModel {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const word = (at: number): number => view.getUint32(at, true)
  const [tensorCount, layerCount, classCount, tensorsAt, layersAt, stringsAt] = [52, 56, 60, 64, 68, 72].map(word)
  const names = readNames(bytes.subarray(stringsAt, stringsAt + word(76)), file)
  const name = names.shift() ?? ''
  const classes = names.splice(0, classCount).map((label) => label ?? '')
  const tensorNames = names.splice(0, tensorCount)
  const tensors = tensorNames.map((tensorName, i) => readTensor(view, tensorsAt + i * tensorRecordBytes, tensorName))
  const layers: IntegerLayer[] = []
  for (let i = 0; i < layerCount; i++) layers.push(readLayer(view, layersAt + i * layerRecordBytes, names[i] ?? '', tensors))
  const defaults = defaultTensorNames(layers, tensorCount)
  const named = tensors.map((tensor, i): IntegerTensor => ({ ...tensor, name: tensorNames[i] ?? defaults[i] }))
  return { name, classes, frontEnd: readFrontEnd(view, tensors[0]), tensors: named, layers }
}

/** undefined where a tensor is called as the layer that makes it. */
function readNames(table: Uint8Array, file: string): (string | undefined)[] {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  const names: (string | undefined)[] = []
  for (let at = 0; at < table.length;) {
    const size = table[at++]
    if (size === sameName) {
      names.push(undefined)
      continue
    }
    try {
      names.push(decoder.decode(table.subarray(at, at + size)))
    } catch {
      throw new BadModelError(`${file}: name ${names.length} is not UTF-8: export it again`)
    }
    at += size
  }
  return names
}

function readFrontEnd(view: DataView, { shape }: IntegerTensor): IntegerFrontEnd {
  const [kind, sampleRate, samples, windowSamples, hopSamples, melBands, coefficients] = [16, 20, 24, 28, 32, 36, 40].map((at) =>
    view.getUint32(at, true),
  )
  const name = frontEndKinds[kind]
  if (name === 'raw') return { kind: name, sampleRate, samples }
  if (name === 'image') return { kind: name, height: shape[0], width: shape[1], channels: shape[2] }
  const lowHz = view.getFloat32(44, true)
  const highHz = view.getFloat32(48, true)
  return { kind: name, sampleRate, samples, windowSamples, hopSamples, melBands, coefficients, lowHz, highHz }
}

function readTensor(view: DataView, at: number, name: string | undefined): IntegerTensor {
  return {
    name: name ?? '',
    shape: [view.getUint32(at, true), view.getUint16(at + 4, true), view.getUint16(at + 6, true)],
    containerBits: view.getUint8(at + 8) as IntegerTensor['containerBits'],
    bits: view.getUint8(at + 9),
    scale: view.getFloat32(at + 16, true),
    zeroPoint: view.getInt16(at + 10, true),
    min: view.getInt16(at + 12, true),
    max: view.getInt16(at + 14, true),
  }
}

function readLayer(view: DataView, at: number, name: string, tensors: readonly IntegerTensor[]): IntegerLayer {
  const op = operations[view.getUint8(at)]
  const pair = (offset: number): [number, number] => [view.getUint16(at + offset, true), view.getUint16(at + offset + 2, true)]
  const [input, second] = pair(4)
  const output = view.getUint16(at + 8, true)
  let from = view.getUint32(at + 32, true)
  const words = (count: number): Int32Array => {
    const values = Int32Array.from({ length: count }, (_, i) => view.getInt32(from + 4 * i, true))
    from += 4 * count
    return values
  }
  const shifts = (count: number): Int8Array => Int8Array.from({ length: count }, (_, i) => view.getInt8(from + i))
  const wideParameters = (channels: number, isLogarithm: boolean) => {
    const [bias, multiplier] = [words(channels), words(channels)]
    const logOffset = isLogarithm ? { logOffset: Uint32Array.from(words(channels)) } : {}
    return { bias, multiplier, shift: shifts(channels), ...logOffset }
  }
  switch (op) {
    case 'convolution': {
      const channels = tensors[output].shape[2]
      const depthwise = view.getUint8(at + 2) === 1
      const kind = view.getUint8(at + 1) % packedKind
      const packing = packings[Math.floor(view.getUint8(at + 1) / packedKind) - 1]
      const kernelSize = pair(12)
      const taps = kernelSize[0] * kernelSize[1] * (depthwise ? 1 : tensors[input].shape[2])
      const weightsAt = view.getUint32(at + 28, true)
      const coded =
        kind === 0
          ? madeWeights(view, weightsAt, channels, taps)
          : storedWeights(view, weightsAt, kind, channels, taps, depthwise ? undefined : packing)
      const isLogarithm = view.getUint8(at + 3) === 1
      const parameters = view.getUint8(at + 11) === 1 ? compactParameters(view, at, channels) : wideParameters(channels, isLogarithm)
      const left = view.getUint8(at + 10)
      const accumulatorShift = left === 0 ? {} : { accumulatorShift: left }
      const groups = depthwise ? channels : 1
      const padding = [...pair(20), ...pair(24)] as [number, number, number, number]
      const shape = { kernelSize, stride: pair(16), padding, groups }
      const order = packing ? { packing } : {}
      return { op, name, input, output, ...shape, ...coded, ...order, ...accumulatorShift, ...parameters }
    }
    case 'add':
      return { op, name, inputs: [input, second], output, multiplier: words(3), shift: shifts(3) }
    case 'attend':
      return { op, name, inputs: [input, second, view.getUint16(at + 12, true)], output, multiplier: words(1), shift: shifts(1) }
    case 'averagePool':
      return { op, name, input, output, kernelSize: pair(12), stride: pair(16), multiplier: words(1), shift: shifts(1) }
    case 'requantize':
      return { op, name, input, output, multiplier: words(1), shift: shifts(1) }
    case 'reshape':
    case 'crop':
      return { op, name, input, output }
    default:
      return op satisfies never
  }
}

/** @param at of the layer's record */
function compactParameters(view: DataView, at: number, channels: number) {
  const compact = { scaleExponent: view.getInt8(at + 6), biasExponent: view.getInt8(at + 7) }
  const from = view.getUint32(at + 32, true)
  const expanded = Array.from({ length: channels }, (_, i) => {
    const code = view.getInt32(from + 4 * i, true)
    return expandChannel(compact, { scale: code & largestScale, bias: code >> 17 })
  })
  return {
    compact,
    bias: Int32Array.from(expanded, ({ bias }) => bias),
    multiplier: Int32Array.from(expanded, ({ multiplier }) => multiplier),
    shift: Int8Array.from(expanded, ({ shift }) => shift),
  }
}

function madeWeights(view: DataView, from: number, channels: number, taps: number) {
  const cutoffs = Uint16Array.from({ length: 2 * channels }, (_, i) => view.getUint16(from + 2 * i, true))
  return { weightBits: 8, weights: sincFilters(cutoffs, taps), cutoffs }
}

function storedWeights(view: DataView, from: number, kind: number, channels: number, taps: number, packing: Packing | undefined) {
  const isOdd = kind > oddKind
  const weightBits = isOdd ? kind - oddKind : kind
  const weights = new Int8Array(channels * taps)
  for (let i = 0; i < weights.length; i++) {
    const field = packing ? packedField(view, from, packing, weightBits, taps, i) : streamField(view, from, weightBits, i)
    weights[i] = isOdd || weightBits === 1 ? 2 * field + 1 - (1 << weightBits) : field - (1 << (weightBits - 1))
  }
  return { weightBits, weights, ...(isOdd ? { oddWeights: true as const } : {}) }
}

function streamField(view: DataView, from: number, bits: number, i: number): number {
  const at = i * bits
  let word = view.getUint8(from + (at >>> 3))
  if ((at & 7) + bits > 8) word |= view.getUint8(from + (at >>> 3) + 1) << 8
  return (word >>> (at & 7)) & ((1 << bits) - 1)
}

function packedField(view: DataView, from: number, packing: Packing, bits: number, taps: number, i: number): number {
  let field = 0
  packedParts(packing, bits, taps, Math.floor(i / taps), i % taps, (bit, width, shift) => {
    field |= ((view.getUint8(from + (bit >>> 3)) >>> (bit & 7)) & ((1 << width) - 1)) << shift
  })
  return field
}

/** Sizes a runner needs: the arena, and the samples (0 of an image) and classes of one run. */
export function readSizes(bytes: Uint8Array): {
  arenaBytes: number
  samples: number
  classes: number
  inputValues: number
  logitScale: number
} {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const word = (at: number): number => view.getUint32(at, true)
  const tensors = word(64)
  const lastLayer = word(68) + (word(56) - 1) * layerRecordBytes
  const logits = tensors + view.getUint16(lastLayer + 8, true) * tensorRecordBytes
  const inputValues = word(tensors) * view.getUint16(tensors + 4, true) * view.getUint16(tensors + 6, true)
  return { arenaBytes: word(80), samples: word(24), classes: word(60), inputValues, logitScale: view.getFloat32(logits + 16, true) }
}
