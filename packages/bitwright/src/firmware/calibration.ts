// Counts what designed networks take in the emulator, layer by layer and frame by frame, for the table of a Cortex-M target (hardware/table.ts).
// One process runs many models, loaded at run time, by firmware/calibration/layers.c.
import { spawn } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { encodeModel, type IntegerModel, type IntegerSpectralFrontEnd } from '@bitwright/runtime'
import { RunError } from '../errors.ts'
import { firmware, firmwareFolder } from '../export/firmware.ts'
import { firmwareModel, type FirmwareTarget, targetKernels, targetMachines } from '../export/firmware-targets.ts'
import { designedFrontEnds, designedNetwork, stockedModel } from '../hardware/designed-networks.ts'
import { frameText } from '../hardware/front-end-law.ts'
import { layerText, modelLayers } from '../hardware/layer-shape.ts'
import type { Measurements } from '../hardware/table.ts'
import { make } from './build.ts'
import { countingPlugin, decodeCounts } from './emulator.ts'
import { requireTools } from './tools.ts'

/** What is assumed of each target: docs/hardware.md says why. */
export interface CortexTarget {
  readonly firmware: FirmwareTarget
  readonly clockHz: number
  readonly instructionsPerCycle: number
}

export const cortexFacts: Readonly<Record<string, CortexTarget>> = {
  'cortex-m0plus': { firmware: 'cortex-m0', clockHz: 48e6, instructionsPerCycle: 0.65 },
  'cortex-m4': { firmware: 'cortex-m4', clockHz: 80e6, instructionsPerCycle: 0.75 },
  'cortex-m7': { firmware: 'cortex-m7', clockHz: 216e6, instructionsPerCycle: 1.2 },
  'cortex-m33': { firmware: 'cortex-m33', clockHz: 100e6, instructionsPerCycle: 0.8 },
  'cortex-m55': { firmware: 'cortex-m55', clockHz: 160e6, instructionsPerCycle: 0.65 },
}

/** A model to count, or, with frames, its front end. */
export interface CountJob {
  readonly model: IntegerModel
  readonly frames: number
}

export interface Counter {
  /** Instructions by job: of its layers, or of its frames. @throws RunError; an AbortError on the signal */
  count(jobs: readonly CountJob[], signal?: AbortSignal): Promise<number[][]>
  close(): void
}

const filled = (bytes: Uint8Array): Buffer => Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)])

/** Builds what counts. @throws RunError where a tool is missing or the core does not build */
export function openCounter(target: FirmwareTarget, onNotice: (line: string) => void): Counter {
  requireTools()
  const folder = mkdtempSync(join(tmpdir(), 'bitwright-calibrate-'))
  try {
    const model = stockedModel(designedNetwork(1, 0))
    for (const { path, bytes } of firmware.files({ model, file: encodeModel(model) }, { target })) {
      mkdirSync(dirname(join(folder, path)), { recursive: true })
      writeFileSync(join(folder, path), bytes)
    }
    cpSync(join(firmwareFolder, 'calibration/layers.c'), join(folder, 'examples/layers.c'))
    cpSync(join(firmwareFolder, '../core/front_end_tables.c'), join(folder, 'core/front_end_tables.c'))
    const makefile = join(folder, 'Makefile')
    writeFileSync(makefile, readFileSync(makefile, 'utf8').replace('model.c core/', 'core/front_end_tables.c model.c core/'))
    make(folder, [`TARGET=${target}`, 'ATTENTION=1', `build/${target}/layers.elf`])
    const plugin = countingPlugin(folder, onNotice)
    if (plugin === undefined) throw new RunError('layers cannot be counted without the plugin of the emulator')
    return {
      count: (jobs, signal) => countJobs(folder, target, plugin, jobs, signal),
      close: () => rmSync(folder, { recursive: true, force: true }),
    }
  } catch (error) {
    rmSync(folder, { recursive: true, force: true })
    throw error
  }
}

async function countJobs(
  folder: string,
  target: FirmwareTarget,
  plugin: string,
  jobs: readonly CountJob[],
  signal?: AbortSignal,
): Promise<number[][]> {
  const cwd = mkdtempSync(join(folder, 'jobs-'))
  const parts = jobs.flatMap(({ model, frames }) => {
    const image = encodeModel(firmwareModel(model, targetKernels[target]))
    return [Buffer.from(Uint32Array.of(image.length, frames).buffer), filled(image)]
  })
  writeFileSync(join(cwd, 'jobs.bin'), Buffer.concat(parts))
  await emulateJobs(join(folder, `build/${target}/layers.elf`), target, plugin, cwd, signal)
  const done = readFileSync(join(cwd, 'done.bin'))
  const refused = jobs.findIndex((_, i) => done.length < 4 * (i + 1) || done.readUInt32LE(4 * i) !== 0)
  if (refused >= 0) throw new RunError(`${target}: the core refuses ${jobs[refused].model.name}`)
  const counts = decodeCounts(readFileSync(join(cwd, 'counts.bin')))
  let at = 0
  return jobs.map(({ model, frames }) => {
    const own = counts.slice(at, (at += frames || model.layers.length))
    return own.map(({ instructions }) => instructions)
  })
}

