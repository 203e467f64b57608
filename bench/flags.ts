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

/** @param usage one line or more, without the word */
export function readFlags<Needed extends string, const Others extends Optional>(
  usage: string,
  needed: readonly Needed[],
  others: Others,
): Flags<Needed, Others> {
  const options: ParseArgsOptionsConfig = Object.fromEntries(
    [...needed.map((name) => [name, undefined] as const), ...Object.entries(others)].map(([name, value]) => {
      if (value === false) return [name, { type: 'boolean', default: false }]
      return [name, { type: 'string', ...(value !== undefined && { default: value }) }]
    }),
  )
  try {
    const { values } = parseArgs({ options })
    if (needed.some((name) => values[name] === undefined)) wrongUse(`usage: ${usage}`)
    return values as Flags<Needed, Others>
  } catch (error) {
    return wrongUse((error as Error).message.split('\n')[0], `usage: ${usage}`)
  }
}
