// A space and a store: networks of the space share weights by parameter names, and this trains and scores them one sampled path at a
// time. A path is recorded anew for each step; nothing here grows with the number of options but the parameters themselves.
import { crossEntropy, dot, type Engine, type ParameterStore, Random, Tape } from '@bitwright/engine'
import type { Sample } from '../data/dataset.ts'
import type { Network } from '../network/network.ts'
import { parameterShapes } from '../network/parameters.ts'
import { everyPath } from '../spaces/decisions.ts'
import type { Space } from '../spaces/space.ts'
import type { SampleSource } from '../training/sample-source.ts'
import { argMax, Evaluator } from '../training/evaluate.ts'
import { createStore } from '../training/initialize.ts'
import { Recalibration } from '../training/recalibrate.ts'
import { Recorder } from '../training/record.ts'
import { DivergedError } from '../training/trainer.ts'
import type { QuantizedPath, SharedQuantization, WidthGates } from '../training/shared-quantization.ts'
import { SharedWeights } from './shared-weights.ts'

export interface SupernetOptions {
  readonly seed: number
  readonly batchSize: number
  readonly labelSmoothing: number
  readonly weightDecay: number
}

/** Batches whose statistics replace the running ones before a network is scored with shared weights. */
const recalibrationBatches = 8

export class Supernet {
  readonly space: Space
  readonly store: ParameterStore
  private readonly engine: Engine
  private readonly source: SampleSource
  private readonly options: SupernetOptions
  private readonly shared: SharedWeights
  /** Heap offset of a batch-norm momentum. */
  private readonly momentum: number

  constructor(engine: Engine, space: Space, source: SampleSource, options: SupernetOptions) {
    this.engine = engine
    this.space = space
    this.source = source
    this.options = options
    const everyOption = everyPath(space).map((decisions) => space.build(decisions))
    this.store = createStore(engine, everyOption, options.seed)
    this.shared = new SharedWeights(this.store, space, everyOption)
    this.momentum = engine.heap.allocate(1)
  }

  private load(
    tape: Tape,
    input: Parameters<SampleSource['fill']>[0],
    labels: number,
    clips: readonly Sample[],
    epoch: number | undefined,
  ): void {
    this.source.fill(input, clips, epoch === undefined ? null : { seed: this.options.seed, epoch })
    this.engine.integers(labels, tape.batch).set(clips.map(({ label }) => label))
  }

  /**
   * One AdamW step on the weights of the sampled path, and on the ranges where it is quantized at the widths of its network. Returns loss and
   * right answers.
   */
  weightStep(
    decisions: readonly number[],
    clips: readonly Sample[],
    epoch: number,
    learningRate: number,
    quantization?: SharedQuantization,
  ): { loss: number; correct: number } {
    const { engine, store } = this
    const tape = new Tape(engine, { batch: clips.length, mode: 'train' })
    const network = this.space.build(decisions)
    const path = quantization?.path(network)
    const recorder = new Recorder(tape, { store, momentum: this.momentum, ...(path ? { quantized: path } : {}) })
    const { input, logits } = recorder.network(network)
    const loss = crossEntropy(tape, logits, { smoothing: this.options.labelSmoothing })
    tape.backward()
    const parameters = parameterShapes(network)
    this.shared.load(parameters)
    this.load(tape, input, loss.labels, clips, epoch)
    engine.floats(this.momentum, 1)[0] = 0.1
    this.run(tape, recorder, path)
    const result = loss.read()
    tape.dispose()
    path?.dispose()
    if (!Number.isFinite(result.loss)) {
      quantization?.discard()
      throw new DivergedError(`the search diverged in epoch ${epoch + 1} (loss is ${result.loss}); use a smaller learning rate`)
    }
    this.shared.collect(parameters)
    this.shared.apply(learningRate, this.options.weightDecay)
    quantization?.update(learningRate)
    return result
  }

  /** Forward and backward, through the quantizers of a path. */
  private run(tape: Tape, recorder: Recorder, path: QuantizedPath | undefined): void {
    const { backend } = this.engine
    if (!path) return backend.run(tape.program())
    backend.run(tape.program(['generate']))
    path.prepare(recorder.sources)
    backend.run(tape.program(['pack', 'forward', 'backward']))
    path.collect(recorder.sources)
    backend.run(tape.program(['finish']))
  }

