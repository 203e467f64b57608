// Attention of a map's positions to each other: softmax over the rows of query * transposed key, times value.
import { none } from '../commands.ts'
import { align } from '../engine.ts'
import type { Tape, Value } from '../tape.ts'

/** Rows of a block (kernels/attend.c) and of a register tile (kernels/matrix.h). */
const blockRows = 24
const tileRows = 8

/**
 * Maps [height][width][c], [height][width][c] and [height][width][d] -> [height][width][d]: every position of the query looks at all positions
 * of the key, weighs them by a softmax of the products, and takes their mean of the value.
 */
export function attend(tape: Tape, query: Value, key: Value, value: Value): Value {
  const inputs = [query, key, value]
  const [q, k, v] = inputs.map(({ stored }) => stored)
  if (q.channels !== k.channels || inputs.some(({ stored }) => stored.height !== q.height || stored.width !== q.width)) {
    const shapes = inputs.map(({ stored }) => `[${[stored.height, stored.width, stored.channels]}]`)
    throw new Error(`attend: shapes do not fit: ${shapes.join(', ')}`)
  }
  if (inputs.some(({ stored }) => stored.stride === 1)) throw new Error('attend: one-channel maps are not supported')
  const { lanes } = tape.engine
  const nodes = q.height * q.width
  const columns = align(nodes, lanes)
  // an odd number of cache lines: rows at powers of two would share few places in a cache
  const row = 16 * (Math.ceil(nodes / 16) | 1)
  const needsGradient = inputs.some(({ stored }) => (stored.aliasOf ?? stored).needsGradient)
  const y = tape.store(v.height, v.width, v.channels, { needsGradient })
  // of each row its largest score and one over its sum
  const kept = y.needsGradient ? tape.allocate(2 * tape.batch * nodes) : none
  const common = [
    tape.batch,
    tape.chunks,
    nodes,
    ...inputs.flatMap((input) => [input.stored.offset, ...tape.transform(input)]),
    q.stride,
    q.channels,
    v.stride,
    v.channels,
    row,
    kept,
    y.offset,
  ]
  const wide = Math.max(q.stride, v.stride)
  const block = blockRows * (row + q.stride) + (nodes + tileRows) * wide + tileRows * nodes + q.channels * columns
  tape.emit('forward', 'attend', common, block + nodes * v.stride)
  tape.onBackward(() => {
    const output = tape.outputGradient(y)
    if (!output) return
    const size = tape.chunks * 3 * lanes
    const sums = tape.transientSums(3 * size)
    const targets = inputs.map((input, i) => {
      const [gradient, accumulate, stats, quantizerSums] = tape.gradientTarget(input)
      return [gradient, accumulate, stats, quantizerSums === none ? none : sums + i * size]
    })
    const ofScores = blockRows * (row + v.stride) + v.channels * columns
    const gradients = nodes * (3 * q.stride + v.stride) + 2 * wide
    tape.emit('backward', 'attendBackward', [...common, output[0], ...targets.flat()], block + ofScores + gradients)
    inputs.forEach((input, i) => tape.collectQuantizerSums(input, sums + i * size))
    tape.releaseGradient(y, output[1])
  })
  return tape.value(y)
}
