// Builds a firmware folder for a processor, runs clips on it in QEMU, and holds every logit against the runtime's.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { Detector, type DetectorSettings, type IntegerModel, load, type Model, modelInfo, streamPlan } from '@bitwright/runtime'
import { RunError } from '../errors.ts'
import { parseDetectorSettings } from '../export/detector-settings.ts'
import { firmwareModel, type FirmwareTarget, targetKernels } from '../export/firmware-targets.ts'
import { firmwareMemory, type FirmwareMemory } from '../hardware/index.ts'
import { buildFirmware, type FirmwareSizes } from './build.ts'
import type { NamedInput } from './clips.ts'
import { countingPlugin, emulate, type EmulatorRun, type FirmwareDetection, type InstructionCount } from './emulator.ts'
import { requireTools } from './tools.ts'

export interface LayerInstructions {
  readonly name: string
  readonly op: string
  /** Of an answer. */
  readonly macs: number
  /** Mean of an answer. */
  readonly instructions: number
}

export interface FirmwareMeasurement {
  readonly target: FirmwareTarget
  readonly clips: number
  readonly answers: number
  /** What the model heard: each answer is of a whole clip, or, where it streamed on, of the rows since the last answer. */
  readonly counted: 'clip' | 'hop'
  /** What was detected; undefined for firmware without a detector. */
  readonly detections: number | undefined
  /** The first logit, score or detection that is not the runtime's. */
  readonly difference?: string
  readonly sizes: FirmwareSizes
  readonly predicted: FirmwareMemory
  /** Symbols whose size is not what was predicted. */
  readonly mispredicted: readonly string[]
  /** Of the arena alone; bw_memory also holds the front end's buffers. */
  readonly arenaBytes: number
  readonly stackBytes: EmulatorRun['stackBytes']
  readonly layers: readonly LayerInstructions[] | undefined
  /** Mean of a frame of features, and how many an answer takes; undefined for raw audio and images. */
  readonly frame: { readonly instructions: number; readonly perAnswer: number } | undefined
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
export function answerStarts({ firstSamples, hopSamples }: FirmwareMemory, samples: number): number[] {
  const count = samples < firstSamples ? 0 : 1 + Math.floor((samples - firstSamples) / hopSamples)
  return Array.from({ length: count }, (_, i) => i * hopSamples)
}

interface HostAnswer {
  readonly name: string
  readonly logits: Int16Array
  readonly detection?: FirmwareDetection
}

/** What the runtime answers to each input, in the order of the device's answers. */
function* hostAnswers(
  model: Model,
  memory: FirmwareMemory,
  inputs: readonly NamedInput[],
  settings: DetectorSettings | undefined,
): Generator<HostAnswer> {
  const { frontEnd } = model
  for (const { name, input } of inputs) {
    if (frontEnd.kind === 'image' || input instanceof Uint8Array) {
      yield { name, logits: model.run(input) }
      continue
    }
    const detector = settings && new Detector(model.classes, settings)
    let start = 0
    for (const logits of audioLogits(model, memory, input)) {
      const time = (memory.firstSamples + start) / frontEnd.sampleRate
      const { detection } = detector?.push({ time, scores: model.interpret(logits).scores }) ?? {}
      yield {
        name: start > 0 ? `${name} from ${(start / frontEnd.sampleRate).toFixed(2)} s` : name,
        logits,
        ...(detection && { detection }),
      }
      start += memory.hopSamples
    }
  }
}

/** The runtime's own stream where the firmware streams, and its whole windows where it hears those. */
function* audioLogits(model: Model, memory: FirmwareMemory, input: Int16Array): Generator<Int16Array> {
  if (memory.input === 'stream') {
    yield* model.stream().push(input)
    return
  }
  for (const start of answerStarts(memory, input.length)) {
    // what is missing at the end no frame needs
    const window = new Int16Array(memory.clipSamples)
    window.set(input.subarray(start, start + memory.clipSamples))
    yield model.run(window)
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
  const detectorFile = join(folder, 'detector.json')
  const settings = existsSync(detectorFile) ? parseDetectorSettings(readFileSync(detectorFile, 'utf8'), detectorFile) : undefined
  const predicted = firmwareMemory(packed, settings)
  const answersOf = inputs.map(({ input }) => (model.frontEnd.kind === 'image' ? 1 : answerStarts(predicted, input.length).length))
  const total = answersOf.reduce((sum, answers) => sum + answers, 0)
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
  const difference = await firstDifference(model, target, run, hostAnswers(model, predicted, inputs, settings), signal)
  const { parts, counted } = answerParts(run.counts, answersOf, predicted)
  const expected = Object.entries({ ...predicted.flash, ...predicted.ram })
  return {
    target,
    clips: inputs.length,
    answers: total,
    counted,
    detections: settings && run.detections.filter((detection) => detection !== undefined).length,
    ...(difference !== undefined && { difference }),
    sizes,
    predicted,
    mispredicted: expected.filter(([name, bytes]) => sizes.symbols.get(name) !== bytes).map(([name]) => name),
    arenaBytes: modelInfo(packed).ramBytes,
    stackBytes: run.stackBytes,
    layers: layerInstructions(model.integerModel, counted, parts),
    frame: frameInstructions(parts),
  }
}

async function firstDifference(
  model: Model,
  target: FirmwareTarget,
  { answers, scores, detections }: EmulatorRun,
  host: Iterable<HostAnswer>,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  let at = 0
  for (const { name, logits, detection } of host) {
    if (at % answersPerTurn === 0) await setImmediate()
    signal?.throwIfAborted()
    const [answer, score, heard] = [answers[at], scores[at], detections[at]]
    at++
    const wrong = logits.findIndex((logit, i) => logit !== answer.logits[i])
    if (wrong >= 0)
      return `${name}: logit ${wrong} (${model.classes[wrong]}) is ${answer.logits[wrong]} on ${target} and ${logits[wrong]} here`
    const { index, scores: expected } = model.interpret(logits)
    if (answer.index !== index) return `${name}: the answer is ${model.classes[answer.index]} on ${target} and ${model.classes[index]} here`
    if (score !== expected[index]) return `${name}: the score is ${score} on ${target} and ${expected[index]} here`
    if (heard?.index !== detection?.index) {
      const [there, here] = [heard, detection].map((each) => (each ? model.classes[each.index] : 'nothing'))
      return `${name}: ${there} is detected on ${target} and ${here} here`
    }
  }
  return at === answers.length ? undefined : `${answers.length} answers on ${target} and ${at} here`
}

/** The counts of each answer, what came since the one before. On streams: those that no clip begins with, if there are any. */
function answerParts(
  counts: readonly InstructionCount[] | undefined,
  answersOf: readonly number[],
  { input }: FirmwareMemory,
): { parts: readonly (readonly InstructionCount[])[]; counted: 'clip' | 'hop' } {
  const parts: InstructionCount[][] = []
  let part: InstructionCount[] = []
  for (const count of counts ?? []) {
    if (count.kind !== 'answer') part.push(count)
    else parts.push(part.splice(0))
  }
  const isFirst = answersOf.flatMap((answers) => Array.from({ length: answers }, (_, i) => i === 0))
  const later = input === 'stream' ? parts.filter((_, i) => !isFirst[i]) : []
  return later.length > 0 ? { parts: later, counted: 'hop' } : { parts, counted: 'clip' }
}

const ofKind = (part: readonly InstructionCount[], wanted: InstructionCount['kind']): number[] =>
  part.filter(({ kind }) => kind === wanted).map(({ instructions }) => instructions)

function layerInstructions(
  model: IntegerModel,
  counted: 'clip' | 'hop',
  parts: readonly (readonly InstructionCount[])[],
): LayerInstructions[] | undefined {
  if (parts.length === 0) return undefined
  const info = modelInfo(model).layers
  const plan = counted === 'hop' ? streamPlan(model) : undefined
  const layerMacs = plan && 'layerMacs' in plan ? plan.layerMacs : info.map(({ macs }) => macs)
  const sums = new Float64Array(info.length)
  for (const part of parts) for (const [i, instructions] of ofKind(part, 'layer').entries()) sums[i % info.length] += instructions
  return info.map(({ name, op }, at) => ({ name, op, macs: layerMacs[at], instructions: sums[at] / parts.length }))
}

function frameInstructions(parts: readonly (readonly InstructionCount[])[]): FirmwareMeasurement['frame'] {
  const frames = parts.flatMap((part) => ofKind(part, 'frame'))
  if (frames.length === 0) return undefined
  return { instructions: frames.reduce((sum, value) => sum + value, 0) / frames.length, perAnswer: frames.length / parts.length }
}