function emulateJobs(elf: string, target: FirmwareTarget, plugin: string, cwd: string, signal?: AbortSignal): Promise<void> {
  const board = ['-M', targetMachines[target], '-kernel', elf, '-nographic', '-monitor', 'none', '-serial', 'none']
  const semihosting = ['-chardev', 'stdio,id=console', '-semihosting-config', 'enable=on,target=native,chardev=console']
  const counting = ['-plugin', `file=${plugin.replaceAll(',', ',,')},out=counts.bin`]
  const child = spawn('qemu-system-arm', [...board, ...semihosting, ...counting], {
    cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(signal && { signal }),
  })
  let said = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text))
  return new Promise((succeed, fail) => {
    child.on('error', (error) => fail(signal?.aborted ? error : new RunError(`qemu-system-arm: ${error.message}`)))
    child.on('close', (status) => {
      if (status === 0) succeed()
      else fail(new RunError(`${target} in QEMU ends with status ${status} ${said.trim().split('\n').at(-1) ?? ''}`))
    })
  })
}

/** What is counted in one process; after each the work so far can be kept. */
const batchSize = 16
const framesCounted = 4

/** What a calibration has counted so far. */
export interface CalibrationState {
  readonly frames: Record<string, number>
  readonly layers: Record<string, number>
  /** Designed networks that are done. */
  networks: number
}

export interface CalibrationOptions {
  /** Designed networks. */
  readonly networks: number
  readonly seed: number
  readonly state: CalibrationState
  readonly onProgress: (done: number, total: number) => void
  /** After each batch. */
  readonly onState: () => void
  readonly signal?: AbortSignal
}

/** Counts until the state has everything. @throws as `count` does */
export async function calibrate(
  counter: Counter,
  { networks, seed, state, onProgress, onState, signal }: CalibrationOptions,
): Promise<void> {
  if (Object.keys(state.frames).length === 0) {
    const models = designedFrontEnds.map((frontEnd) => frontEndModel(seed, frontEnd))
    const counts = await counter.count(
      models.map((model) => ({ model, frames: framesCounted })),
      signal,
    )
    for (const [i, frontEnd] of designedFrontEnds.entries()) {
      state.frames[frameText(frontEnd)] = Math.round(counts[i].reduce((sum, value) => sum + value, 0) / framesCounted)
    }
    onState()
  }
  while (state.networks < networks) {
    onProgress(state.networks, networks)
    const size = Math.min(batchSize, networks - state.networks)
    const models = Array.from({ length: size }, (_, i) => stockedModel(designedNetwork(seed, state.networks + i)))
    const counts = await counter.count(
      models.map((model) => ({ model, frames: 0 })),
      signal,
    )
    for (const [i, model] of models.entries()) {
      for (const [at, layer] of modelLayers(model).entries()) state.layers[layerText(layer)] = counts[i][at]
    }
    state.networks += size
    onState()
  }
  onProgress(networks, networks)
}

/** The smallest model with a front end. */
function frontEndModel(seed: number, frontEnd: IntegerSpectralFrontEnd): IntegerModel {
  const frames = 1 + Math.floor((frontEnd.samples - frontEnd.windowSamples) / frontEnd.hopSamples)
  const any = stockedModel(designedNetwork(seed, 0))
  const classes = ['0', '1']
  const logits = any.tensors.at(-1)!
  const input = { ...any.tensors[0], shape: [frames, frontEnd.coefficients, 1], containerBits: 8, bits: 8, scale: 1, zeroPoint: 0 } as const
  const depth = frames * frontEnd.coefficients
  return {
    name: frontEnd.kind,
    classes,
    frontEnd,
    tensors: [
      { ...input, min: -128, max: 127 },
      { ...logits, shape: [1, 1, 2] },
    ],
    layers: [
      {
        name: 'logits',
        op: 'convolution',
        input: 0,
        output: 1,
        kernelSize: [frames, frontEnd.coefficients],
        stride: [1, 1],
        padding: [0, 0, 0, 0],
        groups: 1,
        weightBits: 8,
        weights: new Int8Array(2 * depth).fill(1),
        bias: new Int32Array(2),
        multiplier: new Int32Array(2).fill(2 ** 30),
        shift: new Int8Array(2).fill(-4),
      },
    ],
  }
}

/** The table's head and what was counted. */
export function measurementsOf(name: string, state: CalibrationState, source: string): Measurements {
  const { firmware: target, clockHz, instructionsPerCycle } = cortexFacts[name]
  const { frames, layers } = state
  return { name, unit: 'instructions', clockHz, instructionsPerCycle, kernels: targetKernels[target], source, frames, layers, networks: [] }
}
