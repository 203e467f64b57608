// Addition, pooling, the log-magnitude of raw-audio filters, reshaping, and the two ways of looking at a value from outside.
import { float, none } from '../commands.ts'
import type { Stored, Tape, Value, WeightReference } from '../tape.ts'

/** Pixels and channels of a map as the elementwise kernels see it; a one-channel map is a map of its rows. */
function flat(stored: Stored): { pixels: number; channels: number; used: number } {
  if (stored.stride === 1) return { pixels: stored.height, channels: stored.rowStride, used: stored.width }
  return { pixels: stored.height * stored.width, channels: stored.stride, used: stored.channels }
}

/** Rows the addition kernel works on at a time (kernels/elementwise.c). */
const blockRows = 32

/** The sum of one or two values of the same shape, written out. With one value: whatever is pending is applied. */
export function add(tape: Tape, ...values: Value[]): Value {
  return sumOf(tape, values)
}

/** x + factor * y, where the factor is one learned number. */
export function addScaled(tape: Tape, x: Value, y: Value, factor: WeightReference): Value {
  return sumOf(tape, [x, y], factor)
}

function sumOf(tape: Tape, values: readonly Value[], factor?: WeightReference): Value {
  const first = values[0].stored
  for (const { stored } of values) {
    if (
      stored.height !== first.height ||
      stored.width !== first.width ||
      stored.channels !== first.channels ||
      stored.stride !== first.stride ||
      stored.rowStride !== first.rowStride
    ) {
      throw new Error(
        `add: shapes differ: ${[first.height, first.width, first.channels]} and ${[stored.height, stored.width, stored.channels]}`,
      )
    }
  }
  const { pixels, channels } = flat(first)
  const needsGradient = values.some(({ stored }) => (stored.aliasOf ?? stored).needsGradient)
  const y = tape.store(first.height, first.width, first.channels, { needsGradient, stride: first.stride, rowStride: first.rowStride })
  tape.emit(
    'forward',
    'add',
    [
      tape.batch,
      tape.chunks,
      pixels,
      channels,
      y.offset,
      values.length,
      factor?.offset ?? none,
      ...values.flatMap((value) => [value.stored.offset, ...tape.transform(value)]),
    ],
    blockRows * channels,
  )
  tape.onBackward(() => {
    const output = tape.outputGradient(y)
    if (!output) return
    values.forEach((value, i) => {
      const common = [tape.batch, tape.chunks, pixels, channels, value.stored.offset, ...tape.transform(value), output[0]]
      const scaled = factor !== undefined && i === 1
      if (scaled && factor.gradient !== none) {
        const partial = tape.transientSums(tape.chunks * tape.engine.lanes)
        tape.emit('backward', 'dot', [...common, partial], channels)
        tape.emit('backward', 'reduceLanes', [partial, tape.chunks, 1, factor.gradient, 0])
      }
      const target = tape.gradientTarget(value)
      if (target[0] === none) return
      const scratch = (2 + (scaled ? blockRows : 0)) * channels
      tape.emit('backward', 'addBackward', [...common, ...target, scaled ? factor.offset : none], scratch)
      tape.collectQuantizerSums(value)
    })
    tape.releaseGradient(y, output[1])
  })
  return tape.value(y)
}

/** Applies what is pending and writes the value out. */
export function settle(tape: Tape, value: Value): Value {
  return tape.settled(value) ? value : add(tape, value)
}

