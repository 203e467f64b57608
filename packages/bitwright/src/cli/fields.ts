// How the text of each kind of flag becomes a value: zod schemas from string to typed value, and one line of error that says what
// would have been right. `validate` puts the flag's name in front.
import { z } from 'zod'
import { UsageError } from '../errors.ts'
import type { BitsSpec, EpochsSpec, PruneSpec } from '../study/api.ts'
import { flagName } from './flag-name.ts'
import { nearest } from './nearest.ts'

export type AmountUnit = 'bytes' | 'macs'

const factors = {
  bytes: { '': 1, k: 1024, m: 1024 ** 2 },
  macs: { '': 1, k: 1e3, m: 1e6, g: 1e9 },
} satisfies Record<AmountUnit, Record<string, number>>

/**
 * A size such as `64k`, `0.5M` or `65536`. For bytes k is 1024 and M 1024 * 1024 (`64kB` and `64KiB` mean the same); for MACs k is a
 * thousand, M a million, G a thousand million.
 * @returns a whole number, rounded; undefined when the text is no size or not above zero
 */
export function parseAmount(text: string, unit: AmountUnit): number | undefined {
  const match = /^(\d+(?:\.\d+)?|\.\d+)\s*([kmg]?)(i?b)?$/i.exec(text.trim())
  if (!match || (match[3] && unit !== 'bytes')) return undefined
  const factor = (factors[unit] as Record<string, number>)[match[2].toLowerCase()]
  if (factor === undefined) return undefined
  const amount = Math.round(Number(match[1]) * factor)
  return amount > 0 && Number.isSafeInteger(amount) ? amount : undefined
}

/** A flag with a value that `parse` understands; `expected` completes "give ...". */
function field<T>(expected: string, parse: (text: string) => T | undefined) {
  return z.string(`is missing; give ${expected}`).transform((text, context): T => {
    const value = parse(text)
    if (value !== undefined) return value
    context.issues.push({ code: 'custom', input: text, message: `not understood; give ${expected}` })
    return z.NEVER
  })
}

export const amount = (unit: AmountUnit) =>
  field(unit === 'bytes' ? 'a size in bytes, e.g. 65536 or 64k (k = 1024)' : 'a number of multiply-accumulates, e.g. 14M', (text) =>
    parseAmount(text, unit),
  )

/** A time such as `20ms`, `0.5s` or `300us`, in milliseconds. */
export const milliseconds = () =>
  field('a time above zero, e.g. 20ms, 0.5s or 300us', (text) => {
    const [, digits, unit] = /^(\d+(?:\.\d+)?|\.\d+)\s*(us|ms|s)$/i.exec(text.trim()) ?? []
    const value = Number(digits) * ({ us: 1e-3, ms: 1, s: 1e3 }[(unit ?? '').toLowerCase()] ?? Number.NaN)
    return value > 0 && value <= 1e9 ? value : undefined
  })

export const bits = () =>
  field('a width from 1 to 8, or trained', (text): BitsSpec | undefined =>
    text === 'trained' ? 'trained' : /^[1-8]$/.test(text) ? Number(text) : undefined,
  )

export const integer = (low: number, high: number, what = 'a whole number') =>
  field(`${what} from ${low} to ${high}`, (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
    return value >= low && value <= high ? value : undefined
  })

export const positiveNumber = (example: string, most: number) =>
  field(`a number above zero, at most ${most}, e.g. ${example}`, (text) => {
    const value = text.trim() === '' ? Number.NaN : Number(text)
    return value > 0 && value <= most ? value : undefined
  })

export const share = () =>
  field('a number above 0, at most 1', (text) => {
    const value = text.trim() === '' ? Number.NaN : Number(text)
    return value > 0 && value <= 1 ? value : undefined
  })

/** A share that leaves something for others. */
export const replay = () =>
  field('a number from 0 to less than 1', (text) => {
    const value = text.trim() === '' ? Number.NaN : Number(text)
    return value >= 0 && value < 1 ? value : undefined
  })

export const seconds = (most: number) =>
  field(`a number of seconds from 0 to ${most}`, (text) => {
    const value = text.trim() === '' ? Number.NaN : Number(text)
    return value >= 0 && value <= most ? value : undefined
  })

/** What presses channels out of a network. */
export const pruning = () =>
  field('budget, or a strength above zero, at most 1000, e.g. 0.5', (text): PruneSpec | undefined => {
    const value = text.trim() === '' ? Number.NaN : Number(text)
    return text === 'budget' ? text : value > 0 && value <= 1000 ? value : undefined
  })

