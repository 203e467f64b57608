// Trains one network, in float or with fake-quantization: cosine schedule, batch after batch, with everything that a resumed run needs
// in `state`. One step is one or two calls of the backend; the rest here is filling batches and, for quantizers, a little arithmetic
// on the weights.
import {
  crossEntropy,
  type Engine,
  type Loss,
  observe,
  type Optimizer,
  optimizer,
  type OptimizerName,
  type ParameterStore,
  Random,
  type Stored,
  Tape,
} from '@bitwright/engine'
import type { Sample } from '../data/dataset.ts'
import { RunError } from '../errors.ts'
import { countNetwork } from '../network/counts.ts'
import type { Network } from '../network/network.ts'
import { parameterShapes } from '../network/parameters.ts'
import type { ChannelGates } from './channel-gates.ts'
import { ActivationStatistics } from '../quantizers/index.ts'
import type { SampleSource } from './sample-source.ts'
import type { Quantization } from './quantization.ts'
import { Recalibration } from './recalibrate.ts'
import { Recorder, type WeightSources } from './record.ts'
import { batchesOf, batchRows, labelledRows, writeLabels } from './rows.ts'
import { Teacher, type TeacherOptions } from './teacher.ts'

export interface TrainerOptions {
  readonly batchSize: number
  readonly epochs: number
  readonly optimizer: OptimizerName
  /** Peak; cosine to zero after a short linear warm-up. */
  readonly learningRate: number
  readonly weightDecay: number
  /** Weight decay is part of the gradient (half the squared weights, in the loss) instead of a step of its own beside Adam's. */
  readonly decayInLoss?: boolean
  readonly labelSmoothing: number
  readonly seed: number
  /** Tells apart the random draws of several trainings with one seed. */
  readonly purpose: string
  /** Share of all steps over which the learning rate rises. Default 0.05. */
  readonly rise?: number
  /** Trained widths stand still, and gates are decided, after this share of the epochs. Default 0.4: weights then recover at fixed widths. */
  readonly freezeBitsAt?: number
  /** A trained network whose answers are learned beside the labels. */
  readonly teacher?: TeacherOptions
  /** Of a training in float: learn which channels it can do without. */
  readonly gates?: ChannelGates
}

export interface EpochResult {
  readonly loss: number
  readonly accuracy: number
  readonly learningRate: number
}

/** Bits that a trained width could move before it stands still, and a gate its logit, if every step went the same way at the full rate. */
const widthTravel = 18

/** Momentum of the running statistics, as in PyTorch. */
const batchNormMomentum = 0.1

/** Cosine from 1 to 0 after a linear rise. */
export function schedule(step: number, steps: number, rise = 0.05): number {
  const warm = Math.max(1, Math.round(rise * steps))
  if (step < warm) return (step + 1) / warm
  return 0.5 * (1 + Math.cos((Math.PI * (step - warm)) / Math.max(1, steps - warm)))
}

export class Trainer {
  readonly options: TrainerOptions
  private readonly engine: Engine
  private readonly store: ParameterStore
  private readonly source: SampleSource
  private readonly quantization?: Quantization
  private readonly tape: Tape
  private readonly input: Stored
  private readonly sources: WeightSources
  private readonly loss: Loss
  private readonly teacher?: Teacher
  private readonly network: Network
  private recalibration?: Recalibration
  private readonly optimizer: Optimizer
  private readonly decaying: readonly { readonly name: string; readonly decay: number }[]
  private readonly generate: Int32Array
  private readonly pass: Int32Array
  private readonly finish: Int32Array
  private readonly whole: Int32Array
  private updates = 0
  private work = 0
  /** Multiply-accumulates of one batch. */
  private readonly forwardMacs: number
  private readonly clipsPerEpoch: number
  /** Seed of all draws. */
  private readonly draws: number

