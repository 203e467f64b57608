// What does a joint search cost, beside one training of the largest member? Steps of the warm-up, of a sandwich, of gates (with their share of
// architecture steps) and scores, beside training steps of the space's largest member in float and at 8/8 bits as a study takes them, all in
// turns in one run on real samples. From these, the whole search with the given epochs and candidates over one whole training, and the
// same for spaces in which every path has its options two and four times: a search should cost at most 2.5 trainings, whatever the
// number of options.
//
//   node bench/search-cost.ts [--speech DIR --lists DIR] [--cifar DIR] [--options 1,2,4] [--rounds 6] [--steps 3]
//     [--epochs warmup=8,search=32,train=60,quantize=60] [--candidates 256] [--threads N] [--json]
//
// A study's training also scores the validation samples after every epoch, which is left out: it would only lower the ratio.
import { join } from 'node:path'
import { Engine, openBackend } from '../packages/engine/src/index.ts'
import { searchRequest } from '../packages/bitwright/src/cli/search-request.ts'
import type { Dataset } from '../packages/bitwright/src/data/dataset.ts'
import type { Network } from '../packages/bitwright/src/network/index.ts'
import { Budget } from '../packages/bitwright/src/search/budget.ts'
import { extremes, jointSpace, type Space } from '../packages/bitwright/src/spaces/index.ts'
import type { SearchSpec } from '../packages/bitwright/src/study/api.ts'
import { hardwareOf } from '../packages/bitwright/src/study/hardware-of.ts'
import { spaceOf } from '../packages/bitwright/src/study/networks.ts'
import { loadRunData } from '../packages/bitwright/src/study/run-data.ts'
import { openStrategy } from '../packages/bitwright/src/study/search-strategy.ts'
import { augmentationOf, recipeOf, teacherWeight } from '../packages/bitwright/src/study/session.ts'
import { createStore } from '../packages/bitwright/src/training/initialize.ts'
import { Quantization } from '../packages/bitwright/src/training/quantization.ts'
import { withStartBits } from '../packages/bitwright/src/training/quantizer-choice.ts'
import { openSource } from '../packages/bitwright/src/training/sample-source.ts'
import { calibrate, Trainer } from '../packages/bitwright/src/training/trainer.ts'
import { describeMachine, median } from './bench.ts'
import { withCopies } from './candidate-copies.ts'
import { columns } from './columns.ts'
import { readFlags, wrongUse } from './flags.ts'

const usage = `node bench/search-cost.ts [--speech DIR --lists DIR] [--cifar DIR] [--options 1,2,4] [--rounds N] [--steps N]
  [--epochs warmup=N,..] [--candidates N] [--threads N] [--json]`
const { speech, lists, cifar, ...values } = readFlags(usage, [], {
  speech: undefined,
  lists: undefined,
  cifar: undefined,
  options: '1,2,4',
  rounds: '6',
  steps: '3',
  epochs: undefined,
  candidates: undefined,
  threads: '1',
  json: false,
})
if ((speech === undefined) !== (lists === undefined) || (speech === undefined && cifar === undefined)) wrongUse(`usage: ${usage}`)

interface Row {
  readonly space: string
  /** Options of all paths together. */
  readonly options: number
  /** Milliseconds: median of all turns. */
  readonly warmup: number
  readonly sandwich: number
  readonly gates: number
  readonly score: number
  readonly trainFloat: number
  readonly train8: number
  /** The whole search over one training of the largest member. */
  readonly searchSandwich: number
  readonly searchGates: number
}

type Timed = 'warmup' | 'sandwich' | 'gates' | 'score' | 'trainFloat' | 'train8'
/** Milliseconds of each of some steps. */
type Work = () => Promise<number[]>

const steps = Number(values.steps)

function request(space: SearchSpec['space']): SearchSpec {
  const data =
    space === 'mobile-cifar'
      ? { data: cifar }
      : {
          data: speech,
          trainList: join(lists!, 'sc12_train.txt'),
          validationList: join(lists!, 'sc12_val.txt'),
          testList: join(lists!, 'sc12_test.txt'),
        }
  const given = Object.entries({ epochs: values.epochs, candidates: values.candidates }).filter(([, value]) => value !== undefined)
  const flags = { ...data, ...Object.fromEntries(given), space, search: 'joint', threads: values.threads, out: 'none' }
  return searchRequest(flags, ['(bench/search-cost.ts)']).spec
}

/** Milliseconds between the calls of `between`, of which `count` are let pass. */
async function gaps(count: number, work: (between: () => boolean) => Promise<unknown>): Promise<number[]> {
  const times: number[] = []
  await work(() => {
    times.push(performance.now())
    return times.length <= count
  })
  return times.slice(1).map((time, i) => time - times[i])
}

