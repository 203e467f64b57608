// What the tests of quantization and conversion share: a batch of tones on a tape, quantizers as they start, and integers as the numbers that
// they stand for.
import { crossEntropy, type Engine, type ParameterStore, Tape } from '@bitwright/engine'
import type { IntegerTensor } from '@bitwright/runtime'
import type { AudioDataset, Sample } from '../../data/dataset.ts'
import type { Network } from '../../network/network.ts'
import { type ConversionOptions, convertNetwork, settleNorms } from '../convert.ts'
import { Evaluator } from '../evaluate.ts'
import { integerLogits } from '../integer-evaluator.ts'
import { Quantization } from '../quantization.ts'
import { Recorder } from '../record.ts'
import { calibrate } from '../trainer.ts'
import { toneClasses, toneSource } from './tones.ts'

interface Batch {
  readonly engine: Engine
  readonly dataset: AudioDataset
  readonly clips: readonly Sample[]
  readonly store: ParameterStore
  readonly network: Network
  readonly quantization: Quantization | undefined
}

/** A tape in training mode with a batch on it; `run` goes forward, and back where asked to, and returns the logits. */
export function recordBatch({ engine, dataset, clips, store, network, quantization }: Batch) {
  const batch = clips.length
  const tape = new Tape(engine, { batch, mode: 'train' })
  const momentum = tape.allocate(1)
  engine.floats(momentum, 1)[0] = 0
  const recorder = new Recorder(tape, { store, momentum, ...(quantization ? { quantized: quantization } : {}) })
  const { input, logits } = recorder.network(network)
  const loss = crossEntropy(tape, logits)
  tape.backward()
  toneSource(engine, dataset).fill(input, clips, null)
  engine.integers(loss.labels, batch).set(clips.map(({ label }) => label))
  const x = engine.floats(input.offset, batch * dataset.samples).slice()
  engine.backend.run(tape.program(['generate']))
  const run = (direction: 'forward' | 'back' = 'forward'): number[] => {
    quantization?.prepare(recorder.sources)
    engine.backend.run(tape.program(direction === 'back' ? ['pack', 'forward', 'backward', 'finish'] : ['pack', 'forward']))
    const { values, stride } = loss.logits()
    return clips.flatMap((_, row) => [...values.subarray(row * stride, row * stride + toneClasses.length)])
  }
  return { tape, sources: recorder.sources, x, run }
}

/** Starts weight quantizers from a network's weights, and gives these by id. */
export function initializeWeights(
  engine: Engine,
  network: Network,
  store: ParameterStore,
  quantization: Quantization,
): ReadonlyMap<string, Float32Array> {
  const tape = new Tape(engine, { batch: 1, mode: 'evaluate' })
  const recorder = new Recorder(tape, { store, momentum: 0 })
  recorder.network(network)
  engine.backend.run(tape.program(['generate']))
  quantization.initializeWeights(recorder.sources)
  const weights = new Map(
    [...recorder.sources].map(([id, { offset }]) => [id, engine.floats(offset, quantization.weightQuantizer(id).size).slice()]),
  )
  tape.dispose()
  return weights
}

/** All quantizers of a network with widths, started from its parameters and 30 clips at a time. */
export async function startedQuantization(
  engine: Engine,
  dataset: AudioDataset,
  { network, store, seed, granularity }: { network: Network; store: ParameterStore; seed: number; granularity: 'channel' | 'tensor' },
) {
  const quantization = new Quantization(store, network, { weightBits: 8, activationBits: 8, granularity })
  await calibrate(engine, network, store, toneSource(engine, dataset), quantization, { seed, batchSize: 30 })
  return { quantization, weights: initializeWeights(engine, network, store, quantization) }
}

/** What the fake-quantized network and the integer model made of it say to clips. */
export async function bothAnswers(
  engine: Engine,
  conversion: ConversionOptions & { readonly quantization: Quantization },
  dataset: AudioDataset,
  clips: readonly Sample[],
) {
  const { network, store, quantization } = conversion
  const model = convertNetwork(conversion)
  settleNorms(conversion, model)
  const evaluator = new Evaluator(engine, network, store, { quantization })
  const { logits } = await evaluator.logits(toneSource(engine, dataset), clips)
  evaluator.dispose()
  return { model, logits, whole: await integerLogits(model, dataset, clips) }
}

export const real = ({ scale, zeroPoint }: IntegerTensor, values: Int32Array): Float64Array =>
  Float64Array.from(values, (value) => scale * (value - zeroPoint))

/** Largest error of any value of a layer, in steps, beyond the half of rounding. */
export function errorBeyondRounding(tensor: IntegerTensor, values: Int32Array, exact: Float64Array): number {
  const [low, high] = [tensor.min - tensor.zeroPoint, tensor.max - tensor.zeroPoint]
  return values.reduce((worst, value, i) => {
    const wanted = Math.max(low, Math.min(high, exact[i] / tensor.scale))
    return Math.max(worst, Math.abs(value - tensor.zeroPoint - wanted) - 0.5)
  }, 0)
}