/** Means over windows [kernelHeight, kernelWidth]; no padding, the rest at the end is dropped. */
export function averagePool(tape: Tape, x: Value, kernelSize: readonly [number, number], stride: readonly [number, number]): Value {
  const { stored } = x
  if (stored.stride === 1) throw new Error('averagePool: one-channel maps are not supported')
  const outHeight = Math.floor((stored.height - kernelSize[0]) / stride[0]) + 1
  const outWidth = Math.floor((stored.width - kernelSize[1]) / stride[1]) + 1
  if (outHeight < 1 || outWidth < 1)
    throw new Error(`averagePool: a window of ${kernelSize} does not fit a map of ${[stored.height, stored.width]}`)
  const y = tape.store(outHeight, outWidth, stored.channels, { needsGradient: stored.needsGradient })
  const before = [tape.batch, tape.chunks, stored.height, stored.width, stored.stride, stored.offset, ...tape.transform(x)]
  const after = [outHeight, outWidth, ...kernelSize, ...stride]
  const scratch = stored.height * stored.width * stored.stride + 2 * stored.stride
  tape.emit('forward', 'pool', [...before, y.offset, ...after], scratch)
  tape.onBackward(() => {
    const output = tape.outputGradient(y)
    if (!output) return
    const target = tape.gradientTarget(x)
    if (target[0] !== none) {
      tape.emit('backward', 'poolBackward', [...before, output[0], ...after, ...target], scratch)
      tape.collectQuantizerSums(x)
    }
    tape.releaseGradient(y, output[1])
  })
  return tape.value(y)
}

/** [height][width][channels] -> [1][1][channels] */
export function globalAveragePool(tape: Tape, x: Value): Value {
  const { height, width } = x.stored
  return averagePool(tape, x, [height, width], [height, width])
}

/** log(|x| + epsilon) of a convolution's raw output, with the sums a batch norm needs. */
export function logMagnitude(tape: Tape, x: Value, epsilon: number): Value {
  if (!tape.settled(x)) throw new Error('logMagnitude: works on a convolution without normalisation')
  const { stored } = x
  const y = tape.store(stored.height, stored.width, stored.channels, { needsGradient: stored.needsGradient })
  const common = [tape.batch, tape.chunks, stored.height * stored.width, stored.stride, stored.offset, y.offset, float(epsilon)]
  const at = tape.emit('forward', 'logMagnitude', [...common, none])
  y.sumsArgument = at + 7
  tape.onBackward(() => {
    const output = tape.outputGradient(y)
    if (!output) return
    const [gradient, accumulate] = tape.gradientTarget(x)
    if (accumulate) throw new Error('logMagnitude: its input may have no other consumer')
    if (gradient !== none) tape.emit('backward', 'logMagnitudeBackward', [...common, ...output, gradient])
    tape.releaseGradient(y, output[1])
  })
  return tape.value(y)
}

/**
 * The same numbers under another shape: [h][1][c] as the one-channel map [h][c][1], or [h][w][1] as the signal [h][1][w].
 * A pending value is written out first.
 */
export function reshape(tape: Tape, x: Value, height: number, width: number, channels: number): Value {
  const settled = settle(tape, x)
  const { stored } = settled
  const view = {
    offset: stored.offset,
    batch: stored.batch,
    height,
    width,
    channels,
    needsGradient: stored.needsGradient,
    aliasOf: stored.aliasOf ?? stored,
  }
  const padded = tape.engine.padded(channels)
  if (stored.width === 1 && channels === 1 && height === stored.height && width === stored.channels) {
    return tape.value({ ...view, stride: 1, rowStride: stored.rowStride })
  }
  if (stored.channels === 1 && width === 1 && height === stored.height && channels === stored.width) {
    if (stored.rowStride === padded) return tape.value({ ...view, stride: padded, rowStride: padded })
    const copy = tape.store(height, 1, channels, { needsGradient: stored.needsGradient })
    tape.emit('forward', 'copyRows', [stored.offset, stored.rowStride, copy.offset, padded, stored.batch * height, channels])
    tape.onBackward(() => {
      const output = tape.outputGradient(copy)
      if (!output) return
      const [gradient, accumulate] = tape.gradientTarget(settled)
      if (accumulate) throw new Error('reshape: its input may have no other consumer')
      if (gradient !== none)
        tape.emit('backward', 'copyRows', [output[0], padded, gradient, stored.rowStride, stored.batch * height, channels])
      tape.releaseGradient(copy, output[1])
    })
    return tape.value(copy)
  }
  if (stored.height === height && stored.width === width && stored.channels === channels) return settled
  throw new Error(`reshape: [${[stored.height, stored.width, stored.channels]}] as [${[height, width, channels]}] is not supported`)
}

