// How long does one clip take on one thread, in our runtime (WebAssembly, native) with 8-bit weights and activations, and in the engines
// people would otherwise use: ONNX Runtime with our export in integers and in float, TensorFlow.js in float? Weights are random; features of
// spectral networks are given, since the peers have no front end. Engines take turns, after their answers have been
// compared; each is called through its JavaScript interface, which is part of its time.
import { Engine, openBackend, Random, Tape } from '../packages/engine/src/index.ts'
import type { AudioDataset } from '../packages/bitwright/src/data/dataset.ts'
import { RunError, UsageError } from '../packages/bitwright/src/errors.ts'
import { floatNetwork, floatOnnxModel, onnxModel } from '../packages/bitwright/src/export/index.ts'
import { frontEndShape, type Network, requireAudio } from '../packages/bitwright/src/network/index.ts'
import { AudioSource } from '../packages/bitwright/src/training/audio-source.ts'
import { convertNetwork } from '../packages/bitwright/src/training/convert.ts'
import { createStore } from '../packages/bitwright/src/training/initialize.ts'
import { Quantization } from '../packages/bitwright/src/training/quantization.ts'
import { withStartBits } from '../packages/bitwright/src/training/quantizer-choice.ts'
import { Recalibration } from '../packages/bitwright/src/training/recalibrate.ts'
import { Recorder } from '../packages/bitwright/src/training/record.ts'
import { calibrate } from '../packages/bitwright/src/training/trainer.ts'
import { computeFeatures, encodeModel, load } from '../packages/runtime/src/index.ts'
import { loadNative, nativeMissing } from '../packages/runtime/src/native.ts'
import { type BenchOptions, median } from './bench.ts'
import { hasExactKernels, openOnnxRuntime, openTensorFlow, peerMissing, type Runner } from './inference-peers.ts'
import { works } from './train-step-works.ts'

export interface InferenceRow {
  readonly work: string
  readonly engine: string
  /** Median of a clip. */
  readonly microseconds: number
  readonly fastest: number
  /** Its median over that of the fastest engine on the same work. */
  readonly ratioToBest: number
}

const measured = ['w1', 'w2', 'kws-e2e-e3k5', 'ds-cnn-s']
const widths = { weightBits: 8, activationBits: 8 } as const
/** Clips of noise that statistics and scales are taken from. */
const noiseClips = 16
const seed = 0
/** Turns per engine, and about how long a turn lasts. */
const rounds = 9
const turnMs = 200
/**
 * Largest difference of logits as a share of the largest: of two engines in float, and of ONNX Runtime's integers from ours, which round
 * biases and logarithms otherwise (a few per cent of logits that noise leaves small; a layer gone wrong shows as all of them).
 */
const tolerance = { float: 1e-3, integer: 0.08 }

function noiseDataset({ classes, frontEnd }: Network): AudioDataset {
  requireAudio(frontEnd)
  const { samples, sampleRate } = frontEnd
  const random = new Random(seed, 'noise')
  const pcm = Int16Array.from({ length: noiseClips * samples }, () => Math.round(random.uniform(-1, 1) * 16_000))
  const train = Array.from({ length: noiseClips }, (_, index) => ({ path: `${index}`, label: index % classes.length, index }))
  const shared = { kind: 'audio' as const, directory: '', skipped: [], background: [], pcm }
  return { ...shared, classes, sampleRate, samples, splits: { train, validation: train, test: train } }
}

/** The network with random weights and the statistics of noise, converted to integers and in float, and a clip for it. */
async function prepare(network: Network) {
  const engine = new Engine(await openBackend({ backend: 'auto', threads: 1 }))
  try {
    const quantized = withStartBits(network, widths)
    const dataset = noiseDataset(network)
    const source = new AudioSource(engine, dataset, network.frontEnd)
    const store = createStore(engine, [quantized], seed)
    const recalibration = new Recalibration(engine, network, store, noiseClips)
    await recalibration.run(source, [dataset.splits.train], null)
    recalibration.dispose()
    const quantization = new Quantization(store, quantized, { ...widths, granularity: 'channel' })
    await calibrate(engine, quantized, store, source, quantization, { seed, batchSize: noiseClips })
    const tape = new Tape(engine, { batch: 1, mode: 'evaluate' })
    const recorder = new Recorder(tape, { store, momentum: 0 })
    recorder.network(quantized)
    engine.backend.run(tape.program(['generate']))
    quantization.initializeWeights(recorder.sources)
    const model = convertNetwork({ network: quantized, store, quantization })
    return { model, float: floatNetwork(network, store), pcm: dataset.pcm.subarray(0, dataset.samples) }
  } finally {
    engine.backend.close()
  }
}