/** An average of widths: 0 for none, else 2 to 8. */
export const averageBits = () =>
  field('an average from 2 to 8, or 0 for as few as they go', (text) => {
    const value = text.trim() === '' ? Number.NaN : Number(text)
    return value === 0 || (value >= 2 && value <= 8) ? value : undefined
  })

export const path = (what: string) => field(what, (text) => (text.trim() === '' ? undefined : text))

export const anyText = () => z.string()

/** A flag without a value. */
export const present = () => z.literal(true).optional().transform(Boolean)

/** A flag that is on unless `--no-...` is given. */
export const notDenied = () => z.boolean().default(true)

/** `32` or `24x32`, height first. */
export const imageSize = () =>
  field('a side or height x width in pixels, 4 to 1024, e.g. 32 or 24x32', (text): readonly [number, number] | undefined => {
    const match = /^(\d{1,4})(?:x(\d{1,4}))?$/.exec(text)
    const [height, width] = [Number(match?.[1]), Number(match?.[2] ?? match?.[1])]
    return Math.min(height, width) >= 4 && Math.max(height, width) <= 1024 ? [height, width] : undefined
  })

export const wordList = () =>
  field('words separated by commas, each once, e.g. yes,no,stop', (text) => {
    const words = text.split(',').map((word) => word.trim())
    return words.every(Boolean) && new Set(words).size === words.length ? words : undefined
  })

export const choice = <const T extends string>(choices: readonly T[]) =>
  z.string(`is missing; give ${either(choices)}`).transform((text, context): T => {
    const found = choices.find((name) => name === text)
    if (found !== undefined) return found
    const guess = nearest(text, choices)
    context.issues.push({
      code: 'custom',
      input: text,
      message: `no such choice; ${guess ? `did you mean ${guess}? (${choices.join(', ')})` : `give ${either(choices)}`}`,
    })
    return z.NEVER
  })

function either(choices: readonly string[]): string {
  return choices.length < 2 ? choices.join('') : `${choices.slice(0, -1).join(', ')} or ${choices.at(-1)}`
}

const epochStages = ['warmup', 'search', 'train', 'quantize'] as const satisfies readonly (keyof EpochsSpec)[]

/** `60` sets the final training and scales the other stages with it; `train=60,quantize=20` sets single stages. */
export const epochs = (defaults: EpochsSpec) =>
  field(`a number of epochs for the final training, or single stages such as warmup=5,search=30,train=60,quantize=20`, (text) => {
    const parsed = parseEpochs(text, defaults, 'train', epochStages)
    return parsed?.train === 0 ? undefined : parsed
  })

/** The same of a run that goes on learning: the last training is the one that every such run has. */
export const adaptEpochs = (defaults: EpochsSpec) =>
  field(`a number of epochs, or single stages such as search=2,train=6,quantize=12`, (text) =>
    parseEpochs(text, defaults, 'quantize', ['search', 'train', 'quantize']),
  )

/** @param main the stage that a bare number is for */
function parseEpochs(
  text: string,
  defaults: EpochsSpec,
  main: keyof EpochsSpec,
  stages: readonly (keyof EpochsSpec)[],
): EpochsSpec | undefined {
  if (/^[1-9]\d{0,4}$/.test(text)) {
    const factor = Number(text) / defaults[main]
    return mapStages((stage) => (defaults[stage] === 0 ? 0 : Math.max(1, Math.round(defaults[stage] * factor))))
  }
  const given = new Map(text.split(',').map((part) => part.trim().split('=') as [string, string]))
  const known = [...given].every(([name, count]) => stages.some((stage) => stage === name) && /^\d{1,5}$/.test(count ?? ''))
  return known ? mapStages((stage) => Number(given.get(stage) ?? defaults[stage])) : undefined
}

function mapStages(value: (stage: keyof EpochsSpec) => number): EpochsSpec {
  return { warmup: value('warmup'), search: value('search'), train: value('train'), quantize: value('quantize') }
}

/** Checks a verb's options. @throws UsageError with one line for the first flag that is wrong. */
export function validate<Schema extends z.ZodType>(schema: Schema, options: Record<string, unknown>): z.output<Schema> {
  const result = schema.safeParse(options)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  const key = String(issue.path[0])
  const given = options[key]
  throw new UsageError(
    given === undefined ? `${flagName(key)} ${issue.message}` : `${flagName(key)} ${String(given) || "''"}: ${issue.message}`,
  )
}
