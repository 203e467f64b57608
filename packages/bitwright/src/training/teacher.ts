// Distillation (Hinton et al., "Distilling the knowledge in a neural network", arXiv 1503.02531): a trained network's answers, on the very
// batch that a student sees, become part of what the student is asked for. Here float teaches few bits: its answers say which mistakes are
// small ones, and they cost one forward pass.
import { crossEntropy, type Engine, type Loss, ParameterStore, type Stored, Tape } from '@bitwright/engine'
import type { Sample } from '../data/dataset.ts'
import { countNetwork } from '../network/counts.ts'
import type { Network } from '../network/network.ts'
import { Recorder } from './record.ts'

export interface TeacherOptions {
  readonly network: Network
  /** A snapshot of the store that the network was trained in. */
  readonly parameters: Float32Array
  /** Share of the teacher in the target; the rest is the smoothed label. */
  readonly weight: number
  /** The samples it has a share in; default: all. */
  readonly knows?: (sample: Sample) => boolean
}

export class Teacher {
  private readonly engine: Engine
  private readonly tape: Tape
  private readonly store: ParameterStore
  private readonly input: Stored
  private readonly loss: Loss
  private readonly run: Int32Array
  private readonly classes: number
  private readonly options: TeacherOptions
  /** Multiply-accumulates of one batch. */
  readonly macs: number

  /** `like`: a store with the same parameters as the snapshot's. */
  constructor(like: ParameterStore, batch: number, options: TeacherOptions) {
    const { network, parameters } = options
    this.engine = like.engine
    this.classes = network.classes.length
    this.options = options
    this.macs = batch * countNetwork(network).macs
    this.store = new ParameterStore(
      like.engine,
      [...like.all()].map(({ name, size }) => ({ name, size })),
    )
    this.store.restore(parameters)
    this.tape = new Tape(like.engine, { batch, mode: 'evaluate' })
    const { input, logits } = new Recorder(this.tape, { store: this.store, momentum: 0 }).network(network)
    this.input = input
    this.loss = crossEntropy(this.tape, logits)
    this.run = this.tape.program(['generate', 'pack', 'forward'])
  }

  /** Writes what a student is asked for on this batch into its loss's targets. */
  teach(batch: Stored, samples: readonly Sample[], student: Loss, smoothing: number): void {
    const { engine, input, classes } = this
    const { weight: share, knows = () => true } = this.options
    const size = input.batch * input.height * input.rowStride
    engine.floats(input.offset, size).set(engine.floats(batch.offset, size))
    const labels = engine.integers(student.labels, input.batch)
    engine.integers(this.loss.labels, input.batch).set(labels)
    engine.backend.run(this.run)
    const { values: logits, stride } = this.loss.logits()
    const targets = engine.floats(student.targets, input.batch * stride)
    for (let row = 0; row < input.batch; row++) {
      const own = logits.subarray(row * stride, row * stride + classes)
      const weight = row < samples.length && knows(samples[row]) ? share : 0
      let highest = -Infinity
      for (const logit of own) highest = Math.max(highest, logit)
      let sum = 0
      for (const logit of own) sum += Math.exp(logit - highest)
      for (let c = 0; c < classes; c++) {
        const label = smoothing / classes + (c === labels[row] ? 1 - smoothing : 0)
        targets[row * stride + c] = weight * (Math.exp(own[c] - highest) / sum) + (1 - weight) * label
      }
    }
  }

  dispose(): void {
    this.tape.dispose()
    this.store.dispose()
  }
}
