// Benchmarks from the command line, one question a file. usage: npm run bench -- <name> [--threads 1,2] [--json]
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { type BenchOptions, type BenchRow, describeMachine, table } from './bench.ts'
import { trainStep } from './train-step.ts'

const benchmarks: Record<string, (options: BenchOptions) => Promise<BenchRow[]>> = { 'train-step': trainStep }

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'boolean', default: false }, threads: { type: 'string', default: availableParallelism() > 1 ? '1,2' : '1' } },
})
const [name] = positionals
const threads = values.threads.split(',').map(Number)
if (positionals.length !== 1 || !Object.hasOwn(benchmarks, name) || !threads.every((count) => Number.isInteger(count) && count > 0)) {
  console.error(`usage: npm run bench -- <${Object.keys(benchmarks).join(' | ')}> [--threads 1,2] [--json]`)
  process.exit(2)
}
const notes: string[] = []
const note = (line: string): void => {
  notes.push(line)
  console.error(line)
}
note(await describeMachine())
const rows = await benchmarks[name]({ threads, note })
console.log(values.json ? JSON.stringify({ benchmark: name, notes, rows }) : table(rows))