  constructor(
    engine: Engine,
    network: Network,
    store: ParameterStore,
    source: SampleSource,
    options: TrainerOptions,
    quantization?: Quantization,
  ) {
    this.engine = engine
    this.network = network
    this.store = store
    this.source = source
    this.options = options
    this.quantization = quantization
    this.draws = new Random(options.seed, 'training', options.purpose).uint32()
    this.clipsPerEpoch = source.epochOrder(this.draws, 0).length
    this.tape = new Tape(engine, { batch: batchRows(network, Math.min(options.batchSize, this.clipsPerEpoch)), mode: 'train' })
    this.forwardMacs = this.tape.batch * countNetwork(network).macs
    const momentum = this.tape.allocate(1)
    const recorder = new Recorder(this.tape, { store, momentum, quantized: quantization ?? options.gates })
    const { input, logits } = recorder.network(network)
    this.sources = recorder.sources
    this.input = input
    this.teacher = options.teacher && new Teacher(store, this.tape.batch, options.teacher)
    this.loss = crossEntropy(this.tape, logits, {
      smoothing: options.labelSmoothing,
      targets: this.teacher !== undefined,
      rows: labelledRows(network, this.clipsPerEpoch),
    })
    this.tape.backward()
    const learned = new Set(parameterShapes(network).map(({ name }) => name))
    const parameters = [...store.all()].filter(({ name }) => learned.has(name))
    this.decaying = parameters.flatMap(({ name, decay = 1 }) => (decay > 0 ? [{ name, decay }] : []))
    this.optimizer = optimizer(this.tape, options.optimizer, store, parameters)
    this.whole = this.tape.program()
    this.generate = this.tape.program(['generate'])
    this.pass = this.tape.program(['pack', 'forward', 'backward'])
    this.finish = this.tape.program(['finish', 'update'])
    engine.floats(momentum, 1)[0] = batchNormMomentum
    // of an earlier training of these parameters: Adam's first steps take moments for those of as many steps
    for (const moments of [store.first, store.second]) engine.floats(moments, store.size).fill(0)
  }

  /** Whole batches only: the clips left over come in another epoch's order. */
  get stepsPerEpoch(): number {
    return Math.max(1, Math.floor(this.clipsPerEpoch / this.input.batch))
  }

  /** Multiply-accumulates of all passes of this sitting; a backward pass counts twice the forward one. */
  get macs(): number {
    return this.work
  }

  /** The clips of an epoch in batches. */
  private batches(epoch: number): Sample[][] {
    return batchesOf(this.network, this.source.epochOrder(this.draws, epoch), this.input.batch)
  }

  private load(clips: readonly Sample[], epoch: number): void {
    this.source.fill(this.input, clips, { seed: this.draws, epoch })
    writeLabels(this.engine, this.loss.labels, this.network, this.input.batch, clips)
    this.teacher?.teach(this.input, clips, this.loss, this.options.labelSmoothing)
  }

  /** One pass over the training clips. `between` runs after every step and may end the epoch early by returning false. */
  async epoch(epoch: number, between: (step: number, steps: number) => boolean = () => true): Promise<EpochResult | undefined> {
    const { backend } = this.engine
    const batches = this.batches(epoch)
    const total = this.options.epochs * batches.length
    const freezeBitsAt = (this.options.freezeBitsAt ?? 0.4) * this.options.epochs
    if (this.quantization && epoch >= freezeBitsAt) this.quantization.freezeBits()
    const widthStep = widthTravel / Math.max(1, freezeBitsAt * batches.length)
    let loss = 0
    let correct = 0
    let seen = 0
    let factor = 0
    for (const [step, clips] of batches.entries()) {
      this.load(clips, epoch)
      factor = schedule(epoch * batches.length + step, total, this.options.rise)
      this.updates++
      this.work += 3 * this.forwardMacs + (this.teacher?.macs ?? 0)
      this.optimizer.set({
        learningRate: this.options.learningRate * factor,
        weightDecay: this.options.decayInLoss ? 0 : this.options.weightDecay,
        momentum: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        step: this.updates,
      })
      if (this.quantization) {
        backend.run(this.generate)
        this.quantization.prepare(this.sources)
        backend.run(this.pass)
        this.quantization.update(this.sources, factor, widthStep)
        this.decay()
        backend.run(this.finish)
      } else if (this.options.gates) {
        backend.run(this.generate)
        this.options.gates.prepare(this.sources)
        backend.run(this.pass)
        this.options.gates.update(this.sources, widthStep * factor)
        backend.run(this.finish)
      } else if (this.options.decayInLoss) {
        backend.run(this.generate)
        backend.run(this.pass)
        this.decay()
        backend.run(this.finish)
      } else {
        backend.run(this.whole)
      }
      const result = this.loss.read()
      if (!Number.isFinite(result.loss))
        throw new DivergedError(`training diverged in epoch ${epoch + 1} (loss is ${result.loss}); use a smaller learning rate`)
      loss += result.loss
      correct += result.correct
      seen += clips.length
      await new Promise((resolve) => setImmediate(resolve))
      if (!between(step + 1, batches.length)) return undefined
    }
    return { loss: loss / batches.length, accuracy: correct / seen, learningRate: this.options.learningRate * factor }
  }

