// What accuracy do the networks, searched and given, reach at which widths? Every row is one run of the command line, kept in its own
// folder and resumed or skipped where it exists, so that the matrix can be filled in several sittings:
//
//   node bench/accuracy.ts --data DIR --lists DIR --out DIR [--seeds 0,1,2] [--only search,random0,...] [--train N] [--quantize N]
//     [--learning-rate X] [--threads N] [--json]
//
// --train, --quantize and --learning-rate are of given networks: epochs in float (60), in which they are quantized, at every width (20 at 8 bits, 60
// at fewer), and the peak rate (a run's default). A folder of --out keeps the recipe it was made with.
//
// The lists folder has sc12_train.txt, sc12_val.txt and sc12_test.txt (`path class` a line). Test clips are only ever scored, by runs
// whose every choice was made on validation clips.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Random } from '../packages/engine/src/index.ts'
import { memory } from '../packages/bitwright/src/hardware/index.ts'
import { Budget } from '../packages/bitwright/src/search/budget.ts'
import { drawWithin } from '../packages/bitwright/src/search/random.ts'
import { kwsE2e } from '../packages/bitwright/src/spaces/index.ts'
import type { StudyEvent } from '../packages/bitwright/src/study/events.ts'
import { readJournal } from '../packages/bitwright/src/study/journal.ts'
import { readFlags } from './flags.ts'

interface Run {
  readonly name: string
  readonly seed: number
  readonly verb: 'search' | 'train'
  readonly flags: readonly string[]
}

const launcher = join(import.meta.dirname, '../packages/bitwright/bin/bitwright.js')
const classes = ['down', 'go', 'left', 'no', 'off', 'on', 'right', 'stop', 'up', 'yes', '_unknown_', '_silence_']
/** The budget of the search, which the random networks of the same size keep as well. */
const macs = 14e6
const randomNetworks = 5

const { data, lists, out, ...values } = readFlags(
  `node bench/accuracy.ts --data DIR --lists DIR --out DIR [--seeds 0,1,2] [--only search,random0,...] [--train N] [--quantize N]
  [--learning-rate X] [--threads N] [--json]`,
  ['data', 'lists', 'out'],
  { seeds: '0,1,2', only: undefined, train: '60', quantize: undefined, 'learning-rate': undefined, threads: undefined, json: false },
)

const bits = (weights: string, activations = weights) => ['--weight-bits', weights, '--activation-bits', activations]

const rate = values['learning-rate'] === undefined ? [] : ['--learning-rate', values['learning-rate']]

/** Float and quantized rows of one network: the first run trains in float, the others quantize its weights. */
function variants(first: Run, widths: readonly string[], quantizeEpochs: number, more: readonly string[] = []): Run[] {
  const { name, seed } = first
  const rest = widths.map((width): Run => ({
    name: `${name}-${width}`,
    seed,
    verb: 'train',
    flags: ['--from', join(out, `${name}-s${seed}`), ...bits(width), '--epochs', `train=60,quantize=${quantizeEpochs}`, ...more],
  }))
  return [first, ...rest]
}

function matrix(seed: number): Run[] {
  const epochs = (quantize: number) => ['--epochs', `warmup=8,search=32,train=60,quantize=${quantize}`]
  const search: Run = {
    name: 'search',
    seed,
    verb: 'search',
    flags: ['--space', 'kws-e2e', '--search', 'proxyless', '--macs', `${macs}`, ...bits('trained'), ...epochs(60)],
  }
  const given = (network: string, widths: readonly string[]): Run[] => {
    const stages = ['--epochs', `train=${values.train},quantize=${values.quantize ?? 20}`, ...rate]
    const first: Run = { name: network, seed, verb: 'train', flags: ['--network', network, ...stages] }
    return variants(first, widths, Number(values.quantize ?? 60), rate)
  }
  const random = Array.from({ length: randomNetworks }, (_, i): Run => {
    const network = join(out, 'networks', `random${i}-s${seed}.json`)
    return { name: `random${i}`, seed, verb: 'train', flags: ['--network', network, ...epochs(1)] }
  })
  return [
    ...variants(search, ['2', '4', '8'], 60),
    ...random,
    ...given('kws-e2e-e3k5', ['4', '2', 'trained']),
    ...given('ds-cnn-s', ['4', '2']),
    ...given('kws-e2e-e3k5-conv1d', []),
    ...given('tc-resnet8', []),
    ...['cenet-6', 'cenet-24', 'cenet-40', 'cenet-gcn-6', 'cenet-gcn-24', 'cenet-gcn-40'].flatMap((name) => given(name, ['4'])),
  ]
}

