// Is it better to search architecture and bits at once than one after the other? Both ways under the same limits, with the same space, supernet,
// epochs, scores for each evolution and final training, over seeds:
//
// joint: `search --search joint` as it ships. sequential: an architecture in float (float-search.ts), then `search --search joint --space network` for
// the bits of its layers. Somebody who searches in float has to assume a width to know what fits; every one of --widths is tried, each
// architecture has its bits searched, and the best on validation clips, with shared weights, is trained. So the sequential way has several times
// the scores of the joint one, and as many supernets; with fewer --sequential-epochs for each, the two ways cost alike.
//
//   node bench/joint-sequential.ts --data DIR --lists DIR --out DIR [--budgets 8k,12k,20k,100ms] [--target cortex-m4@80MHz] [--seeds 0,1,2]
//     [--widths 8,4,2] [--epochs warmup=8,search=32,train=60,quantize=60] [--sequential-epochs ..] [--candidates 256] [--only joint,sequential]
//     [--threads N] [--json]
//
// A budget is bytes (`8k`), a latency on the target (`100ms`), or both (`8k+100ms`). Every search and training is a run in a folder of its own,
// resumed or skipped where it exists, so that the table can be filled over several sittings. The lists folder has sc12_train.txt, sc12_val.txt
// and sc12_test.txt. Validation clips choose; test clips are scored once, by each cell's final model.
import { existsSync, mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { Engine, openBackend } from '../packages/engine/src/index.ts'
import { createProgress } from '../packages/bitwright/src/cli/progress.ts'
import { searchRequest } from '../packages/bitwright/src/cli/search-request.ts'
import { RunError, UsageError } from '../packages/bitwright/src/errors.ts'
import { averageWidths } from '../packages/bitwright/src/search/front.ts'
import type { SearchSpec } from '../packages/bitwright/src/study/api.ts'
import { readCheckpoint } from '../packages/bitwright/src/study/checkpoint.ts'
import type { StudyEvent } from '../packages/bitwright/src/study/events.ts'
import { readJournal } from '../packages/bitwright/src/study/journal.ts'
import { loadRunData } from '../packages/bitwright/src/study/run-data.ts'
import { atomicWrite, runDirectory } from '../packages/bitwright/src/study/run-directory.ts'
import { searchStudy } from '../packages/bitwright/src/study/run.ts'
import { columns } from './columns.ts'
import { readFlags } from './flags.ts'
import { FloatSearch } from './float-search.ts'

const { data, lists, out, ...values } = readFlags(
  `node bench/joint-sequential.ts --data DIR --lists DIR --out DIR [--budgets 8k,12k,100ms] [--target NAME] [--seeds 0,1,2]
  [--widths 8,4,2] [--epochs warmup=N,..] [--sequential-epochs ..] [--candidates N] [--only joint,sequential] [--threads N] [--json]`,
  ['data', 'lists', 'out'],
  {
    budgets: '8k,12k,20k,100ms',
    target: 'cortex-m4@80MHz',
    seeds: '0,1,2',
    widths: '8,4,2',
    epochs: undefined,
    'sequential-epochs': undefined,
    candidates: undefined,
    only: 'joint,sequential',
    threads: '1',
    json: false,
  },
)

type Way = 'joint' | 'sequential'

interface Row {
  readonly way: Way
  readonly budget: string
  readonly seed: number
  /** Percent, of the integer model. */
  readonly validation: number
  readonly test: number
  readonly flashBytes: number
  readonly latencyMs: number
  readonly macs: number
  readonly weightBits: number
  readonly activationBits: number
  /** Width that the architecture was searched at. */
  readonly assumed: number | null
  /** Everything up to the choice. */
  readonly searchSeconds: number
  readonly trainSeconds: number
}

/** The request of a joint search as the command line makes it. */
function request(budget: string, seed: number, name: string, more: Record<string, unknown> = {}): SearchSpec {
  const limits = budget.split('+').map((limit) => [limit.endsWith('s') ? 'latency' : 'flash', limit] as const)
  const list = (file: string) => join(lists, `sc12_${file}.txt`)
  const flags = {
    data: data,
    trainList: list('train'),
    validationList: list('val'),
    testList: list('test'),
    space: 'kws-mfcc',
    search: 'joint',
    target: values.target,
    ...Object.fromEntries(limits),
    ...(values.epochs !== undefined && { epochs: values.epochs }),
    ...(values.candidates !== undefined && { candidates: values.candidates }),
    seed: `${seed}`,
    threads: values.threads,
    out: resolve(out, name),
    ...more,
  }
  const { spec } = searchRequest(flags, ['(bench/joint-sequential.ts)'])
  return { ...spec, resume: existsSync(runDirectory(spec.out).journal) }
}

const eventsOf = ({ out: folder }: SearchSpec): StudyEvent[] => {
  const { journal } = runDirectory(folder)
  return existsSync(journal) ? readJournal(journal) : []
}
function eventOf<T extends StudyEvent['type']>(spec: SearchSpec, type: T): Extract<StudyEvent, { type: T }> | undefined {
  return eventsOf(spec).findLast((event): event is Extract<StudyEvent, { type: T }> => event.type === type)
}

/** Goes on with a run to its end, or only to the front of its search. */
async function perform(spec: SearchSpec, until: 'front' | 'finished'): Promise<void> {
  if (eventOf(spec, until) || eventOf(spec, 'finished')) return
  console.error(`${spec.out}: ${spec.resume ? 'goes on' : 'starts'}`)
  const progress = createProgress(process.stderr, spec.epochs)
  let isThere = false
  const onEvent = (event: StudyEvent): void => {
    isThere ||= event.type === until
    progress.onEvent(event)
  }
  await searchStudy(spec, {
    onNotice: progress.say,
    onEvent,
    onProgress: progress.onProgress,
    shouldStop: () => isThere && until === 'front',
  })
  progress.finish()
}

const searchSecondsOf = ({ out: folder }: SearchSpec): number => readCheckpoint(runDirectory(folder).search)?.seconds ?? 0

function rowOf(way: Way, budget: string, seed: number, spec: SearchSpec, assumed: number | null, searchSeconds: number): Row {
  const { network, cost } = eventOf(spec, 'network')!
  const events = eventsOf(spec)
  const accuracy = (split: 'validation' | 'test') => {
    const found = events.findLast((event) => event.type === 'evaluation' && event.split === split)
    return 100 * (found?.type === 'evaluation' ? found.integer!.accuracy : Number.NaN)
  }
  const trainSeconds = events.reduce(
    (sum, event) => sum + (event.type === 'epoch' && (event.stage === 'train' || event.stage === 'quantize') ? event.seconds : 0),
    0,
  )
  return {
    way,
    budget,
    seed,
    validation: accuracy('validation'),
    test: accuracy('test'),
    flashBytes: cost.flashBytes,
    latencyMs: cost.latencyMs ?? Number.NaN,
    macs: cost.macs,
    ...averageWidths(network),
    assumed,
    searchSeconds: Math.round(searchSeconds),
    trainSeconds: Math.round(trainSeconds),
  }
}

/** What the sequential way asks for otherwise. */
const sequentially = values['sequential-epochs'] === undefined ? {} : { epochs: values['sequential-epochs'] }

async function jointRow(budget: string, seed: number): Promise<Row> {
  const name = `joint-${budget}-s${seed}`
  await perform(request(budget, seed, name), 'finished')
  const spec = request(budget, seed, name)
  return rowOf('joint', budget, seed, spec, null, searchSecondsOf(spec))
}

async function sequentialRow(budget: string, seed: number, float: FloatSearch): Promise<Row> {
  const seen = new Set<string>()
  const tried: { width: number; name: string; more: Record<string, unknown> }[] = []
  let searchSeconds = 0
  for (const width of values.widths.split(',').map(Number)) {
    const base = `${budget}-w${width}-s${seed}`
    const { network, seconds } = await float.architecture(request(budget, seed, '').budget, width, join(out, `float-${base}.json`))
    searchSeconds += seconds
    const text = JSON.stringify(network)
    // the same architecture would have the same bits
    if (network === undefined || seen.has(text)) continue
    seen.add(text)
    const file = join(out, `architecture-${base}.json`)
    if (!existsSync(file)) atomicWrite(file, text)
    tried.push({ width, name: `bits-${base}`, more: { ...sequentially, space: 'network', network: file } })
  }
  if (tried.length === 0) throw new RunError(`${budget}: no architecture fits at ${values.widths} bits`)
  let best: { spec: () => SearchSpec; width: number; accuracy: number } | undefined
  for (const { width, name, more } of tried) {
    const spec = () => request(budget, seed, name, more)
    await perform(spec(), 'front')
    searchSeconds += searchSecondsOf(spec())
    const { members, chosen } = eventOf(spec(), 'front')!
    const { accuracy } = members[chosen]
    if (!best || accuracy > best.accuracy) best = { spec, width, accuracy }
  }
  const { spec, width } = best!
  await perform(spec(), 'finished')
  return rowOf('sequential', budget, seed, spec(), width, searchSeconds + float.seconds())
}

const mean = (numbers: readonly number[]): number => numbers.reduce((sum, number) => sum + number, 0) / numbers.length
/** Sample standard deviation. */
function deviation(numbers: readonly number[]): number | null {
  if (numbers.length < 2) return null
  const centre = mean(numbers)
  return Math.sqrt(numbers.reduce((sum, number) => sum + (number - centre) ** 2, 0) / (numbers.length - 1))
}

/** Both ways over the seeds, and by how much joint is ahead on the same seeds. */
function summary(rows: readonly Row[], budgets: readonly string[]) {
  return budgets.flatMap((budget) => {
    const of = (way: Way) => rows.filter((row) => row.way === way && row.budget === budget)
    const pairs = of('joint').flatMap((one) =>
      of('sequential').flatMap((other) => (other.seed === one.seed ? [one.test - other.test] : [])),
    )
    return (['joint', 'sequential'] as const).flatMap((way) => {
      const its = of(way)
      if (its.length === 0) return []
      const of1 = (key: 'test' | 'validation' | 'flashBytes' | 'latencyMs' | 'searchSeconds' | 'trainSeconds') => its.map((row) => row[key])
      return [
        {
          budget,
          way,
          seeds: its.length,
          test: mean(of1('test')),
          testDeviation: deviation(of1('test')),
          validation: mean(of1('validation')),
          validationDeviation: deviation(of1('validation')),
          flashBytes: mean(of1('flashBytes')),
          latencyMs: mean(of1('latencyMs')),
          searchSeconds: mean(of1('searchSeconds')),
          trainSeconds: mean(of1('trainSeconds')),
          ahead: way === 'joint' && pairs.length > 0 ? mean(pairs) : null,
          aheadBySeed: way === 'joint' ? pairs.map((points) => points.toFixed(2)).join(' ') : '',
        },
      ]
    })
  })
}

async function measure(budgets: readonly string[]): Promise<Row[]> {
  const rows: Row[] = []
  const ways = values.only.split(',')
  const dataset = await loadRunData(request(budgets[0], 0, ''), { onEvent: () => {}, onProgress: () => {}, shouldStop: () => false })
  const backend = await openBackend({ threads: Number(values.threads) })
  const engine = new Engine(backend)
  for (const seed of values.seeds.split(',').map(Number)) {
    const float = new FloatSearch(engine, dataset, request(budgets[0], seed, '', sequentially), join(out, `float-s${seed}.bin`))
    for (const budget of budgets) {
      if (ways.includes('joint')) rows.push(await jointRow(budget, seed))
      if (ways.includes('sequential')) rows.push(await sequentialRow(budget, seed, float))
    }
    float.dispose()
  }
  backend.close()
  return rows
}

mkdirSync(out, { recursive: true })
const budgets = values.budgets.split(',')
try {
  const rows = await measure(budgets)
  const summed = summary(rows, budgets)
  if (values.json) console.log(JSON.stringify({ rows, summary: summed }))
  else console.log(`${columns(rows)}\n\n${columns(summed)}`)
} catch (error) {
  if (!(error instanceof UsageError || error instanceof RunError)) throw error
  console.error(error.message)
  process.exit(error instanceof UsageError ? 2 : 1)
}