  /**
   * dCE/dgate of every option of every choice on one batch, with the path `decisions` active: <output of option k, gradient of the
   * edge's output>, batch statistics throughout. Options that are not active are run one after another on the edge's input; each one's
   * memory is given back before the next. With quantizers also of every width of every layer.
   */
  gateGradients(
    decisions: readonly number[],
    clips: readonly Sample[],
    quantization?: SharedQuantization,
  ): { loss: number; dGates: number[][]; widths: WidthGates[] } {
    const { engine, store, space } = this
    engine.floats(this.momentum, 1)[0] = 0
    this.shared.loadAll()
    const tape = new Tape(engine, { batch: clips.length, mode: 'train' })
    const network = space.build(decisions)
    const path = quantization?.path(network)
    path?.keepApart()
    const recorder = new Recorder(tape, {
      store,
      momentum: this.momentum,
      weightGradients: path !== undefined,
      ...(path ? { quantized: path } : {}),
    })
    const edges = space.edges(decisions)
    const { input, logits } = recorder.network(network)
    for (const edge of edges) {
      const { stored, low, high } = recorder.values.get(edge.output)!
      // a map's gradient is that of its normalisation: what an activation cuts off would be missing for the other options
      if (low !== -Infinity || high !== Infinity) {
        tape.dispose()
        path?.dispose()
        throw new Error(`space ${space.name}: "${edge.output}" ends an option and has an activation`)
      }
      stored.keepGradient = true
    }
    const loss = crossEntropy(tape, logits, { smoothing: this.options.labelSmoothing })
    path?.keepGradients(recorder)
    tape.backward()
    this.load(tape, input, loss.labels, clips, undefined)
    this.run(tape, recorder, path)
    quantization?.discard()
    const result = loss.read()
    const widths = path?.gateGradients(recorder) ?? []

    const dGates = edges.map((edge, choice) => {
      const output = recorder.values.get(edge.output)!.stored
      return space.choices[choice].options.map((_, option) => {
        const branch = new Tape(engine, { batch: clips.length, mode: 'recalibrate' })
        const swapped = quantization?.path(space.build(decisions.with(choice, option)))
        const inner = new Recorder(branch, { store, momentum: this.momentum, ...(swapped ? { quantized: swapped } : {}) })
        inner.values.set(edge.input, recorder.values.get(edge.input)!)
        const { nodes, output: last } = space.fragment(choice, option, edge.input, decisions)
        for (const node of nodes) inner.node(node)
        const read = dot(branch, inner.values.get(last)!, output, 'forward')
        engine.backend.run(branch.program(['generate']))
        swapped?.prepare(inner.sources)
        engine.backend.run(branch.program(['pack', 'forward']))
        const gradient = read()
        branch.dispose()
        swapped?.dispose()
        return gradient
      })
    })
    tape.dispose()
    path?.dispose()
    return { loss: result.loss, dGates, widths }
  }

  /** Accuracy on `clips` of the network of these decisions with the shared weights, at its widths where it is quantized, batch-norm statistics taken anew from training clips. */
  async sharedAccuracy(
    network: Network,
    training: readonly Sample[],
    clips: readonly Sample[],
    quantization?: SharedQuantization,
  ): Promise<number> {
    const { engine, store } = this
    const { batchSize, seed } = this.options
    this.shared.load(parameterShapes(network))
    const size = Math.min(batchSize, training.length)
    const order = new Random(seed, 'recalibration').permutation(training.length)
    const batches = Array.from({ length: Math.min(recalibrationBatches, Math.floor(training.length / size)) }, (_, batch) =>
      Array.from(order.subarray(batch * size, (batch + 1) * size), (i) => training[i]),
    )
    const path = quantization?.path(network)
    const recalibration = new Recalibration(engine, network, store, size, path)
    await recalibration.run(this.source, batches, { seed, epoch: 0 })
    recalibration.dispose()
    const evaluator = new Evaluator(engine, network, store, path ? { quantization: path } : {})
    const { logits } = await evaluator.logits(this.source, clips)
    evaluator.dispose()
    path?.dispose()
    return logits.filter((row, i) => argMax(row) === clips[i].label).length / clips.length
  }

  /** The shared weights and their moments. */
  state(): ReturnType<SharedWeights['state']> {
    return this.shared.state()
  }

  restore(state: ReturnType<SharedWeights['state']>): void {
    this.shared.restore(state)
  }

  dispose(): void {
    this.store.dispose()
    this.engine.heap.release(this.momentum)
  }
}
