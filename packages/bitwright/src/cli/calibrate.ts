// The work of `hardware calibrate` and `hardware measure`: with progress, an interruption that keeps what was counted, and a table at the end.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { decodeModel } from '@bitwright/runtime'
import { UsageError } from '../errors.ts'
import { firmwareFolder } from '../export/firmware.ts'
import { calibrate, type CalibrationState, cortexFacts, measurementsOf, openCounter } from '../firmware/calibration.ts'
import { parseBoardLog } from '../hardware/board-log.ts'
import { measureMachine } from '../hardware/measure.ts'
import { fitTable, type HardwareTable, type Measurements, tableText } from '../hardware/table.ts'
import { readGivenFile } from './given-file.ts'
import { errorTable } from './hardware-text.ts'
import { createProgress } from './progress.ts'
import { printJson } from './verb.ts'

export interface CalibrationRequest {
  readonly target: string
  readonly log?: string | undefined
  readonly out: string
  readonly networks: number
  readonly seed: number
  readonly json: boolean
}

export async function runCalibration(request: CalibrationRequest): Promise<void> {
  const { target, log, out, json } = request
  if (log === undefined && target !== 'measured' && !Object.hasOwn(cortexFacts, target)) {
    throw new UsageError(
      `--target ${target}: nothing counts there; give ${Object.keys(cortexFacts).join(', ')} or measured, or a board's --log`,
    )
  }
  if (log !== undefined && !/^[a-z0-9][a-z0-9-]{0,40}$/.test(target))
    throw new UsageError(`--target ${target}: a table's name has lower-case letters, digits and dashes alone, e.g. my-board`)
  const progress = createProgress(process.stderr, undefined, undefined, { evaluate: target })
  const stop = new AbortController()
  const onInterrupt = () => stop.abort()
  process.on('SIGINT', onInterrupt)
  try {
    const onProgress = (done: number, total: number) => progress.onProgress({ stage: 'evaluate', done, total, text: 'networks' })
    const measurements =
      log !== undefined
        ? ofLog(target, log)
        : target === 'measured'
          ? await measureMachine({ ...request, onProgress, onNotice: progress.say, signal: stop.signal })
          : await ofEmulator(request, onProgress, progress.say, stop.signal)
    progress.finish()
    const table = fitTable(measurements)
    replaceFile(out, tableText(table))
    rmSync(statePath(out), { force: true })
    if (json) printJson(summary(out, table))
    else process.stdout.write(`${errorTable(table)}\n${out}\n`)
  } catch (error) {
    if (!stop.signal.aborted) throw error
    process.exitCode = 130
  } finally {
    process.off('SIGINT', onInterrupt)
    progress.finish()
  }
}

const summary = (out: string, { name, unit, layers, frames, networks, errors }: HardwareTable) => ({
  table: out,
  name,
  unit,
  layers: Object.keys(layers).length,
  frames: Object.keys(frames).length,
  networks: networks.length,
  errors,
})

function replaceFile(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true })
  const fresh = `${path}.${process.pid}`
  writeFileSync(fresh, text)
  renameSync(fresh, path)
}

function ofLog(name: string, log: string): Measurements {
  const read = (path: string) => {
    const place = join(dirname(log), path)
    return decodeModel(readGivenFile(place), place)
  }
  const found = parseBoardLog(Buffer.from(readGivenFile(log)).toString('utf8'), log, read)
  const clockHz = found.clockHz ?? cortexFacts[name]?.clockHz
  if (clockHz === undefined) throw new UsageError(`${log}: says no clock; add a line such as \`clock 80000000\` (docs/hardware.md)`)
  return { ...found, name, unit: 'cycles', clockHz, source: `a board's log` }
}

const statePath = (out: string): string => `${out}.part`

/** Of the core's sources. */
function coreHash(): string {
  const hash = createHash('sha256')
  const core = join(firmwareFolder, '../core')
  for (const name of readdirSync(core).filter((file) => /\.[ch]$/.test(file))) hash.update(name).update(readFileSync(join(core, name)))
  return hash.digest('hex').slice(0, 12)
}

const compiler = (): string => spawnSync('arm-none-eabi-gcc', ['-dumpfullversion'], { encoding: 'utf8' }).stdout?.trim() ?? ''

async function ofEmulator(
  request: CalibrationRequest,
  onProgress: (done: number, total: number) => void,
  onNotice: (line: string) => void,
  signal: AbortSignal,
): Promise<Measurements> {
  const { target, out, networks, seed } = request
  const core = coreHash()
  const own = `${target} ${seed} ${compiler()} ${core}`
  const place = statePath(out)
  const kept = existsSync(place) ? (JSON.parse(readFileSync(place, 'utf8')) as { own: string; state: CalibrationState }) : undefined
  const state: CalibrationState = kept?.own === own ? kept.state : { frames: {}, layers: {}, networks: 0 }
  if (state.networks > 0) onNotice(`going on after ${state.networks} networks`)
  const counter = openCounter(cortexFacts[target].firmware, onNotice)
  try {
    const onState = () => replaceFile(place, JSON.stringify({ own, state }))
    await calibrate(counter, { networks, seed, state, onProgress, onState, signal })
  } finally {
    counter.close()
  }
  const source = `${networks} designed networks in the emulator, GCC ${compiler()}, core ${core}`
  return measurementsOf(target, state, source)
}