/** Steps and scores of both ways to train a supernet. */
async function searchWorks(engine: Engine, dataset: Dataset, spec: SearchSpec, base: Space) {
  const space = jointSpace(base)
  const budget = new Budget({ budget: {}, hardware: hardwareOf(spec), weightBits: 'searched', activationBits: 'searched' })
  const { warmup } = spec.epochs
  const open = async (train: 'sandwich' | 'gates') => {
    const strategy = openStrategy(engine, { ...spec, joint: { ...spec.joint!, train, pick: 'evolution' } }, space, dataset, budget)
    // ranges start with the first epoch after the warm-up
    await strategy.epoch(warmup, () => false)
    return strategy
  }
  const [sandwich, gates] = [await open('sandwich'), await open('gates')]
  let scored = 0
  const works: Record<'warmup' | 'sandwich' | 'gates' | 'score', Work> = {
    warmup: () => gaps(steps, (between) => sandwich.epoch(0, between)),
    sandwich: () => gaps(steps, (between) => sandwich.epoch(warmup + 1, between)),
    gates: async () => {
      // an architecture step follows every fifth step
      const whole = await gaps(5, (between) => gates.epoch(warmup + 1, between))
      return [whole.reduce((sum, time) => sum + time, 0) / whole.length]
    },
    score: async () => {
      const times: number[] = []
      // known scores are handed on at once; the first new one also prepares the samples
      await sandwich.choose(
        () => {},
        (done) => {
          if (done > scored) times.push(performance.now())
          return done < scored + 1 + steps
        },
      )
      scored += times.length
      return times.slice(1).map((time, i) => time - times[i])
    },
  }
  return { works, dispose: () => [sandwich, gates].forEach((strategy) => strategy.dispose()) }
}

/** Steps of the training of one network in float, and at 8/8 bits with the float network as its teacher. */
async function trainingWorks(engine: Engine, dataset: Dataset, spec: SearchSpec, network: Network) {
  const { batchSize, seed } = spec
  const source = openSource(engine, dataset, network.frontEnd, augmentationOf(spec))
  const store = createStore(engine, [network], seed)
  const options = (stage: 'train' | 'quantize') => ({
    ...recipeOf(dataset.kind, stage),
    batchSize,
    seed,
    epochs: spec.epochs[stage],
    purpose: stage,
  })
  const float = new Trainer(engine, network, store, source, options('train'))
  const start = withStartBits(network, { weightBits: 8, activationBits: 8 })
  const quantization = new Quantization(store, start, { weightBits: 8, activationBits: 8, granularity: 'channel' })
  await calibrate(engine, network, store, source, quantization, { seed, batchSize })
  const teacher = { network, parameters: store.snapshot(), weight: teacherWeight }
  const quantized = new Trainer(engine, start, store, source, { ...options('quantize'), teacher }, quantization)
  quantized.initializeQuantizers()
  const works: Record<'trainFloat' | 'train8', Work> = {
    trainFloat: () => gaps(steps, (between) => float.epoch(0, between)),
    train8: () => gaps(steps, (between) => quantized.epoch(0, between)),
  }
  const dispose = () => {
    float.dispose()
    quantized.dispose()
    quantization.dispose()
    store.dispose()
  }
  return { works, stepsPerEpoch: float.stepsPerEpoch, dispose }
}

async function measure(engine: Engine, dataset: Dataset, spec: SearchSpec, copies: number): Promise<Row> {
  const base = spaceOf(spec, dataset)
  const space = withCopies(base, copies)
  const search = await searchWorks(engine, dataset, spec, space)
  const training = await trainingWorks(engine, dataset, spec, base.build(extremes(base).largest))
  const works = Object.entries({ ...search.works, ...training.works }) as [Timed, Work][]
  const times = new Map(works.map(([name]) => [name, [] as number[]]))
  for (let round = 0; round < Number(values.rounds); round++) for (const [name, work] of works) times.get(name)!.push(...(await work()))
  const ms = Object.fromEntries([...times].map(([name, all]) => [name, median(all)])) as Record<Timed, number>
  // candidates differ in size: their mean counts
  ms.score = times.get('score')!.reduce((sum, time) => sum + time, 0) / times.get('score')!.length
  const { stepsPerEpoch } = training
  const { epochs } = spec
  const whole = stepsPerEpoch * (epochs.train * ms.trainFloat + epochs.quantize * ms.train8)
  const cost = (step: number) =>
    (stepsPerEpoch * (epochs.warmup * ms.warmup + epochs.search * step) + spec.joint!.candidates * ms.score) / whole
  const options = space.choices.reduce((sum, choice) => sum + (choice.kind === 'path' ? choice.options.length : 0), 0)
  search.dispose()
  training.dispose()
  return { space: base.name, options, ...ms, searchSandwich: cost(ms.sandwich), searchGates: cost(ms.gates) }
}

console.error(await describeMachine())
const backend = await openBackend({ threads: Number(values.threads) })
const engine = new Engine(backend)
const rows: Row[] = []
const spaces = [...(speech === undefined ? [] : (['kws-mfcc'] as const)), ...(cifar === undefined ? [] : (['mobile-cifar'] as const))]
for (const name of spaces) {
  const spec = request(name)
  const dataset = await loadRunData(spec, { onEvent: () => {}, onProgress: () => {}, shouldStop: () => false })
  for (const copies of values.options.split(',').map(Number)) {
    const row = await measure(engine, dataset, spec, copies)
    rows.push(row)
    console.error(`${row.space}, ${row.options} options: a search with sandwiches costs ${row.searchSandwich.toFixed(2)} trainings`)
  }
}
backend.close()
console.log(values.json ? JSON.stringify(rows) : columns(rows))
