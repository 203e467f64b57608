// Softmax cross-entropy against smoothed labels, or against any distribution over the classes.
import { float, none } from '../commands.ts'
import type { Tape, Value } from '../tape.ts'
import { settle } from './elementwise.ts'

export interface Loss {
  /** Heap offset of the batch's labels (int32), to be filled before a run; a negative label leaves its row out. */
  readonly labels: number
  /** With `targets`: heap offset of the distributions [batch][stride] that take the labels' place, to be filled before a run. */
  readonly targets: number
  /** After a run: mean loss over the batch (rows left out count as 0) or over as many rows as were said and the number of right answers. */
  read(): { loss: number; correct: number }
  /** Logits [batch][stride] of the last run. */
  logits(): { values: Float32Array; stride: number }
}

/**
 * logits [batch][1][1][classes] against labels; target = (1 - smoothing) onehot + smoothing / classes. With `targets` the caller says what
 * the target is, row by row, and labels only count right answers and leave rows out. `rows`: the loss is
 * the mean over so many, where not over all.
 */
export function crossEntropy(
  tape: Tape,
  value: Value,
  options: { smoothing?: number; scale?: number; targets?: boolean; rows?: number } = {},
): Loss {
  // the kernel undoes a normalisation in its gradient, but neither limits nor rounding
  const logits = value.low === -Infinity && value.high === Infinity && !value.quantizer ? value : settle(tape, value)
  const { stored } = logits
  const { rows = tape.batch } = options
  const { channels: classes, stride } = stored
  const labels = tape.allocate(tape.batch)
  const targets = options.targets ? tape.allocate(tape.batch * stride) : none
  const out = tape.allocate(tape.batch * stride)
  const partial = tape.allocate(tape.chunks * 2)
  const common = [
    tape.batch,
    tape.chunks,
    classes,
    stride,
    stored.offset,
    ...tape.transform(logits),
    labels,
    float(options.smoothing ?? 0),
    float(rows / (options.scale ?? 1)),
    out,
    partial,
  ]
  const [gradient, accumulate, sums] = tape.gradientTarget(logits)
  if (accumulate) throw new Error('crossEntropy: these logits have a loss already')
  tape.emit('forward', 'crossEntropy', [...common, gradient, tape.training ? sums : none, targets])
  const { engine, batch, chunks } = tape
  return {
    labels,
    targets,
    read: () => {
      const sum = engine.floats(partial, chunks * 2)
      let loss = 0
      let correct = 0
      for (let i = 0; i < chunks; i++) {
        loss += sum[2 * i]
        correct += sum[2 * i + 1]
      }
      return { loss: loss / rows, correct }
    },
    logits: () => ({ values: engine.floats(out, batch * stride), stride }),
  }
}
