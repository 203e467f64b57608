// Scores of a classifier on a set of clips: from a recorded network, or from any list of answers.
import { crossEntropy, type Engine, type Loss, type ParameterStore, Random, type Stored, Tape } from '@bitwright/engine'
import type { Sample } from '../data/dataset.ts'
import { silenceLabel } from '../data/scan.ts'
import type { Network } from '../network/network.ts'
import type { ClassifierScores } from '../study/events.ts'
import type { SampleSource } from './sample-source.ts'
import { type Quantized, Recorder, type WeightSources } from './record.ts'
import { batchRows, rowOf, writeLabels } from './rows.ts'
import { WholeLayers } from './whole-layers.ts'

/** A network recorded with its running statistics, to be run over clips. */
export class Evaluator {
  private readonly engine: Engine
  private readonly tape: Tape
  private readonly input: Stored
  private readonly store: ParameterStore
  private readonly sources: WeightSources
  private readonly loss: Loss
  private readonly generate: Int32Array
  private readonly run: Int32Array
  private readonly quantization?: Quantized
  private readonly whole?: WholeLayers
  private readonly network: Network

  constructor(engine: Engine, network: Network, store: ParameterStore, options: { batch?: number; quantization?: Quantized } = {}) {
    this.engine = engine
    this.store = store
    this.quantization = options.quantization
    this.network = network
    this.tape = new Tape(engine, { batch: batchRows(network, options.batch ?? 64), mode: 'evaluate' })
    this.whole = options.quantization && new WholeLayers(engine, options.quantization)
    const recorder = new Recorder(this.tape, { store, momentum: 0, quantized: options.quantization, whole: this.whole })
    const { input, logits } = recorder.network(network)
    this.sources = recorder.sources
    this.input = input
    this.loss = crossEntropy(this.tape, logits)
    this.generate = this.tape.program(['generate'])
    this.run = this.tape.program(['pack', 'forward'])
  }

  /** Logits of every clip, and the mean loss. The event loop turns between batches. */
  async logits(source: SampleSource, clips: readonly Sample[]): Promise<{ logits: Float32Array[]; loss: number }> {
    const { engine, input, network } = this
    engine.backend.run(this.generate)
    this.quantization?.prepare(this.sources)
    this.whole?.prepare(this.store, this.sources)
    const all: Float32Array[] = []
    let loss = 0
    for (let begin = 0; begin < clips.length; begin += input.batch) {
      const batch = clips.slice(begin, begin + input.batch)
      source.fill(input, batch, null)
      writeLabels(engine, this.loss.labels, network, input.batch, batch)
      engine.backend.run(this.run)
      const { values, stride } = this.loss.logits()
      batch.forEach((clip, position) => {
        const row = rowOf(network, clip, position)
        all.push(values.slice(row * stride, row * stride + network.classes.length))
      })
      loss += this.loss.read().loss * input.batch
      await new Promise((resolve) => setImmediate(resolve))
    }
    return { logits: all, loss: loss / Math.max(1, clips.length) }
  }

  dispose(): void {
    this.tape.dispose()
    this.whole?.dispose()
  }
}

/** Index of the largest value; the first of equals. */
export function argMax(values: ArrayLike<number>): number {
  let best = 0
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i
  return best
}

/** How often speakers are drawn anew for the standard error. */
const resamples = 1000

/** Scores of `answers` (class indices) on the clips. The standard error resamples speakers with replacement, clips where none is known. */
export function scores(clips: readonly Sample[], answers: readonly number[], classes: readonly string[]): ClassifierScores {
  const confusion = classes.map(() => classes.map(() => 0))
  clips.forEach((clip, i) => confusion[clip.label][answers[i]]++)
  const right = confusion.reduce((sum, row, i) => sum + row[i], 0)
  const silence = classes.indexOf(silenceLabel)
  const groups = new Map<string, { right: number; count: number }>()
  clips.forEach((clip, i) => {
    const key = clip.speaker ?? clip.path
    const group = groups.get(key) ?? { right: 0, count: 0 }
    group.count++
    if (clip.label === answers[i]) group.right++
    groups.set(key, group)
  })
  const pools = [...groups.values()]
  const random = new Random(0, 'bootstrap')
  let sum = 0
  let squares = 0
  for (let draw = 0; draw < resamples; draw++) {
    let r = 0
    let n = 0
    for (let i = 0; i < pools.length; i++) {
      const pool = pools[random.integer(pools.length)]
      r += pool.right
      n += pool.count
    }
    sum += r / n
    squares += (r / n) ** 2
  }
  const withSilence = silence >= 0 ? confusion[silence].reduce((a, b) => a + b, 0) : 0
  const others = clips.length - withSilence
  return {
    accuracy: right / Math.max(1, clips.length),
    count: clips.length,
    ...(silence >= 0 && others > 0 ? { accuracyWithoutSilence: (right - confusion[silence][silence]) / others } : {}),
    confusion,
    recall: confusion.map(
      (row, i) =>
        row[i] /
        Math.max(
          1,
          row.reduce((a, b) => a + b, 0),
        ),
    ),
    standardError: clips.length ? Math.sqrt(Math.max(0, squares / resamples - (sum / resamples) ** 2)) : 0,
  }
}
