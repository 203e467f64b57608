// Benchmarks from the command line, one question a file.
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { type BenchOptions, describeMachine, table } from './bench.ts'
import { columns } from './columns.ts'

type Result = { readonly rows: readonly object[]; readonly text: string }

/** A bench as a function from options to its rows and their table. */
function bench<Row extends object>(measure: (options: BenchOptions) => Promise<readonly Row[]>, print: (rows: readonly Row[]) => string) {
  return async (options: BenchOptions): Promise<Result> => {
    const rows = await measure(options)
    return { rows, text: print(rows) }
  }
}

const cores = availableParallelism()
const usualThreads = cores > 1 ? '1,2' : '1'
/** Where a bench goes through the threads itself, or leaves them to the program. */
const allThreads: Record<string, string> = { scaling: String(cores), startup: String(cores) }

const benchmarks: Record<string, () => Promise<(options: BenchOptions) => Promise<Result>>> = {
  'train-step': async () => bench((await import('./train-step.ts')).trainStep, table),
  'search-step': async () => bench((await import('./search-step.ts')).searchStep, columns),
  scaling: async () => bench((await import('./scaling.ts')).scaling, columns),
  startup: async () => bench((await import('./startup.ts')).startup, columns),
}

const usage = `usage: npm run bench -- <${Object.keys(benchmarks).join(' | ')}> [--threads 1,2] [--works a,b] [--quick] [--plot FILE.svg] [--json]`

function parse() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      plot: { type: 'string' },
      works: { type: 'string' },
      threads: { type: 'string' },
    },
  })
  const [name] = positionals
  if (positionals.length !== 1 || !Object.hasOwn(benchmarks, name)) throw new Error('give the name of one bench')
  const threads = (values.threads ?? allThreads[name] ?? usualThreads).split(',').map(Number)
  if (!threads.every((count) => Number.isInteger(count) && count > 0)) throw new Error('--threads takes whole numbers above 0')
  return { ...values, name, threads, works: values.works?.split(',') }
}

function parsed(): ReturnType<typeof parse> {
  try {
    return parse()
  } catch (error) {
    console.error(`${(error as Error).message.split('\n')[0]}; ${usage}`)
    process.exit(2)
  }
}

const { name, json, ...options } = parsed()
const notes: string[] = []
const note = (line: string): void => {
  notes.push(line)
  console.error(line)
}
const measure = await benchmarks[name]()
note(await describeMachine())
const { rows, text } = await measure({ ...options, note })
console.log(json ? JSON.stringify({ benchmark: name, notes, rows }) : text)
