// The command line's entry: loads the one verb that is asked for, runs it, and turns failures into one line and an exit code:
// 0 done, 1 the work failed, 2 wrong use, 130 interrupted.
import { readFileSync } from 'node:fs'
import { CommanderError, type Command } from 'commander'
import { RunError, UsageError } from '../errors.ts'
import { nearest } from './nearest.ts'
import { verb } from './verb.ts'

interface Verb {
  readonly name: string
  readonly summary: string
  load(): Promise<{ command(): Command }>
}

const verbs: readonly Verb[] = [
  { name: 'search', summary: 'find, train and quantize a network within a budget', load: () => import('./search.ts') },
  { name: 'train', summary: 'train and quantize one given network', load: () => import('./train.ts') },
  { name: 'adapt', summary: 'let a finished run go on learning from new data', load: () => import('./adapt.ts') },
  { name: 'evaluate', summary: 'score the models of a run on clips', load: () => import('./evaluate.ts') },
  { name: 'hardware', summary: 'targets: list, show, price on them, measure them', load: () => import('./hardware.ts') },
  { name: 'info', summary: 'size, operations, bits and time of a model or network', load: () => import('./info.ts') },
  { name: 'listen', summary: 'the words a model hears live or in a recording', load: () => import('./listen.ts') },
  { name: 'predict', summary: 'what a model hears in a WAV file', load: () => import('./predict.ts') },
  { name: 'export', summary: 'a model as ONNX or another format', load: () => import('./export.ts') },
  { name: 'firmware', summary: 'run exported firmware in an emulator', load: () => import('./firmware.ts') },
  { name: 'data', summary: 'inspect a folder of clips, or synthesise one', load: () => import('./data.ts') },
  { name: 'report', summary: 'write report.html of a run anew', load: () => import('./report.ts') },
  { name: 'quickstart', summary: 'all of it on a small synthesised set, within five minutes', load: () => import('./quickstart.ts') },
]

/** Runs the command line. @returns the exit code */
export async function main(args: readonly string[]): Promise<number> {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0)
    throw error
  })
  const wanted = args[0] === 'help' ? args[1] : args[0]
  try {
    const program = await buildProgram(wanted)
    if (args.length === 0) {
      process.stderr.write(program.helpInformation())
      return 2
    }
    await program.parseAsync([...args], { from: 'user' })
    return Number(process.exitCode ?? 0)
  } catch (error) {
    return explain(error, verbs.some(({ name }) => name === wanted) ? `bitwright ${wanted}` : 'bitwright')
  }
}

export function version(): string {
  const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
  return manifest.version
}

async function buildProgram(wanted: string | undefined): Promise<Command> {
  const program = verb('bitwright', 'Searches, trains and ships the smallest network that does the job.')
    .version(version(), '-V, --version', 'show the version')
    .helpCommand('help [verb]', 'show the help of a verb')
    .usage('<verb> [options]')
    .addHelpText('after', '\n`bitwright <verb> --help` explains a verb. First steps: `bitwright quickstart`.')
  for (const { name, summary, load } of verbs) {
    program.addCommand(name === wanted ? (await load()).command() : verb(name, summary))
  }
  if (wanted !== undefined && !wanted.startsWith('-') && !verbs.some(({ name }) => name === wanted)) {
    const names = verbs.map(({ name }) => name)
    const guess = nearest(wanted, names)
    throw new UsageError(`${wanted}: no such verb; ${guess ? `did you mean ${guess}?` : `give one of ${names.join(', ')}`}`)
  }
  return program
}

/** Prints a failure. Expected ones are one line; anything else is a bug and keeps its stack. @returns the exit code */
function explain(error: unknown, where: string): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0
    if (error.code === 'commander.help') return 2
    const text = error.message
      .replace(/^error: /, '')
      .replace(/\s*\n\s*/g, ' ')
      .replace(/\.$/, '')
    process.stderr.write(`${where}: ${text.includes('Did you mean') ? text : `${text}; see \`${where} --help\``}\n`)
    return 2
  }
  if (error instanceof UsageError || error instanceof RunError || (error instanceof Error && error.name === 'BadModelError')) {
    process.stderr.write(`${where}: ${error.message}\n`)
    return error instanceof UsageError ? 2 : 1
  }
  process.stderr.write(`${where}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
  return 1
}