/** Random members of the space that use at least 80 % of the budget, as the random strategy draws them. */
function writeRandomNetworks(seed: number): void {
  const space = kwsE2e({ classes, filters: 60 })
  const budget = new Budget({ budget: { macs }, hardware: memory, weightBits: 8, activationBits: 8 })
  mkdirSync(join(out, 'networks'), { recursive: true })
  for (let i = 0; i < randomNetworks; i++) {
    const { network } = drawWithin(space, budget, new Random(seed, 'accuracy bench', i))
    writeFileSync(join(out, 'networks', `random${i}-s${seed}.json`), JSON.stringify(network))
  }
}

function perform({ name, seed, verb, flags }: Run): StudyEvent[] {
  const folder = join(out, `${name}-s${seed}`)
  const list = (file: string) => join(lists, `sc12_${file}.txt`)
  const journal = join(folder, 'journal.jsonl')
  const events = () => (existsSync(journal) ? readJournal(journal) : [])
  if (events().some(({ type }) => type === 'finished')) return events()
  const resume = events().length > 0 ? ['--resume'] : []
  const common = [
    '--data',
    data,
    '--train-list',
    list('train'),
    '--validation-list',
    list('val'),
    '--test-list',
    list('test'),
    '--seed',
    `${seed}`,
    ...(values.threads === undefined ? [] : ['--threads', values.threads]),
  ]
  const { status } = spawnSync(process.execPath, [launcher, verb, ...flags, ...common, '--out', folder, ...resume], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  if (status !== 0) process.exit(status ?? 1)
  return events()
}

interface Row {
  readonly name: string
  readonly seed: number
  readonly params: number
  readonly macs: number
  readonly flashBytes: number
  readonly ramBytes: number
  readonly weightBits: number
  readonly activationBits: number
  /** Percent on the test clips, with silence and without, and one sigma by speakers. */
  readonly float: number
  readonly integer: number
  readonly floatWithoutSilence: number
  readonly integerWithoutSilence: number
  readonly sigma: number
  /** Test clips on which integer and fake-quantized network differ. */
  readonly differing: number
  readonly seconds: number
}

function rowOf({ name, seed }: Run, events: readonly StudyEvent[]): Row {
  const find = <T extends StudyEvent['type']>(type: T) =>
    events.findLast((event) => event.type === type) as Extract<StudyEvent, { type: T }>
  const evaluation = events.find((event) => event.type === 'evaluation' && event.split === 'test') as Extract<
    StudyEvent,
    { type: 'evaluation' }
  >
  const epoch = find('epoch')
  const { cost } = find('network')
  const percent = (value = Number.NaN) => Math.round(value * 1e4) / 100
  return {
    name,
    seed,
    ...cost,
    weightBits: epoch.averageWeightBits ?? Number.NaN,
    activationBits: epoch.averageActivationBits ?? Number.NaN,
    float: percent(evaluation.float?.accuracy),
    integer: percent(evaluation.integer?.accuracy),
    floatWithoutSilence: percent(evaluation.float?.accuracyWithoutSilence),
    integerWithoutSilence: percent(evaluation.integer?.accuracyWithoutSilence),
    sigma: percent(evaluation.integer?.standardError),
    differing: evaluation.differing?.length ?? 0,
    seconds: Math.round(find('finished').seconds),
  }
}

const only = values.only === undefined ? undefined : new Set(values.only.split(','))
const rows: Row[] = []
for (const seed of values.seeds.split(',').map(Number)) {
  writeRandomNetworks(seed)
  for (const run of matrix(seed)) {
    if (only && !only.has(run.name)) continue
    console.error(`${run.name}, seed ${seed}`)
    rows.push(rowOf(run, perform(run)))
  }
}
if (values.json) console.log(JSON.stringify(rows))
else console.table(rows.map(({ ramBytes: _ram, floatWithoutSilence: _float, integerWithoutSilence: _integer, ...row }) => row))
