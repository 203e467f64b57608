// Builds a firmware folder for a processor, runs clips on it in QEMU, and holds every logit against the runtime's.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { load, type Model, modelInfo } from '@bitwright/runtime'
import { RunError } from '../errors.ts'
import { firmwareModel, type FirmwareTarget, targetKernels } from '../export/firmware-targets.ts'
import { firmwareMemory, type FirmwareMemory } from '../hardware/index.ts'
import { buildFirmware, type FirmwareSizes } from './build.ts'
import type { NamedInput } from './clips.ts'
import { countingPlugin, emulate, type EmulatorRun, type InstructionCount } from './emulator.ts'
import { requireTools } from './tools.ts'

export interface LayerInstructions {
  readonly name: string
  readonly op: string
  readonly macs: number
  /** Mean of a run. */
  readonly instructions: number
}

export interface FirmwareMeasurement {
  readonly target: FirmwareTarget
  readonly clips: number
  readonly answers: number
  /** The first logit that is not the runtime's. */
  readonly difference?: string
  readonly sizes: FirmwareSizes
  readonly predicted: FirmwareMemory
  /** Symbols whose size is not what was predicted. */
  readonly mispredicted: readonly string[]
  /** Of the arena alone; bw_memory also holds the front end's buffers. */
  readonly arenaBytes: number
  readonly stackBytes: EmulatorRun['stackBytes']
  readonly layers: readonly LayerInstructions[] | undefined
  /** Mean of a frame of features, and how many a clip has; undefined for raw audio and images. */
  readonly frame: { readonly instructions: number; readonly perClip: number } | undefined
}

export interface FirmwareRunOptions {
  readonly folder: string
  readonly target: FirmwareTarget
  readonly inputs: readonly NamedInput[]
  readonly onNotice?: (line: string) => void
  readonly onProgress?: (done: number, total: number) => void
  readonly signal?: AbortSignal
}

/** Compared before signals are looked at. */
const answersPerTurn = 50

/** The answers that a stream of so many samples gives: the windows of samples that they are about, by their beginnings. */
export function answerStarts(memory: FirmwareMemory, samples: number): number[] {
  const needed = (memory.frames - 1) * memory.frameHop + memory.frameSamples
  const count = samples < needed ? 0 : 1 + Math.floor((samples - needed) / memory.hopSamples)
  return Array.from({ length: count }, (_, i) => i * memory.hopSamples)
}

/** What the runtime answers to each input, in the order of the device's answers. */
function* hostAnswers(
  model: Model,
  memory: FirmwareMemory,
  inputs: readonly NamedInput[],
): Generator<{ name: string; logits: Int16Array }> {
  const { frontEnd } = model
  for (const { name, input } of inputs) {
    if (frontEnd.kind === 'image' || input instanceof Uint8Array) {
      yield { name, logits: model.run(input) }
      continue
    }
    for (const start of answerStarts(memory, input.length)) {
      // what is missing at the end no frame needs
      const window = new Int16Array(frontEnd.samples)
      window.set(input.subarray(start, start + frontEnd.samples))
      yield { name: start > 0 ? `${name} from ${(start / frontEnd.sampleRate).toFixed(2)} s` : name, logits: model.run(window) }
    }
  }
}

/** @throws UsageError for a folder that is no firmware; RunError where it does not build or run; an AbortError on the signal. */
export async function runFirmware(options: FirmwareRunOptions): Promise<FirmwareMeasurement> {
  const { folder, target, inputs, onNotice = () => {}, onProgress, signal } = options
  requireTools()
  const { clips, sizes } = buildFirmware(folder, target)
  const file = readFileSync(join(folder, 'model.bw'))
  const model = load(file, join(folder, 'model.bw'))
  const packed = firmwareModel(model.integerModel, targetKernels[target])
  const predicted = firmwareMemory(packed)
  const total = inputs.reduce(
    (sum, { input }) => sum + (model.frontEnd.kind === 'image' ? 1 : answerStarts(predicted, input.length).length),
    0,
  )
  const plugin = countingPlugin(folder, onNotice)
  const run = await emulate({
    elf: clips,
    target,
    classes: model.classes.length,
    inputs: inputs.map(({ input }) => input),
    ...(plugin !== undefined && { plugin }),
    ...(onProgress && { onProgress: (done: number) => onProgress(done, total) }),
    ...(signal && { signal }),
  })
  if (run.answers.length !== total) throw new RunError(`${target}: ${run.answers.length} answers where ${total} were due`)
  const difference = await firstDifference(model, target, run, hostAnswers(model, predicted, inputs), signal)
  const expected = Object.entries({ ...predicted.flash, ...predicted.ram })
  return {
    target,
    clips: inputs.length,
    answers: total,
    ...(difference !== undefined && { difference }),
    sizes,
    predicted,
    mispredicted: expected.filter(([name, bytes]) => sizes.symbols.get(name) !== bytes).map(([name]) => name),
    arenaBytes: modelInfo(packed).ramBytes,
    stackBytes: run.stackBytes,
    layers: layerInstructions(file, run.counts),
    frame: frameInstructions(predicted, run.counts),
  }
}

async function firstDifference(
  model: Model,
  target: FirmwareTarget,
  { answers }: EmulatorRun,
  host: Iterable<{ name: string; logits: Int16Array }>,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  let at = 0
  for (const { name, logits } of host) {
    if (at % answersPerTurn === 0) await setImmediate()
    signal?.throwIfAborted()
    const answer = answers[at++]
    const wrong = logits.findIndex((logit, i) => logit !== answer.logits[i])
    if (wrong >= 0)
      return `${name}: logit ${wrong} (${model.classes[wrong]}) is ${answer.logits[wrong]} on ${target} and ${logits[wrong]} here`
    const { index } = model.interpret(logits)
    if (answer.index !== index) return `${name}: the answer is ${model.classes[answer.index]} on ${target} and ${model.classes[index]} here`
  }
  return undefined
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

function layerInstructions(file: Uint8Array, counts: readonly InstructionCount[] | undefined): LayerInstructions[] | undefined {
  const layers = counts?.filter(({ kind }) => kind === 'layer') ?? []
  if (layers.length === 0) return undefined
  const info = modelInfo(file).layers
  return info.map(({ name, op, macs }, at) => ({
    name,
    op,
    macs,
    instructions: mean(layers.filter((_, i) => i % info.length === at).map(({ instructions }) => instructions)),
  }))
}

function frameInstructions(memory: FirmwareMemory, counts: readonly InstructionCount[] | undefined): FirmwareMeasurement['frame'] {
  const frames = counts?.filter(({ kind }) => kind === 'frame') ?? []
  return frames.length === 0 ? undefined : { instructions: mean(frames.map(({ instructions }) => instructions)), perClip: memory.frames }
}