/** The map without its first `rows` rows; what is pending is applied first. */
export function crop(tape: Tape, x: Value, rows: number): Value {
  // a copy of its own, whose gradient nobody else adds to
  const { stored: from } = add(tape, x)
  const { batch, height, rowStride } = from
  const kept = height - rows
  if (rows < 0 || kept < 1) throw new Error(`crop: ${rows} rows off a map of ${height}`)
  const y = tape.store(kept, from.width, from.channels, { needsGradient: from.needsGradient, stride: from.stride, rowStride })
  const [whole, part, skipped] = [height * rowStride, kept * rowStride, rows * rowStride]
  tape.emit('forward', 'copyRows', [from.offset + skipped, whole, y.offset, part, batch, part])
  tape.onBackward(() => {
    const output = tape.outputGradient(y)
    if (!output) return
    const [gradient] = tape.gradientTarget(tape.value(from))
    if (gradient !== none) {
      const [last, ahead] = [batch - 1, gradient + skipped]
      // zeros before the first clip, the clips each with the zeros of the next, and the last one alone: nothing lies behind it
      tape.emit('backward', 'copyRows', [output[0], 0, gradient, skipped, 1, 0], 0, false)
      if (last > 0) tape.emit('backward', 'copyRows', [output[0], part, ahead, whole, last, part], 0, false)
      tape.emit('backward', 'copyRows', [output[0] + last * part, part, ahead + last * whole, part, 1, part])
    }
    tape.releaseGradient(y, output[1])
  })
  return tape.value(y)
}

/** After each run `read` gives the sum over all elements of value * gradient of `of`: d loss / d gate of a branch whose output is `value`. */
export function dot(tape: Tape, value: Value, of: Stored, segment: 'forward' | 'finish' = 'finish'): () => number {
  const base = of.aliasOf ?? of
  if (base.gradient === undefined) throw new Error('dot: that map has no gradient')
  const { pixels, channels } = flat(value.stored)
  const { lanes } = tape.engine
  const partial = tape.allocate(tape.chunks * lanes)
  const sum = tape.allocate(1)
  tape.emit(
    segment,
    'dot',
    [tape.batch, tape.chunks, pixels, channels, value.stored.offset, ...tape.transform(value), base.gradient, partial],
    channels,
  )
  tape.emit(segment, 'reduceLanes', [partial, tape.chunks, 1, sum, 0])
  return () => tape.engine.backend.heap[sum]
}

export interface Observation {
  readonly meanMagnitude: number
  readonly maximumMagnitude: number
  /** Evenly spaced values of the map. */
  readonly samples: Float32Array
}

/** After each run `read` describes the value's numbers: what a quantizer's first step is chosen from. */
export function observe(tape: Tape, value: Value, sampleCount = 16_384): () => Observation {
  const { pixels, channels, used } = flat(value.stored)
  const partial = tape.allocate(tape.chunks * 3)
  const count = Math.min(sampleCount, tape.batch * pixels * used)
  const samples = tape.allocate(count)
  tape.emit(
    'forward',
    'observe',
    [tape.batch, tape.chunks, pixels, channels, used, value.stored.offset, ...tape.transform(value), partial, samples, count],
    channels,
  )
  return () => {
    const sums = tape.engine.floats(partial, tape.chunks * 3)
    let total = 0
    let maximum = 0
    let elements = 0
    for (let i = 0; i < tape.chunks; i++) {
      total += sums[i * 3]
      maximum = Math.max(maximum, sums[i * 3 + 1])
      elements += sums[i * 3 + 2]
    }
    return { meanMagnitude: total / elements, maximumMagnitude: maximum, samples: tape.engine.floats(samples, count).slice() }
  }
}
