// The JSON file of a target that is known by measurement: layers and what they took, and the laws between them. docs/hardware.md
import { z } from 'zod'
import type { Kernels } from '@bitwright/runtime'
import { UsageError } from '../errors.ts'
import { fitFrames, type FrameLaw, parseFrame } from './front-end-law.ts'
import { type LayerShape, parseLayer } from './layer-shape.ts'
import { crossValidate, fitLaws, type LawError, type Laws, type Measured } from './law.ts'

export const tableFormat = 'bitwright-hardware-1'

export type TableUnit = 'instructions' | 'cycles' | 'nanoseconds'

/** What was measured, before any law. Values by the text of the layer (layer-shape.ts) or frame (front-end-law.ts). */
export interface Measurements {
  readonly name: string
  readonly unit: TableUnit
  /** Of instructions and cycles, where no clock is given with the name. */
  readonly clockHz?: number
  /** Of instructions: an assumption. */
  readonly instructionsPerCycle?: number
  /** Whose packing the weights have. */
  readonly kernels?: Kernels
  /** Where the numbers come from. */
  readonly source: string
  readonly frames: Readonly<Record<string, number>>
  readonly layers: Readonly<Record<string, number>>
  /** Layers that were only measured together. */
  readonly networks: readonly { readonly layers: readonly string[]; readonly value: number }[]
}

export interface HardwareTable extends Measurements {
  readonly model: 'table'
  readonly laws: Laws
  readonly frameLaw: FrameLaw
  readonly errors: Readonly<Record<string, LawError>>
}

const count = z.number().positive().max(1e15)
const coefficient = z.number().nonnegative().max(1e15)

const layerKey = z.string().refine((text) => parseLayer(text) !== undefined, {
  error: (issue) => `"${String(issue.input)}" is no layer; write one as in docs/hardware.md, "Layers"`,
})
const frameKey = z.string().refine((text) => parseFrame(text) !== undefined, {
  error: (issue) => `"${String(issue.input)}" is no front end; write one as in docs/hardware.md, "Layers"`,
})

export const tableSchema = z
  .strictObject({
    format: z.literal(tableFormat),
    model: z.literal('table'),
    name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,40}$/, 'has to be lower-case letters, digits and dashes'),
    unit: z.enum(['instructions', 'cycles', 'nanoseconds']),
    clockHz: z.number().min(1e3).max(1e11).optional(),
    instructionsPerCycle: z.number().min(0.01).max(16).optional(),
    kernels: z.enum(['plain', 'dsp', 'helium']).optional(),
    source: z.string().max(1000).default(''),
    frames: z.record(frameKey, count).default({}),
    layers: z.record(layerKey, count).default({}),
    networks: z.array(z.strictObject({ layers: z.array(layerKey).min(1), value: count })).default([]),
    laws: z.record(z.string(), z.record(z.string(), coefficient)).optional(),
    frameLaw: z.record(z.string(), coefficient).optional(),
    errors: z.record(z.string(), z.strictObject({ points: z.number(), median: z.number(), ninetieth: z.number() })).default({}),
  })
  .superRefine(({ unit, clockHz, instructionsPerCycle, layers, networks, laws }, context) => {
    const add = (key: string, message: string) => context.addIssue({ code: 'custom', path: [key], message })
    if (unit !== 'nanoseconds' && clockHz === undefined) add('clockHz', `is missing; ${unit} become a time by a clock`)
    if (unit === 'instructions' && instructionsPerCycle === undefined)
      add('instructionsPerCycle', 'is missing; instructions become cycles by it')
    if (unit === 'nanoseconds' && clockHz !== undefined) add('clockHz', 'has no meaning for nanoseconds; leave it out')
    if (unit !== 'instructions' && instructionsPerCycle !== undefined)
      add('instructionsPerCycle', 'is for instructions alone; leave it out')
    if (laws === undefined && Object.keys(layers).length + networks.length === 0)
      add('layers', 'is empty and there are no laws; give measured layers')
  })

const parsed = (text: string): LayerShape => parseLayer(text)!

export function measuredLayers({ layers, networks }: Pick<Measurements, 'layers' | 'networks'>): Measured[] {
  const single = Object.entries(layers).map(([text, value]): Measured => ({ layers: [parsed(text)], value }))
  return [...single, ...networks.map((row): Measured => ({ layers: row.layers.map(parsed), value: row.value }))]
}

/** The table of what was measured, with its laws and their errors. */
export function fitTable(measurements: Measurements): HardwareTable {
  const measured = measuredLayers(measurements)
  return {
    ...measurements,
    model: 'table',
    laws: fitLaws(measured, measurements.kernels),
    frameLaw: framesOf(measurements),
    errors: crossValidate(measured, measurements.kernels),
  }
}

const framesOf = ({ frames }: Pick<Measurements, 'frames'>): FrameLaw =>
  fitFrames(Object.entries(frames).map(([text, value]) => [parseFrame(text)!, value] as const))

/** @throws UsageError with the first thing that is wrong, and where. */
export function parseTable(json: unknown, from: string): HardwareTable {
  const result = tableSchema.safeParse(json)
  if (!result.success) {
    const [issue] = result.error.issues
    throw new UsageError(`${from}: ${issue.path.length > 0 ? `${issue.path.join('.')}: ` : ''}${tableIssue(issue)} (docs/hardware.md)`)
  }
  const { format: _format, laws, frameLaw, ...rest } = result.data
  const kernels = rest.kernels
  return {
    ...(rest as Measurements),
    model: 'table',
    laws: laws ?? fitLaws(measuredLayers(rest), kernels),
    frameLaw: frameLaw ?? framesOf(rest),
    errors: rest.errors,
  }
}

/** zod keeps what is wrong with a key one level down. */
export function tableIssue(issue: z.core.$ZodIssue): string {
  return issue.code === 'invalid_key' ? (issue.issues[0]?.message ?? issue.message) : issue.message
}

/** One measured layer a line. */
export function tableText({ model, laws, frameLaw, errors, frames, layers, networks, ...head }: HardwareTable): string {
  const document = { format: tableFormat, model, ...head, errors, frameLaw, laws, frames, layers, ...(networks.length > 0 && { networks }) }
  return `${JSON.stringify(document, undefined, 2)}\n`
}