async function openRunners(network: Network): Promise<Runner[]> {
  const { model, float, pcm } = await prepare(network)
  const { frontEnd } = model
  requireAudio(frontEnd)
  const isRaw = frontEnd.kind === 'raw'
  const values = isRaw ? Float32Array.from(pcm, (sample) => sample / 32768) : computeFeatures(frontEnd, pcm)
  const file = encodeModel(model)
  const step = model.tensors.at(-1)!.scale

  const homes = [load(file), ...((await nativeMissing()) === undefined ? [await loadNative(file)] : [])]
  const runners = homes.map((own): Runner => ({
    engine: `bitwright ${own.home} 8/8`,
    step,
    run: isRaw ? () => own.run(pcm) : () => own.runFeatures(values),
    close: () => {},
  }))
  if (!peerMissing('onnxruntime-node')) {
    const [height, width] = frontEndShape(frontEnd)
    const input = isRaw ? { name: 'audio', shape: [1, height], values } : { name: 'features', shape: [1, height, width], values }
    runners.push(
      await openOnnxRuntime('onnxruntime int8', onnxModel(model, { integerConvolutions: true }), input),
      await openOnnxRuntime('onnxruntime int8, exact', onnxModel(model), input),
      await openOnnxRuntime('onnxruntime float', floatOnnxModel(float), input),
    )
  }
  if (!peerMissing('@tensorflow/tfjs-backend-wasm')) runners.push(await openTensorFlow(float, values))
  return runners
}

/** @throws RunError where two engines that should agree do not. */
async function compareAnswers(work: string, runners: readonly Runner[]): Promise<void> {
  const answers = await Promise.all(
    runners.map(async ({ engine, run, step = 1 }) => ({ engine, logits: Array.from(await run(), (logit) => logit * step) })),
  )
  const integer = answers.filter(({ engine }) => !engine.endsWith('float'))
  const float = answers.filter(({ engine }) => engine.endsWith('float'))
  for (const [[first, ...others], share] of [
    [integer, tolerance.integer],
    [float, tolerance.float],
  ] as const) {
    for (const other of others) {
      const largest = Math.max(...first.logits.map(Math.abs))
      const difference = Math.max(...first.logits.map((logit, i) => Math.abs(logit - other.logits[i])))
      const allowed = other.engine.startsWith('bitwright') ? 0 : share * largest
      if (!(difference <= allowed)) {
        throw new RunError(
          `${work}: the logits of ${first.engine} and ${other.engine} differ by ${difference.toPrecision(3)}, at most ${allowed.toPrecision(3)} is allowed`,
        )
      }
    }
  }
}

/** Microseconds of each of some runs. */
async function times(runner: Runner, count: number): Promise<number[]> {
  const result: number[] = []
  for (let i = 0; i < count; i++) {
    const start = performance.now()
    const logits = runner.run()
    // waiting for what is there already would be a turn of the event loop more
    if (logits instanceof Promise) await logits
    result.push((performance.now() - start) * 1000)
  }
  return result
}

async function measure(work: string, runners: readonly Runner[], quick: boolean): Promise<InferenceRow[]> {
  const turns = new Map<Runner, { count: number; all: number[] }>()
  for (const runner of runners) {
    await times(runner, quick ? 2 : 50)
    const each = median(await times(runner, quick ? 2 : 20))
    turns.set(runner, { count: quick ? 2 : Math.max(5, Math.round((turnMs * 1000) / each)), all: [] })
  }
  for (let round = 0; round < (quick ? 2 : rounds); round++) {
    for (const [runner, { count, all }] of turns) all.push(...(await times(runner, count)))
  }
  const medians = [...turns].map(([{ engine }, { all }]) => ({ engine, all, microseconds: median(all) }))
  const best = Math.min(...medians.map(({ microseconds }) => microseconds))
  return medians.map(({ engine, all, microseconds }) => ({
    work: `${work} 8/8`,
    engine,
    microseconds,
    fastest: Math.min(...all),
    ratioToBest: microseconds / best,
  }))
}

export async function inference({ works: chosen = measured, quick, note }: BenchOptions): Promise<InferenceRow[]> {
  const unknown = chosen.find((name) => !measured.includes(name))
  if (unknown !== undefined) throw new UsageError(`--works ${unknown}: no such work; give some of ${measured.join(',')}`)
  for (const name of ['onnxruntime-node', '@tensorflow/tfjs-backend-wasm']) {
    const missing = peerMissing(name)
    if (missing) note(`left out: ${missing}`)
  }
  if (!hasExactKernels() && !peerMissing('onnxruntime-node'))
    note('onnxruntime runs with session.x64quantprecision=1: without VNNI its default kernels saturate and give other answers')
  const missing = await nativeMissing()
  if (missing !== undefined) note(`the native core is left out: ${missing}`)
  const rows: InferenceRow[] = []
  for (const name of chosen) {
    const runners = await openRunners(works[name]().network)
    try {
      await compareAnswers(name, runners)
      rows.push(...(await measure(name, runners, quick)))
    } finally {
      for (const runner of runners) await runner.close()
    }
  }
  return rows
}