  /** Adds the decay's share to the gradients, where it has one. */
  private decay(): void {
    const { decayInLoss, weightDecay } = this.options
    if (!decayInLoss) return
    for (const { name, decay } of this.decaying) {
      const values = this.store.value(name)
      const gradient = this.store.gradient(name)
      for (let i = 0; i < values.length; i++) gradient[i] += weightDecay * decay * values[i]
    }
  }

  /** Takes batch norm's statistics anew, from some batches of this epoch, or all of them. After the epoch. */
  async recalibrate(epoch: number, most = Infinity): Promise<void> {
    this.recalibration ??= new Recalibration(this.engine, this.network, this.store, this.input.batch, this.quantization)
    const batches = this.batches(epoch).slice(0, most)
    await this.recalibration.run(this.source, batches, { seed: this.draws, epoch })
    this.work += batches.length * this.forwardMacs
  }

  /** Starts the weight quantizers from the float weights; once, before the first epoch. */
  initializeQuantizers(): void {
    this.engine.backend.run(this.generate)
    this.quantization?.initializeWeights(this.sources)
  }

  state(): { updates: number; parameters: Float32Array; quantization?: number[][] } {
    return {
      updates: this.updates,
      parameters: this.store.snapshot(),
      ...(this.quantization ? { quantization: this.quantization.state() } : {}),
    }
  }

  restore(state: { updates: number; parameters: Float32Array; quantization?: readonly (readonly number[])[] }): void {
    this.updates = state.updates
    this.store.restore(state.parameters)
    if (this.quantization && state.quantization) this.quantization.restore(state.quantization)
  }

  dispose(): void {
    this.tape.dispose()
    this.teacher?.dispose()
    this.recalibration?.dispose()
  }
}

/** Loss or weights are no numbers any more: a candidate is dropped, a training stops. */
export class DivergedError extends RunError {}

/** Training batches a quantizer's first step is chosen from. */
const calibrationBatches = 4

/**
 * Starts all quantizers from the trained float network: weights from themselves, activations from what a few training batches look like.
 * Every activation is observed in float, so that the order of quantizers does not matter.
 */
export async function calibrate(
  engine: Engine,
  network: Network,
  store: ParameterStore,
  source: SampleSource,
  quantization: Quantization,
  options: { seed: number; batchSize: number },
): Promise<void> {
  const order = source.epochOrder(options.seed, 0)
  const size = Math.min(options.batchSize, order.length)
  const tape = new Tape(engine, { batch: batchRows(network, size), mode: 'evaluate' })
  const recorder = new Recorder(tape, { store, momentum: 0 })
  const { input } = recorder.network(network)
  const watched = quantization.rounded().map(({ quantizer, value }) => ({
    quantizer,
    statistics: new ActivationStatistics(),
    read: observe(tape, recorder.values.get(value)!),
  }))
  const run = tape.program(['generate', 'pack', 'forward'])
  for (const batch of batchesOf(network, order, size, calibrationBatches)) {
    source.fill(input, batch, { seed: options.seed, epoch: 0 })
    engine.backend.run(run)
    for (const { statistics, read } of watched) statistics.observe(read().samples)
    await new Promise((resolve) => setImmediate(resolve))
  }
  for (const { quantizer, statistics } of watched) quantizer.initialize(statistics)
  tape.dispose()
}
