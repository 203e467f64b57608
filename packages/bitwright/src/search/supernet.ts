// A space and a store: networks of the space share weights by parameter names, and this trains and scores them one sampled path at a
// time. A path is recorded anew for each step; nothing here grows with the number of options but the parameters themselves.
import { crossEntropy, dot, type Engine, type ParameterStore, Random, Tape } from '@bitwright/engine'
import type { Sample } from '../data/dataset.ts'
import { countNetwork } from '../network/counts.ts'
import type { Network, NetworkNode } from '../network/network.ts'
import { parameterShapes } from '../network/parameters.ts'
import { choicesOf, everyPath } from '../spaces/decisions.ts'
import { withoutSizes } from '../spaces/roles.ts'
import type { Space } from '../spaces/space.ts'
import type { SampleSource } from '../training/sample-source.ts'
import { argMax, Evaluator } from '../training/evaluate.ts'
import { createStore } from '../training/initialize.ts'
import { batchesOf, batchRows, labelledRows, writeLabels } from '../training/rows.ts'
import { Recalibration } from '../training/recalibrate.ts'
import { Recorder } from '../training/record.ts'
import { DivergedError } from '../training/trainer.ts'
import type { QuantizedPath, WidthGates } from '../training/quantized-path.ts'
import type { SharedQuantization } from '../training/shared-quantization.ts'
import { softmax } from './gates.ts'
import { SharedWeights } from './shared-weights.ts'

export interface SupernetOptions {
  readonly seed: number
  readonly batchSize: number
  readonly labelSmoothing: number
  readonly weightDecay: number
}

export interface PathResult {
  readonly loss: number
  readonly correct: number
  /** Probabilities [samples][stride], as another path's loss takes them. */
  readonly answers: Float32Array
}

function softmaxRows(logits: Float32Array, stride: number, classes: number): Float32Array {
  const answers = new Float32Array(logits.length)
  for (let row = 0; row < logits.length; row += stride) {
    const p = softmax(logits.subarray(row, row + classes))
    answers.set(p, row)
  }
  return answers
}

