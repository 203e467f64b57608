// A folder that builds with make and arm-none-eabi-gcc: the integer core, the model as constant data, an interface of ten lines, and two
// programs that use it. firmware/ has what is the same in all of them.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type IntegerModel, load } from '@bitwright/runtime'
import { RunError } from '../errors.ts'
import { firmwareMemory, type FirmwareMemory } from '../hardware/index.ts'
import type { ExportedFile, Exporter } from './exporter.ts'
import { encodeAnswers, encodeClips, type FirmwareInput } from './firmware-batch.ts'
import { firmwareVariants, modelHeader, modelSource } from './firmware-model.ts'
import { defaultTarget, firmwareModel, type FirmwareTarget, firmwareTargets, targetKernels } from './firmware-targets.ts'

const coreFolder = fileURLToPath(new URL('../../../../core/', import.meta.url))
export const firmwareFolder = fileURLToPath(new URL('../../../../firmware/', import.meta.url))
/** Of core/: a program of the tests, and the tables that firmware has as constants. */
const hostOnly = ['host.c', 'front_end_tables.c']
const templates = [
  'bitwright.h',
  'bitwright.c',
  'state.h',
  'examples/board.c',
  'examples/clips.c',
  'port/startup.c',
  'port/semihosting.h',
  'port/sections.ld',
  'port/mps2.ld',
  'port/mps2-an505.ld',
  'port/mps3-an547.ld',
]

const text = (path: string, content: string): ExportedFile => ({ path, bytes: Buffer.from(content) })

/** `@NAME@` by its value. */
function fill(template: string, values: Readonly<Record<string, string>>): string {
  return template.replaceAll(/@([A-Z]+)@/g, (whole, name: string) => values[name] ?? whole)
}

/** Something that is heard or seen and is the same on every machine: a sawtooth that rises, and silence. */
function exampleInputs({ frontEnd }: IntegerModel): FirmwareInput[] {
  if (frontEnd.kind === 'image') {
    const bytes = frontEnd.height * frontEnd.width * frontEnd.channels
    return [Uint8Array.from({ length: bytes }, (_, i) => i * i), new Uint8Array(bytes)]
  }
  return [Int16Array.from({ length: frontEnd.samples }, (_, i) => ((i * i) >> 6) % 20_000), new Int16Array(frontEnd.samples)]
}

const memoryNotes: Readonly<Record<string, string>> = {
  bw_model_image: 'flash: the model, packed for the processor',
  bw_front_end_tables: 'flash: tables of the front end',
  bw_front_end_state: 'flash: places of the tables and buffers',
  bw_thresholds: 'flash: thresholds of the detector',
  bw_memory: 'RAM: the arena of a run; between runs, buffers of the front end',
  bw_plan: 'RAM: when each layer runs next, and where its rows lie',
  bw_scores_heard: 'RAM: scores that the detector averages',
  bw_window: 'RAM: samples of the next frame',
  bw_heard: 'RAM: what was heard, as input of the model',
}

const inputNotes: Readonly<Record<FirmwareMemory['input'], string>> = {
  stream: 'audio, row by row: each answer costs what is new',
  window: 'audio, in a window that slides',
  image: 'images',
}

const streamMemoryNote = 'RAM: rows that the layers of the stream need again, and room for new ones; between rows, buffers of the front end'

const detectionText =
  ' Scores are averaged over some answers; a class whose average reaches its threshold is detected, once until it has fallen below, and ' +
  'nothing else for a while. Times are in `model.h`, thresholds in `model.c`, all of them as in `detector.json` of the run; the same sound ' +
  'gives the same detections as `bitwright listen`.'

