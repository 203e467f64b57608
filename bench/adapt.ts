// Does a run that goes on learning get what a search from nothing would, for a part of its cost, and keep what it knew? The keyword task with other speakers in a
// louder room (adapt-data.ts): half of the speakers as they were recorded are the old data, the other half under noise the new. Per seed three
// runs of the command line, all for the same space and bytes: a joint search on the old data, the same on the new (cold), and `adapt` from the
// first to the new. Each is resumed or skipped where it exists, so that the table can be filled over several sittings:
//
//   node bench/adapt.ts --data DIR --lists DIR --out DIR [--seeds 0,1,2] [--decibels 5] [--flash 24k] [--epochs warmup=8,search=32,train=60,quantize=60]
//     [--candidates 256] [--adapt-epochs search=2,train=6,quantize=12] [--adapt-candidates 48] [--replay 0.5] [--only old,cold,adapt] [--threads 1] [--json]
//
// The lists folder has sc12_train.txt, sc12_val.txt and sc12_test.txt. Seconds are those of the runs' journals: compare them on idle processors.
import { existsSync, mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { adaptRequest } from '../packages/bitwright/src/cli/adapt-request.ts'
import { createProgress } from '../packages/bitwright/src/cli/progress.ts'
import { searchRequest } from '../packages/bitwright/src/cli/search-request.ts'
import { RunError, UsageError } from '../packages/bitwright/src/errors.ts'
import { adaptStudy } from '../packages/bitwright/src/study/adapt.ts'
import { macsOf } from '../packages/bitwright/src/study/adapt-account.ts'
import type { EpochsSpec, Hooks, RunResult } from '../packages/bitwright/src/study/api.ts'
import type { StudyEvent } from '../packages/bitwright/src/study/events.ts'
import { readJournal } from '../packages/bitwright/src/study/journal.ts'
import { runDirectory } from '../packages/bitwright/src/study/run-directory.ts'
import { searchStudy } from '../packages/bitwright/src/study/run.ts'
import { type Part, prepare } from './adapt-data.ts'
import { columns } from './columns.ts'
import { readFlags } from './flags.ts'

const { data, lists, out, ...values } = readFlags(
  `node bench/adapt.ts --data DIR --lists DIR --out DIR [--seeds 0,1,2] [--decibels N] [--flash SIZE] [--epochs warmup=N,..] [--candidates N]
  [--adapt-epochs search=N,..] [--adapt-candidates N] [--replay SHARE] [--only old,cold,adapt] [--threads N] [--json]`,
  ['data', 'lists', 'out'],
  {
    seeds: '0,1,2',
    decibels: '5',
    flash: '24k',
    epochs: undefined,
    candidates: undefined,
    'adapt-epochs': undefined,
    'adapt-candidates': undefined,
    replay: undefined,
    only: 'old,cold,adapt',
    threads: '1',
    json: false,
  },
)
const wanted = new Set(values.only.split(','))

/** The flags of both kinds of run that say where the data is, and how to work. */
const common = ({ directory, lists: { train, validation, test } }: Part, seed: number) => ({
  data: directory,
  trainList: train,
  validationList: validation,
  testList: test,
  seed: String(seed),
  threads: values.threads,
})

async function finished(
  folder: string,
  isWanted: boolean,
  start: (resume: boolean) => { spec: { epochs: EpochsSpec }; run: (hooks: Hooks) => Promise<RunResult> },
): Promise<readonly StudyEvent[] | undefined> {
  const { journal } = runDirectory(folder)
  const events = () => (existsSync(journal) ? readJournal(journal) : [])
  const isDone = () => events().some(({ type }) => type === 'finished')
  if (!isDone() && isWanted) {
    const { spec, run } = start(existsSync(journal))
    const progress = createProgress(process.stderr, spec.epochs)
    progress.say(folder)
    await run({ onNotice: progress.say, onEvent: progress.onEvent, onProgress: progress.onProgress, shouldStop: () => false })
    progress.finish()
  }
  return isDone() ? events() : undefined
}

const flag = <Key extends string>(key: Key, value: string | undefined) =>
  (value === undefined ? {} : { [key]: value }) as Partial<Record<Key, string>>

function search(folder: string, part: Part, seed: number, isWanted: boolean) {
  return finished(folder, isWanted, (resume) => {
    const { spec } = searchRequest(
      {
        ...common(part, seed),
        space: 'kws-mfcc',
        search: 'joint',
        flash: values.flash,
        out: folder,
        ...flag('epochs', values.epochs),
        ...flag('candidates', values.candidates),
        ...(resume && { resume: true }),
      },
      ['...'],
    )
    return { spec, run: (hooks) => searchStudy(spec, hooks) }
  })
}

function adapt(folder: string, from: string, part: Part, seed: number, isWanted: boolean) {
  return finished(folder, isWanted, (resume) => {
    const { spec } = adaptRequest(
      from,
      {
        ...common(part, seed),
        out: folder,
        ...flag('epochs', values['adapt-epochs']),
        ...flag('candidates', values['adapt-candidates']),
        ...flag('replay', values.replay),
        ...(resume && { resume: true }),
      },
      ['...'],
    )
    return { spec, run: (hooks) => adaptStudy(spec, hooks) }
  })
}

const secondsOf = (events: readonly StudyEvent[]) => events.findLast((event) => event.type === 'finished')!.seconds
const percent = (share: number) => Math.round(share * 1000) / 10
/** Of a run that was adapted and of the cold one: what both are worth on a split, and what adapting recovers. */
function compared(split: 'validation' | 'test', adapted: readonly StudyEvent[], cold: readonly StudyEvent[]) {
  const account = adapted.findLast((event) => event.type === 'adaptation')!.splits.find((one) => one.split === split)!
  const evaluation = cold.findLast((event) => event.type === 'evaluation' && event.split === split)
  const best = (evaluation?.type === 'evaluation' && evaluation.integer?.accuracy) || 0
  const { new: fresh, old } = account
  return {
    split,
    samples: fresh.count,
    before: percent(fresh.before),
    norms: percent(fresh.reestimated),
    adapted: percent(fresh.adapted),
    cold: percent(best),
    'of gain': percent((fresh.adapted - fresh.before) / (best - fresh.before)),
    'of accuracy': percent(fresh.adapted / best),
    'old before': percent(old!.before),
    'old after': percent(old!.adapted),
    'old lost': percent(old!.before - old!.adapted),
  }
}

async function row(seed: number) {
  const folder = resolve(join(out, `seed${seed}`))
  const list = (name: string) => join(lists, `sc12_${name}.txt`)
  mkdirSync(folder, { recursive: true })
  const parts = prepare(data, { train: list('train'), validation: list('val'), test: list('test') }, folder, {
    seed,
    decibels: Number(values.decibels),
  })
  const [before, cold, after] = ['old', 'cold', 'adapted'].map((name) => join(folder, name))
  const original = await search(before, parts.old, seed, wanted.has('old'))
  const fromNothing = await search(cold, parts.new, seed, wanted.has('cold'))
  const adapted = original && (await adapt(after, before, parts.new, seed, wanted.has('adapt')))
  if (!original || !fromNothing || !adapted) return []
  const { network } = adapted.findLast((event) => event.type === 'adaptation')!
  const { distance, floor } = adapted.findLast((event) => event.type === 'drift')!
  const cost = {
    network,
    drift: Math.round(distance * 1000) / 1000,
    floor: Math.round(floor * 1000) / 1000,
    seconds: Math.round(secondsOf(adapted)),
    'cold seconds': Math.round(secondsOf(fromNothing)),
    'of seconds': percent(secondsOf(adapted) / secondsOf(fromNothing)),
    'of MACs': percent(macsOf(adapted)! / (macsOf(fromNothing) ?? Number.NaN)),
  }
  return (['validation', 'test'] as const).map((split) => ({ seed, ...compared(split, adapted, fromNothing), ...cost }))
}

type Row = Awaited<ReturnType<typeof row>>[number]

/** Of every number over the seeds. */
function meanOf(rows: readonly Row[]): object {
  const mean = (key: keyof Row) => Math.round((rows.reduce((sum, one) => sum + Number(one[key]), 0) / rows.length) * 1000) / 1000
  const keys = (Object.keys(rows[0]) as (keyof Row)[]).filter((key) => typeof rows[0][key] === 'number')
  const [before, adapted, cold] = [mean('before'), mean('adapted'), mean('cold')]
  return {
    ...Object.fromEntries(keys.map((key) => [key, mean(key)])),
    // a ratio of means: one of few clips' differences may be anything
    'of gain': percent((adapted - before) / (cold - before)),
    'of accuracy': percent(adapted / cold),
    seed: 'mean',
    split: rows[0].split,
  }
}

try {
  const rows: Row[] = []
  for (const seed of values.seeds.split(',').map(Number)) rows.push(...(await row(seed)))
  const means = (['validation', 'test'] as const)
    .map((split) => rows.filter((one) => one.split === split))
    .flatMap((of) => (of.length > 1 ? [meanOf(of)] : []))
  console.log(values.json ? JSON.stringify({ rows, means }) : columns([...rows, ...means]))
} catch (error) {
  if (!(error instanceof UsageError || error instanceof RunError)) throw error
  console.error(error.message)
  process.exit(error instanceof UsageError ? 2 : 1)
}
