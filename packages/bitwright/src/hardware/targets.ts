// Targets by name: `cortex-m4`, `cortex-m4@80MHz`, `bit-fusion`, `measured`, or the path of a JSON file of any of these kinds.
import { existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { UsageError } from '../errors.ts'
import { acceleratorModel } from './accelerator.ts'
import { bitFusion, bitFusionKind, type BitFusionParameters } from './bit-fusion.ts'
import { bitSerial, bitSerialKind, type BitSerialParameters } from './bit-serial.ts'
import type { CostModel, TimeModel } from './cost-model.ts'
import { pricedOn } from './memory.ts'
import { type HardwareTable, parseTable, tableFormat, tableIssue } from './table.ts'
import { tableModel } from './table-model.ts'

export const cortexTargets = ['cortex-m0plus', 'cortex-m4', 'cortex-m7', 'cortex-m33', 'cortex-m55'] as const
export const acceleratorTargets = ['bit-serial', 'bit-fusion'] as const
export const targetNames = [...cortexTargets, ...acceleratorTargets, 'measured'] as const

export type Hardware = HardwareTable | BitSerialParameters | BitFusionParameters

const positive = z.number().positive().max(1e12)
const whole = z.number().int().min(1).max(1e6)
const arrayFields = {
  format: z.literal(tableFormat),
  name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,40}$/, 'has to be lower-case letters, digits and dashes'),
  clockHz: z.number().min(1e3).max(1e11),
  rows: whole,
  columns: whole,
  depthwiseColumns: whole,
  fillCycles: z.number().int().min(0).max(1e9),
  weightBitsPerCycle: positive,
  vectorLanes: whole,
  memoryPjPerBit: z.number().nonnegative().max(1e9),
  staticPjPerCycle: z.number().nonnegative().max(1e9),
}
const arraySchemas = {
  'bit-serial': z.strictObject({ ...arrayFields, model: z.literal('bit-serial'), bitProductPj: z.number().nonnegative().max(1e9) }),
  'bit-fusion': z.strictObject({
    ...arrayFields,
    model: z.literal('bit-fusion'),
    bricks: whole,
    brickPj: z.number().nonnegative().max(1e9),
  }),
}

/** Checks a hardware file. @throws UsageError with the first thing that is wrong, and where */
export function parseHardware(json: unknown, from: string): Hardware {
  const { format, model } = (typeof json === 'object' && json !== null ? json : {}) as { format?: unknown; model?: unknown }
  if (format !== tableFormat) throw new UsageError(`${from}: is no hardware file; its format has to be "${tableFormat}" (docs/hardware.md)`)
  if (model === 'table') return parseTable(json, from)
  if (model !== 'bit-serial' && model !== 'bit-fusion')
    throw new UsageError(`${from}: model: give "table", "bit-serial" or "bit-fusion" (docs/hardware.md)`)
  const result = arraySchemas[model].safeParse(json)
  if (!result.success) {
    const [issue] = result.error.issues
    throw new UsageError(`${from}: ${issue.path.length > 0 ? `${issue.path.join('.')}: ` : ''}${tableIssue(issue)} (docs/hardware.md)`)
  }
  const { format: _format, ...parameters } = result.data
  return parameters
}

const tablesFolder = join(import.meta.dirname, 'tables')

/** Where the table of this very machine is kept. */
export const measuredPath = (): string =>
  join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'bitwright', 'hardware-measured.json')

export interface TargetName {
  /** A name of the list, or the path of a file. */
  readonly name: string
  readonly clockHz?: number
}

const clockUnits: Readonly<Record<string, number>> = { hz: 1, khz: 1e3, mhz: 1e6, ghz: 1e9 }

/** @throws UsageError where it is no name with an optional clock */
export function parseTarget(text: string): TargetName {
  const [, name, clock] = /^(.*?)(?:@([^@/\\]*))?$/.exec(text)!
  if (!(targetNames as readonly string[]).includes(name) && !/\.json$/i.test(name)) {
    throw new UsageError(`--target ${text}: no such target; give ${targetNames.join(', ')}, or the path of a .json file`)
  }
  if (clock === undefined) return { name }
  const [, digits, unit] = /^(\d+(?:\.\d+)?)\s*([kmg]?hz)$/i.exec(clock) ?? []
  const clockHz = Number(digits) * clockUnits[(unit ?? '').toLowerCase()]
  if (!(clockHz >= 1e3 && clockHz <= 1e11))
    throw new UsageError(`--target ${text}: "${clock}" is no clock; give one such as ${name}@80MHz, or the name alone`)
  if (name === 'measured') throw new UsageError(`--target ${text}: this machine was timed as it is; give \`--target measured\` alone`)
  return { name, clockHz }
}

const constants: Readonly<Record<string, Hardware>> = { 'bit-serial': bitSerial, 'bit-fusion': bitFusion }

/** @throws UsageError where there is no such file, or it is none */
export function readHardware(name: string): Hardware {
  if (Object.hasOwn(constants, name)) return constants[name]
  const isCortex = (cortexTargets as readonly string[]).includes(name)
  const path = isCortex ? join(tablesFolder, `${name}.json`) : name === 'measured' ? measuredPath() : name
  if (!existsSync(path)) {
    const mend = name === 'measured' ? 'time this machine first: `bitwright hardware measure`' : 'check the path'
    throw new UsageError(`--target ${name}: ${path} does not exist; ${mend}`)
  }
  let json: unknown
  try {
    json = JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    throw new UsageError(`${path}: is not JSON (${(error as Error).message})`)
  }
  return parseHardware(json, path)
}

export function timeModel(hardware: Hardware, clockHz?: number): TimeModel {
  switch (hardware.model) {
    case 'table':
      if (clockHz !== undefined && hardware.unit === 'nanoseconds')
        throw new UsageError(`target ${hardware.name}: was measured as a time; give it without a clock`)
      return tableModel(hardware, clockHz)
    case 'bit-serial':
      return acceleratorModel(hardware, bitSerialKind(hardware), clockHz)
    default:
      return acceleratorModel(hardware, bitFusionKind(hardware), clockHz)
  }
}

/** What `--target` names. @throws UsageError as above */
export function targetTime(text: string): TimeModel {
  const { name, clockHz } = parseTarget(text)
  return timeModel(readHardware(name), clockHz)
}

export const targetModel = (text: string): CostModel => pricedOn(targetTime(text))