function macsOf(network: Network, nodes: readonly NetworkNode[]): number {
  const own = new Set(nodes.map(({ id }) => id))
  return countNetwork(network).nodes.reduce((sum, { id, macs }) => sum + (own.has(id) ? macs : 0), 0)
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
  private work = 0

  constructor(engine: Engine, space: Space, source: SampleSource, options: SupernetOptions) {
    this.engine = engine
    this.space = space
    this.source = source
    this.options = options
    const everyOption = everyPath(space).map((decisions) => space.build(decisions))
    this.store = createStore(engine, everyOption, options.seed, withoutSizes)
    this.shared = new SharedWeights(this.store, space, everyOption)
    this.momentum = engine.heap.allocate(1)
  }

  /** Multiply-accumulates of all passes so far; a backward pass counts twice the forward one. */
  get macs(): number {
    return this.work
  }

  private load(
    tape: Tape,
    network: Network,
    input: Parameters<SampleSource['fill']>[0],
    labels: number,
    clips: readonly Sample[],
    epoch: number | undefined,
  ): void {
    this.source.fill(input, clips, epoch === undefined ? null : { seed: this.options.seed, epoch })
    writeLabels(this.engine, labels, network, tape.batch, clips)
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
    const { loss, correct } = this.pass(decisions, clips, epoch, { quantization })
    this.step(learningRate, quantization)
    return { loss, correct }
  }

  /**
   * Forward and backward of one path, whose gradients wait for `step`. `teacher`: another path's answers on these samples, to learn from in the
   * labels' stead.
   * @throws DivergedError where loss or gradients are no numbers; nothing of this path then waits
   */
  pass(
    decisions: readonly number[],
    clips: readonly Sample[],
    epoch: number,
    { quantization, teacher }: { quantization?: SharedQuantization | undefined; teacher?: Float32Array } = {},
  ): PathResult {
    const { engine, store } = this
    const network = this.space.build(decisions)
    const tape = new Tape(engine, { batch: batchRows(network, clips.length), mode: 'train' })
    const path = quantization?.path(network)
    const recorder = new Recorder(tape, { store, momentum: this.momentum, ...(path ? { quantized: path } : {}) })
    const { input, logits } = recorder.network(network)
    const loss = crossEntropy(tape, logits, {
      smoothing: this.options.labelSmoothing,
      targets: teacher !== undefined,
      rows: labelledRows(network, clips.length),
    })
    tape.backward()
    const parameters = parameterShapes(network)
    this.shared.load(parameters)
    this.load(tape, network, input, loss.labels, clips, epoch)
    if (teacher) engine.floats(loss.targets, teacher.length).set(teacher)
    engine.floats(this.momentum, 1)[0] = 0.1
    this.run(tape, recorder, path)
    this.work += 3 * tape.batch * countNetwork(network).macs
    const result = loss.read()
    const { values, stride } = loss.logits()
    const answers = softmaxRows(values, stride, network.classes.length)
    tape.dispose()
    path?.dispose()
    if (!Number.isFinite(result.loss) || !this.shared.collect(parameters)) {
      const what = Number.isFinite(result.loss) ? 'gradients are no numbers' : `loss is ${result.loss}`
      throw new DivergedError(`the search diverged in epoch ${epoch + 1} (${what}); use a smaller learning rate`)
    }
    return { ...result, answers }
  }

  /** One step along the sum of what waits. */
  step(learningRate: number, quantization?: SharedQuantization): void {
    this.shared.apply(learningRate, this.options.weightDecay)
    quantization?.update(learningRate)
  }

  /** Forgets what waits. */
  discard(quantization?: SharedQuantization): void {
    this.shared.discard()
    quantization?.discard()
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
    const network = space.build(decisions)
    const hasSizes = choicesOf(space, 'size').length > 0
    this.shared.loadAll()
    if (hasSizes) this.loadNetwork(network)
    const tape = new Tape(engine, { batch: batchRows(network, clips.length), mode: 'train' })
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
    const loss = crossEntropy(tape, logits, { smoothing: this.options.labelSmoothing, rows: labelledRows(network, clips.length) })
    path?.keepGradients(recorder)
    tape.backward()
    this.load(tape, network, input, loss.labels, clips, undefined)
    this.run(tape, recorder, path)
    this.work += 3 * tape.batch * countNetwork(network).macs
    quantization?.discard()
    const result = loss.read()
    const widths = path?.gateGradients(recorder) ?? []

    const paths = choicesOf(space, 'path')
    const dGates = edges.map((edge, index) => {
      const choice = paths[index]
      const output = recorder.values.get(edge.output)!.stored
      return space.choices[choice].options.map((_, option) => {
        const branch = new Tape(engine, { batch: tape.batch, mode: 'recalibrate' })
        const { nodes, output: last } = space.fragment(choice, option, edge.input, decisions)
        const swapped = quantization?.path(space.build(decisions.with(choice, option)), nodes)
        const inner = new Recorder(branch, { store, momentum: this.momentum, ...(swapped ? { quantized: swapped } : {}) })
        inner.graph = recorder.graph
        inner.values.set(edge.input, recorder.values.get(edge.input)!)
        if (hasSizes) this.loadOption(decisions.with(choice, option), nodes)
        for (const node of nodes) inner.node(node)
        const read = dot(branch, inner.values.get(last)!, output, 'forward')
        engine.backend.run(branch.program(['generate']))
        swapped?.prepare(inner.sources)
        engine.backend.run(branch.program(['pack', 'forward']))
        this.work += tape.batch * macsOf(this.space.build(decisions.with(choice, option)), nodes)
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

  /** Where sizes are chosen, a place in the store may hold an option at another size. */
  private loadOption(decisions: readonly number[], nodes: readonly NetworkNode[]): void {
    const own = new Set(nodes.map(({ id }) => id))
    this.shared.load(parameterShapes(this.space.build(decisions)).filter(({ node }) => own.has(node)))
  }

  /** Brings every option's parameters into the store, each at its largest. */
  loadLargest(): void {
    this.shared.loadAll()
  }

  /** The parameters of these decisions' network as they are shared, in the store. */
  loadNetwork(network: Network): void {
    this.shared.load(parameterShapes(network))
  }

  /** By name. */
  parametersOf(network: Network): Map<string, Float32Array> {
    return new Map(parameterShapes(network).map((parameter) => [parameter.name, this.shared.read(parameter)]))
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
    const batches = batchesOf(
      network,
      Array.from(order, (i) => training[i]),
      size,
      recalibrationBatches,
    )
    const path = quantization?.path(network)
    const recalibration = new Recalibration(engine, network, store, size, path)
    await recalibration.run(this.source, batches, { seed, epoch: 0 })
    recalibration.dispose()
    const evaluator = new Evaluator(engine, network, store, path ? { quantization: path } : {})
    const { logits } = await evaluator.logits(this.source, clips)
    evaluator.dispose()
    path?.dispose()
    this.work += (batches.length * batchRows(network, size) + batchRows(network, clips.length)) * countNetwork(network).macs
    return logits.filter((row, i) => argMax(row) === clips[i].label).length / clips.length
  }

  /** The shared weights and their moments, and what they have cost. */
  state(): ReturnType<SharedWeights['state']> & { readonly macs?: number } {
    return { ...this.shared.state(), macs: this.work }
  }

  restore(state: ReturnType<Supernet['state']>): void {
    this.shared.restore(state)
    this.work = state.macs ?? 0
  }

  dispose(): void {
    this.store.dispose()
    this.engine.heap.release(this.momentum)
  }
}
