// Softmax cross-entropy with label smoothing.
import { float, none } from '../commands.ts'
import type { Tape, Value } from '../tape.ts'
import { settle } from './elementwise.ts'

export interface Loss {
  /** Heap offset of the batch's labels (int32), to be filled before a run; a negative label leaves its row out. */
  readonly labels: number
  /** After a run: mean loss over the batch (rows left out count as 0) and the number of right answers. */
  read(): { loss: number; correct: number }
  /** Logits [batch][stride] of the last run. */
  logits(): { values: Float32Array; stride: number }
}

/** logits [batch][1][1][classes] against labels; target = (1 - smoothing) onehot + smoothing / classes. */
export function crossEntropy(tape: Tape, value: Value, options: { smoothing?: number; scale?: number } = {}): Loss {
  // the kernel undoes a normalisation in its gradient, but neither limits nor rounding
  const logits = value.low === -Infinity && value.high === Infinity && !value.quantizer ? value : settle(tape, value)
  const { stored } = logits
  const { channels: classes, stride } = stored
  const labels = tape.allocate(tape.batch)
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
    float(tape.batch / (options.scale ?? 1)),
    out,
    partial,
  ]
  const [gradient, accumulate, sums] = tape.gradientTarget(logits)
  if (accumulate) throw new Error('crossEntropy: these logits have a loss already')
  tape.emit('forward', 'crossEntropy', [...common, gradient, tape.training ? sums : none])
  const { engine, batch, chunks } = tape
  return {
    labels,
    read: () => {
      const sum = engine.floats(partial, chunks * 2)
      let loss = 0
      let correct = 0
      for (let i = 0; i < chunks; i++) {
        loss += sum[2 * i]
        correct += sum[2 * i + 1]
      }
      return { loss: loss / batch, correct }
    },
    logits: () => ({ values: engine.floats(out, batch * stride), stride }),
  }
}
