// Runs a batch of clips in QEMU: one process, files through semihosting, instructions counted by firmware/plugin/count.c between the marks
// of firmware/bitwright.c.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { RunError } from '../errors.ts'
import { firmwareFolder } from '../export/firmware.ts'
import { answerBytes, decodeAnswers, encodeClips, type FirmwareAnswer, type FirmwareInput } from '../export/firmware-batch.ts'
import { type FirmwareTarget, targetMachines } from '../export/firmware-targets.ts'
import { hasProgram } from './tools.ts'

export interface EmulatorRun {
  readonly answers: readonly FirmwareAnswer[]
  /** Of each answer: the probability of its class. */
  readonly scores: Float32Array
  /** Of each answer: what was detected then. Empty for firmware without a detector. */
  readonly detections: readonly (FirmwareDetection | undefined)[]
  /** Deepest stack in bytes: of bw_init, and of everything after it. */
  readonly stackBytes: { readonly init: number; readonly run: number }
  /** Instructions of each mark in order; undefined without the plugin. */
  readonly counts: readonly InstructionCount[] | undefined
}

export interface FirmwareDetection {
  readonly index: number
  readonly score: number
}

export interface InstructionCount {
  readonly kind: 'frame' | 'layer' | 'answer'
  readonly instructions: number
}

export interface EmulatorOptions {
  readonly elf: string
  readonly target: FirmwareTarget
  readonly classes: number
  readonly inputs: readonly FirmwareInput[]
  /** As `countingPlugin` made it. */
  readonly plugin?: string
  /** Answers that are there. */
  readonly onProgress?: (done: number) => void
  readonly signal?: AbortSignal
}

/** Exit codes of firmware/examples/clips.c and port/startup.c. */
const failures: Readonly<Record<number, string>> = {
  2: 'bw_init refuses the model',
  3: 'the clips cannot be read',
  4: 'the answers cannot be written',
  5: 'a clip is cut off or has another size than the model takes',
  127: 'the processor faults',
}
const pollMs = 200
/** Without an answer for so long it hangs: the largest model the core accepts takes less. */
const patienceMs = 1_800_000

/** Compiles the plugin beside the builds of a firmware folder. Undefined, and a notice, where that cannot be. */
export function countingPlugin(folder: string, onNotice: (line: string) => void): string | undefined {
  const version = /version (\d+)\.(\d+)/.exec(spawnSync('qemu-system-arm', ['--version'], { encoding: 'utf8' }).stdout ?? '')
  const qemu = version ? Number(version[1]) * 100 + Number(version[2]) : 0
  const library = join(folder, `build/count-${qemu}.so`)
  const source = join(firmwareFolder, 'plugin/count.c')
  if (existsSync(library) && statSync(library).mtimeMs >= statSync(source).mtimeMs) return library
  if (!hasProgram('cc', '--version')) {
    onNotice('instructions are not counted: that needs a C compiler (cc)')
    return undefined
  }
  mkdirSync(dirname(library), { recursive: true })
  // the version of the plugin interface that a plugin may name is 2 from QEMU 8.2 on
  const fresh = `${library}.${process.pid}`
  const flags = ['-O2', '-shared', '-fPIC', `-DPLUGIN_API=${qemu >= 802 ? 2 : 1}`]
  const { status, stderr } = spawnSync('cc', [...flags, '-o', fresh, source], { encoding: 'utf8' })
  if (status !== 0) {
    onNotice(`instructions are not counted: the plugin does not compile (${stderr.split('\n')[0]})`)
    return undefined
  }
  renameSync(fresh, library)
  return library
}

/** @throws RunError where the emulator or the program in it fails; an AbortError on the signal. */
export async function emulate(options: EmulatorOptions): Promise<EmulatorRun> {
  const { classes, inputs, plugin } = options
  const folder = mkdtempSync(join(tmpdir(), 'bitwright-firmware-'))
  const path = (name: string) => join(folder, name)
  try {
    writeFileSync(path('clips.bin'), encodeClips(inputs))
    const console = await runQemu(options, folder)
    const stack = (label: string) => Number(new RegExp(`^stack of ${label} (\\d+)$`, 'm').exec(console)?.[1] ?? Number.NaN)
    const scores = readFileSync(path('scores.bin'))
    return {
      answers: decodeAnswers(readFileSync(path('answers.bin')), classes),
      scores: new Float32Array(scores.buffer.slice(scores.byteOffset, scores.byteOffset + scores.byteLength)),
      detections: decodeDetections(readFileSync(path('detections.bin'))),
      stackBytes: { init: stack('bw_init'), run: stack('a run') },
      counts: plugin === undefined ? undefined : decodeCounts(readFileSync(path('counts.bin'))),
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function runQemu({ elf, target, classes, plugin, onProgress, signal }: EmulatorOptions, folder: string): Promise<string> {
  const board = ['-M', targetMachines[target], '-kernel', resolve(elf), '-nographic', '-monitor', 'none', '-serial', 'none']
  const semihosting = ['-chardev', 'stdio,id=console', '-semihosting-config', 'enable=on,target=native,chardev=console']
  const counting = plugin === undefined ? [] : ['-plugin', `file=${resolve(plugin).replaceAll(',', ',,')},out=counts.bin`]
  const child = spawn('qemu-system-arm', [...board, ...semihosting, ...counting], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(signal && { signal }),
  })
  let [console, errors] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => (console += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text))
  let [done, since] = [0, performance.now()]
  let hung = false
  const timer = setInterval(() => {
    const bytes = statSync(join(folder, 'answers.bin'), { throwIfNoEntry: false })?.size ?? 0
    const now = Math.floor(bytes / answerBytes(classes))
    if (now !== done) [done, since] = [now, performance.now()]
    else if (performance.now() - since > patienceMs) hung = child.kill('SIGKILL')
    onProgress?.(done)
  }, pollMs)
  return new Promise((succeed, fail) => {
    child.on('error', (error) => {
      clearInterval(timer)
      fail(signal?.aborted ? error : new RunError(`qemu-system-arm: ${error.message}`))
    })
    child.on('close', (status) => {
      clearInterval(timer)
      if (status === 0) return succeed(console)
      const where = `${target} in QEMU`
      if (hung) return fail(new RunError(`${where}: no answer for ${patienceMs / 60_000} minutes`))
      const said = `${console}${errors}`.trim().split('\n').at(-1) ?? ''
      fail(new RunError(`${where}: ${failures[status ?? -1] ?? `ends with status ${status}`}${said ? ` (${said})` : ''}`))
    })
  })
}

/** uint32 class + 1 and float32 score, or zeros. */
function decodeDetections(bytes: Buffer): (FirmwareDetection | undefined)[] {
  return Array.from({ length: bytes.length / 8 }, (_, i) => {
    const word = bytes.readUInt32LE(8 * i)
    return word === 0 ? undefined : { index: word - 1, score: bytes.readFloatLE(8 * i + 4) }
  })
}

const countKinds = ['frame', 'layer', 'answer'] as const

/** Little-endian uint64 of count * 4 + the kind. */
export function decodeCounts(bytes: Buffer): InstructionCount[] {
  return Array.from({ length: bytes.length / 8 }, (_, i): InstructionCount => {
    const word = bytes.readBigUInt64LE(8 * i)
    return { kind: countKinds[Number(word & 3n)], instructions: Number(word >> 2n) }
  })
}