function inputText({ frontEnd }: IntegerModel, memory: FirmwareMemory, detects: boolean): { USE: string; INPUT: string } {
  if (frontEnd.kind === 'image') {
    const { height, width, channels } = frontEnd
    return {
      USE: 'Call `bw_init()` once, `bw_classify(pixels)` for each image, and `bw_result()` for its answer.',
      INPUT: `An image is ${height} rows of ${width} pixels of ${channels} bytes, 0 to 255.`,
    }
  }
  const seconds = (samples: number) => `${samples} samples (${((1000 * samples) / frontEnd.sampleRate).toFixed(0)} ms)`
  return {
    USE:
      'Call `bw_init()` once, `bw_push_audio()` with samples of any number as the microphone gives them, and when that returns 1 or more ' +
      (detects ? '`bw_detected()`, which says what was detected since it was last asked.' : '`bw_result()`.'),
    INPUT:
      `Samples are 16-bit, mono, ${frontEnd.sampleRate} Hz. ` +
      (memory.input === 'stream'
        ? `The model streams: each answer is about the last ${seconds(frontEnd.samples)}, but only what is new is computed. The first answer comes after ` +
          `${seconds(memory.firstSamples)}, then one every ${seconds(memory.hopSamples)}. `
        : `A clip is ${seconds(frontEnd.samples)}; after the first, an answer comes every ${seconds(memory.hopSamples)}, or as \`make HOP=...\` says. `) +
      `The network runs inside \`bw_push_audio()\`: buffer the microphone meanwhile.` +
      (detects ? detectionText : ''),
  }
}

export const firmware: Exporter = {
  name: 'firmware',
  summary: 'a C project for Cortex-M',
  targets: [defaultTarget, ...firmwareTargets.filter((name) => name !== defaultTarget)],
  files({ model, file, detector: settings }, { target = defaultTarget }) {
    if (!existsSync(firmwareFolder)) throw new RunError(`firmware: ${firmwareFolder} is missing; install Bitwright from its repository`)
    const detector = model.frontEnd.kind === 'image' ? undefined : settings
    const variants = firmwareVariants(model)
    const memory = firmwareMemory(firmwareModel(model, targetKernels[target as FirmwareTarget]), detector)
    const core = readdirSync(coreFolder).filter((name) => /\.[ch]$/.test(name) && !hostOnly.includes(name))
    const inputs = exampleInputs(model)
    const loaded = load(file)
    const answers = inputs.map((input) => loaded.interpret(loaded.run(input)))
    const sizes = Object.entries({ ...memory.flash, ...memory.ram })
    const values = {
      NAME: model.name.replaceAll(/[^\w .-]/g, '_') || 'A model',
      TARGET: target,
      SOURCES: core
        .filter((name) => name.endsWith('.c'))
        .map((name) => `core/${name}`)
        .join(' '),
      ATTENTION: model.layers.some(({ op }) => op === 'attend') ? '1' : '0',
      DETECTOR: detector ? 'detector.c ' : '',
      DETECTORFILE: detector ? '`detector.c`, ' : '',
      DETECTORROW: detector
        ? '\n| `detector.c`, `detector.json` | from scores to detections; its settings, for `bitwright firmware run` |'
        : '',
      HEARS: inputNotes[memory.input],
      MEMORY: sizes
        .map(([name, bytes]) => [name, bytes, name === 'bw_memory' && memory.input === 'stream' ? streamMemoryNote : memoryNotes[name]])
        .map(([name, bytes, note]) => `| \`${name}\` | ${bytes} | ${note} |`)
        .join('\n'),
      ...inputText(model, memory, detector !== undefined),
    }
    return [
      ...templates.map((path) => ({ path, bytes: readFileSync(join(firmwareFolder, path)) })),
      { path: 'input.c', bytes: readFileSync(join(firmwareFolder, `input/${memory.input}.c`)) },
      ...(detector
        ? [
            { path: 'detector.c', bytes: readFileSync(join(firmwareFolder, 'detector.c')) },
            text('detector.json', `${JSON.stringify(detector, undefined, 2)}\n`),
          ]
        : []),
      ...['Makefile', 'README.md'].map((path) => text(path, fill(readFileSync(join(firmwareFolder, path), 'utf8'), values))),
      ...core.map((name) => ({ path: `core/${name}`, bytes: readFileSync(join(coreFolder, name)) })),
      text('model.h', modelHeader(model, variants, detector)),
      text('model.c', modelSource(model, variants, detector)),
      { path: 'model.bw', bytes: file },
      { path: 'examples/clips.bin', bytes: encodeClips(inputs) },
      { path: 'examples/answers.bin', bytes: encodeAnswers(answers) },
    ]
  },
}
