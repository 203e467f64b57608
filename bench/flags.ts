// The flags of a bench that is a program of its own. Used wrongly it says so, and how it is called, with exit code 2.
import { parseArgs, type ParseArgsOptionsConfig } from 'node:util'

/** By name: a default, undefined without one, false of a flag without a value. */
type Optional = Readonly<Record<string, string | false | undefined>>
type Flags<Needed extends string, Others extends Optional> = Readonly<Record<Needed, string>> & {
  readonly [Name in keyof Others]: Others[Name] extends false ? boolean : Others[Name] extends string ? string : string | undefined
}

export function wrongUse(...lines: readonly string[]): never {
  for (const line of lines) console.error(line)
  process.exit(2)
}

function read<Needed extends string, const Others extends Optional>(
  usage: string,
  needed: readonly Needed[],
  others: Others,
  allowPositionals: boolean,
): { values: Flags<Needed, Others>; files: readonly string[] } {
  const options: ParseArgsOptionsConfig = Object.fromEntries(
    [...needed.map((name) => [name, undefined] as const), ...Object.entries(others)].map(([name, value]) => {
      if (value === false) return [name, { type: 'boolean', default: false }]
      return [name, { type: 'string', ...(value !== undefined && { default: value }) }]
    }),
  )
  try {
    const { values, positionals: files } = parseArgs({ options, allowPositionals })
    if (needed.some((name) => values[name] === undefined) || (allowPositionals && files.length === 0)) wrongUse(`usage: ${usage}`)
    return { values: values as Flags<Needed, Others>, files }
  } catch (error) {
    return wrongUse((error as Error).message.split('\n')[0], `usage: ${usage}`)
  }
}

/** @param usage one line or more, without the word */
export const readFlags = <Needed extends string, const Others extends Optional>(
  usage: string,
  needed: readonly Needed[],
  others: Others,
): Flags<Needed, Others> => read(usage, needed, others, false).values

/** The same of a bench that takes one file or more besides. */
export const readFlagsAndFiles = <Needed extends string, const Others extends Optional>(
  usage: string,
  needed: readonly Needed[],
  others: Others,
) => read(usage, needed, others, true)
