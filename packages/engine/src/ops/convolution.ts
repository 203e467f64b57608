// Convolution layers: dense (linear layers are 1x1 on a 1x1 map) and depthwise. Weights are [kernelHeight][kernelWidth][in][out]
// (dense) or [kernelHeight][kernelWidth][channels] (depthwise), without any padding; packing gives them the kernels' layout.
import { none } from '../commands.ts'
import { align } from '../engine.ts'
import type { Tape, Value, WeightReference } from '../tape.ts'
import { depthwiseTile } from './depthwise.ts'

export interface ConvolutionShape {
  readonly channels: number
  /** [height, width] */
  readonly kernelSize: readonly [number, number]
  readonly stride: readonly [number, number]
  /** [top, bottom, left, right], zeros */
  readonly padding: readonly [number, number, number, number]
  /** 1, or the number of channels (depthwise). */
  readonly groups: number
}

/** Rows a pointwise kernel works on at a time and rows of its register tile (kernels/dense.h, matrix.h). */
const blockRows = 48
/** Output rows of other layers are taken together in the backward pass until there are so many pixels. */
const blockPixels = 24
const tileRows = 8
/** kernels/depthwise.c keeps one offset per tap on its stack. */
const maxDepthwiseTaps = 128

/** [output, window] along one axis: floor((size + padding - window) / stride) + 1. */
function outputSize(size: number, window: number, stride: number, padding: number, axis: string): number {
  const out = Math.floor((size + padding - window) / stride) + 1
  if (out < 1) throw new Error(`convolution: a kernel of ${axis} ${window} does not fit a map of ${axis} ${size} with padding ${padding}`)
  return out
}

