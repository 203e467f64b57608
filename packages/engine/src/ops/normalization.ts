// Batch normalisation and biases (pending on their map), activations (limits on the value), fake-quantization (a slot on the value).
import { float, none } from '../commands.ts'
import type { QuantizerSlot, Tape, Value } from '../tape.ts'

export interface BatchNormParameters {
  /** Heap offsets of the learned scale and offset and their gradients; none where there are none. */
  readonly scale: number
  readonly offset: number
  readonly scaleGradient: number
  readonly offsetGradient: number
  readonly runningMean: number
  readonly runningVariance: number
  /** Heap offset of the momentum m: running += m (batch - running). */
  readonly momentum: number
  readonly epsilon: number
}

function attachable(value: Value, what: string): void {
  if (value.stored.normalization || value.low !== -Infinity || value.high !== Infinity || value.quantizer) {
    throw new Error(`${what}: the value is pending on something already`)
  }
}

/** Normalises per channel over batch, height and width: by the batch's statistics (train, recalibrate) or the running ones (evaluate). */
export function batchNorm(tape: Tape, x: Value, parameters: BatchNormParameters): Value {
  attachable(x, 'batchNorm')
  const { stored } = x
  const { channels, stride } = stored
  const arrays = tape.allocate(4 * stride)
  const count = float(stored.batch * stored.height * stored.width)
  const fromBatch = tape.mode !== 'evaluate'
  if (fromBatch) {
    if (stored.sumsArgument === undefined) throw new Error('batchNorm: only the output of a convolution or log-magnitude carries sums')
    const sums = tape.transientSums(tape.chunks * 2 * stride)
    tape.patch('forward', stored.sumsArgument, sums)
    tape.emit('forward', 'normTrain', [
      sums,
      tape.chunks,
      channels,
      stride,
      count,
      parameters.scale,
      parameters.offset,
      parameters.runningMean,
      parameters.runningVariance,
      parameters.momentum,
      float(parameters.epsilon),
      arrays,
    ])
  } else {
    tape.emit('forward', 'normEval', [
      channels,
      stride,
      parameters.scale,
      parameters.offset,
      parameters.runningMean,
      parameters.runningVariance,
      float(parameters.epsilon),
      arrays,
    ])
  }
  stored.normalization = {
    arrays,
    backward: (sums) => {
      const coefficients = tape.borrow(3 * stride)
      tape.emit('backward', 'normBackward', [
        sums,
        tape.chunks,
        channels,
        stride,
        count,
        parameters.scale,
        arrays,
        parameters.scaleGradient,
        parameters.offsetGradient,
        coefficients,
        1,
        0,
      ])
      return coefficients
    },
  }
  return x
}

/** Adds a learned offset per channel. */
export function bias(tape: Tape, x: Value, parameters: { offset: number; gradient: number }): Value {
  attachable(x, 'bias')
  const { channels, stride } = x.stored
  const arrays = tape.allocate(2 * stride)
  tape.emit('forward', 'bias', [parameters.offset, channels, stride, arrays])
  x.stored.normalization = {
    arrays,
    backward: (sums) => {
      if (parameters.gradient !== none) tape.emit('backward', 'biasBackward', [sums, tape.chunks, channels, stride, parameters.gradient, 0])
      return none
    },
  }
  return x
}

function limited(value: Value, low: number, high: number): Value {
  if (value.quantizer) throw new Error('an activation must come before the fake-quantization')
  return { ...value, low: Math.max(value.low, low), high: Math.min(value.high, high) }
}

/** max(x, 0) */
export function relu(value: Value): Value {
  return limited(value, 0, Infinity)
}

/** min(max(x, 0), 6) */
export function relu6(value: Value): Value {
  return limited(value, 0, 6)
}

/**
 * step * clamp(round(x / step), lowest, highest). The slot's step and levels are read at run time; the backward run leaves
 * [sum over inside of (round(u) - u) g, sum of g below, sum of g above] in the slot's sums, u = x / step.
 */
export function fakeQuantize(value: Value, slot: QuantizerSlot): Value {
  if (value.quantizer) throw new Error('fakeQuantize: the value is quantized already; write it out first')
  return { ...value, quantizer: slot }
}
