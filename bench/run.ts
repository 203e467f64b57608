// Benchmarks from the command line, one question a file.
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { RunError, UsageError } from '../packages/bitwright/src/errors.ts'
import { type BenchOptions, describeMachine, table } from './bench.ts'
import { columns } from './columns.ts'
import { wrongUse } from './flags.ts'

type Result = { readonly rows: readonly object[]; readonly text: string }

/** A bench as a function from options to its rows and their table. */
function bench<Row extends object>(measure: (options: BenchOptions) => Promise<readonly Row[]>, print: (rows: readonly Row[]) => string) {
  return async (options: BenchOptions): Promise<Result> => {
    const rows = await measure(options)
    return { rows, text: print(rows) }
  }
}

interface Benchmark {
  /** Options besides --json that it takes. */
  readonly takes: readonly ('threads' | 'works' | 'quick' | 'plot')[]
  readonly threads: string
  load(): Promise<(options: BenchOptions) => Promise<Result>>
}

const cores = availableParallelism()
const oneAndTwo = cores > 1 ? '1,2' : '1'
const benchmarks: Record<string, Benchmark> = {
  'train-step': {
    takes: ['threads', 'works', 'quick'],
    threads: oneAndTwo,
    load: async () => bench((await import('./train-step.ts')).trainStep, table),
  },
  'search-step': {
    takes: ['threads', 'quick'],
    threads: oneAndTwo,
    load: async () => bench((await import('./search-step.ts')).searchStep, columns),
  },
  // goes from one thread to this many
  scaling: {
    takes: ['threads', 'quick', 'plot'],
    threads: String(cores),
    load: async () => bench((await import('./scaling.ts')).scaling, columns),
  },
  inference: {
    takes: ['works', 'quick'],
    threads: '1',
    load: async () => bench((await import('./inference.ts')).inference, columns),
  },
  attend: {
    takes: ['threads', 'quick'],
    threads: oneAndTwo,
    load: async () => bench((await import('./attend.ts')).attendBench, columns),
  },
  startup: {
    takes: ['threads', 'quick'],
    threads: String(cores),
    load: async () => bench((await import('./startup.ts')).startup, columns),
  },
}

const usage = `usage: npm run bench -- <${Object.keys(benchmarks).join(' | ')}> [--threads 1,2] [--works a,b] [--quick] [--plot FILE.svg] [--json]`

function parse() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: 'boolean' },
      quick: { type: 'boolean' },
      plot: { type: 'string' },
      works: { type: 'string' },
      threads: { type: 'string' },
    },
  })
  const [name] = positionals
  if (positionals.length !== 1 || !Object.hasOwn(benchmarks, name)) throw new Error('give the name of one bench')
  const benchmark = benchmarks[name]
  const { json = false, ...own } = values
  const foreign = Object.keys(own).find((option) => !(benchmark.takes as readonly string[]).includes(option))
  if (foreign !== undefined) throw new Error(`${name} takes no --${foreign}`)
  const threads = (own.threads ?? benchmark.threads).split(',').map(Number)
  if (!threads.every((count) => Number.isInteger(count) && count > 0)) throw new Error('--threads takes whole numbers above 0')
  return { name, json, benchmark, options: { ...own, quick: own.quick ?? false, threads, works: own.works?.split(',') } }
}

function parsed(): ReturnType<typeof parse> {
  try {
    return parse()
  } catch (error) {
    return wrongUse(`${(error as Error).message.split('\n')[0]}; ${usage}`)
  }
}

const { name, json, benchmark, options } = parsed()
const notes: string[] = []
const note = (line: string): void => {
  notes.push(line)
  console.error(line)
}
const measure = await benchmark.load()
note(await describeMachine())
try {
  const { rows, text } = await measure({ ...options, note })
  console.log(json ? JSON.stringify({ benchmark: name, notes, rows }) : text)
} catch (error) {
  if (!(error instanceof UsageError || error instanceof RunError)) throw error
  console.error(error.message)
  process.exit(error instanceof UsageError ? 2 : 1)
}