/** x [batch][height][width][in] -> [batch][outHeight][outWidth][channels]; neither normalised nor biased yet. */
export function convolution(tape: Tape, x: Value, weights: WeightReference, shape: ConvolutionShape): Value {
  const { stored } = x
  const depthwise = shape.groups > 1
  if (depthwise && (shape.groups !== stored.channels || shape.channels !== stored.channels)) {
    throw new Error(`convolution: groups must be 1 or all ${stored.channels} channels, not ${shape.groups}`)
  }
  const taps = shape.kernelSize[0] * shape.kernelSize[1]
  if (depthwise && taps > maxDepthwiseTaps)
    throw new Error(`convolution: a depthwise kernel has at most ${maxDepthwiseTaps} taps, not ${taps}`)
  if (stored.stride === 1 && stored.normalization) throw new Error('convolution: a one-channel map cannot be pending on a normalisation')
  const [top, bottom, left, right] = shape.padding
  const outHeight = outputSize(stored.height, shape.kernelSize[0], shape.stride[0], top + bottom, 'height')
  const outWidth = outputSize(stored.width, shape.kernelSize[1], shape.stride[1], left + right, 'width')

  // A signal along the height axis is the same memory along the width axis, where windows are contiguous.
  const turned =
    stored.width === 1 && shape.kernelSize[1] === 1 && left + right === 0 && (stored.rowStride === stored.stride || stored.height === 1)
  const [height, width, rowStride] = turned
    ? [1, stored.height, stored.height * stored.rowStride]
    : [stored.height, stored.width, stored.rowStride]
  const geometry = turned
    ? [1, shape.kernelSize[0], 1, shape.stride[0], 0, 0, top, bottom]
    : [...shape.kernelSize, ...shape.stride, top, bottom, left, right]
  const [mapHeight, mapWidth] = turned ? [1, outHeight] : [outHeight, outWidth]

  const outStride = tape.engine.padded(shape.channels)
  const depth = taps * stored.stride
  const columns = align(depth, tape.engine.lanes)
  const paddedRow = (width + geometry[6] + geometry[7]) * stored.stride
  const image = paddedRow * (height + geometry[4] + geometry[5])
  const y = tape.store(outHeight, outWidth, shape.channels)
  const common = () => [tape.batch, tape.chunks, stored.offset, height, width, stored.stride, rowStride, ...tape.transform(x)]

  if (depthwise) {
    const packed = tape.allocate(taps * stored.stride)
    tape.emit('pack', 'packDepthwise', [weights.offset, taps, stored.channels, packed, tape.nextPack()], 0, false)
    const [kernelHeight, kernelWidth, strideY, strideX, before, , start] = geometry
    const tile = depthwiseTile(
      { size: height, out: mapHeight, kernel: kernelHeight, stride: strideY, before },
      { size: width, out: mapWidth, kernel: kernelWidth, stride: strideX, before: start },
      tape.engine.lanes,
    )
    const layer = [...common(), packed, y.offset, mapHeight, mapWidth, outStride, ...geometry]
    const at = tape.emit('forward', 'depthwise', [...layer, none, tile.rows, tile.columns], tile.forwardScratch)
    y.sumsArgument = at + 25
    tape.onBackward(() => {
      const output = tape.outputGradient(y)
      if (!output) return
      const target = tape.gradientTarget(x)
      const partial = weights.gradient === none ? none : tape.transientWeights(tape.chunks * taps * stored.stride)
      tape.emit(
        'backward',
        'depthwiseBackward',
        [...layer, output[0], output[1], partial, ...target, tile.rows, tile.columns],
        tile.backwardScratch,
      )
      if (partial !== none)
        tape.emit('backward', 'reduceDepthwise', [partial, tape.chunks, taps, stored.channels, stored.stride, weights.gradient, 0])
      tape.collectQuantizerSums(x)
      tape.releaseGradient(y, output[1])
    })
    return tape.value(y)
  }

  const packArguments = [weights.offset, taps, stored.channels, stored.stride, shape.channels, outStride]
  const packed = tape.allocate(depth * outStride)
  tape.emit('pack', 'pack', [...packArguments, packed, 0, tape.nextPack()], 0, false)
  const forwardScratch = 2 * outStride + Math.max(image, blockRows * stored.stride) + tileRows * depth
  const at = tape.emit(
    'forward',
    'convolution',
    [...common(), packed, y.offset, mapHeight, mapWidth, outStride, ...geometry, none],
    forwardScratch,
  )
  y.sumsArgument = at + 25
  const base = stored.aliasOf ?? stored
  // with stride 1 the input's gradient is a convolution too, of taps in the opposite order
  const correlates =
    taps > 1 &&
    geometry[2] === 1 &&
    geometry[3] === 1 &&
    stored.stride > 1 &&
    geometry.slice(4).every((padding, i) => padding < geometry[i >> 1]) &&
    shape.channels * 4 >= outStride * 3
  const form = correlates ? 2 : 1
  const transposed = base.needsGradient ? tape.allocate(correlates ? taps * outStride * stored.stride : shape.channels * columns) : none
  if (transposed !== none) tape.emit('pack', 'pack', [...packArguments, transposed, form, tape.nextPack()], 0, false)
  tape.onBackward(() => {
    const output = tape.outputGradient(y)
    if (!output) return
    const target = tape.gradientTarget(x)
    const partial = weights.gradient === none ? none : tape.transientWeights(tape.chunks * depth * outStride)
    const pixels = Math.min(mapHeight, Math.ceil(blockPixels / mapWidth)) * mapWidth
    const bordered = (height + geometry[0] - 1) * (width + geometry[1] - 1) * outStride
    const scratch = Math.max(
      blockRows * (2 * stored.stride + 2 * outStride) + 2 * stored.stride,
      2 * (image + 16) + pixels * (outStride + columns) + tileRows * outStride + 2 * stored.stride,
      correlates ? image + 16 + bordered + width * stored.stride + tileRows * taps * outStride + 2 * stored.stride : 0,
    )
    tape.emit(
      'backward',
      'convolutionBackward',
      [
        ...common(),
        transposed,
        y.offset,
        mapHeight,
        mapWidth,
        outStride,
        ...geometry,
        output[0],
        output[1],
        partial,
        ...target,
        shape.channels,
        form,
      ],
      scratch,
    )
    if (partial !== none)
      tape.emit('backward', 'reduceWeights', [
        partial,
        tape.chunks,
        taps,
        stored.channels,
        stored.stride,
        shape.channels,
        outStride,
        weights.gradient,
        0,
      ])
    tape.collectQuantizerSums(x)
    tape.releaseGradient(y, output[1])
  })
  return tape.value(y)
}

/** x [batch][1][1][in] -> [batch][1][1][units] */
export function linear(tape: Tape, x: Value, weights: WeightReference, units: number): Value {
  return convolution(tape, x, weights, { channels: units, kernelSize: [1, 1], stride: [1, 1], padding: [0, 0, 0, 0], groups: 1 })
}
