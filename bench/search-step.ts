// What does searching cost over training? One weight step and one architecture step of the proxyless search on the space kws-e2e (batch
// 64), beside a plain training step of the very network that was sampled and of the space's largest member. A weight step should cost at
// most 1.3 plain steps of the sampled network, and the memory of a step should not grow with the number of candidates. Noise stands for
// audio, and filling the batch is a copy on all sides. `breakdown` columns are milliseconds of one step: in kernels, in recording the tape,
// in building the network's graph, in clearing a new input, in copying shared weights in and updating them, in filling the batch.
import { type Backend, Engine, openBackend, Random, Tape } from '../packages/engine/src/index.ts'
import { SharedWeights } from '../packages/bitwright/src/search/shared-weights.ts'
import { kwsE2e, randomDecisions, type AdditiveSpace } from '../packages/bitwright/src/spaces/index.ts'
import { Recorder } from '../packages/bitwright/src/training/record.ts'
import { type BenchOptions, median } from './bench.ts'
import { Breakdown } from './breakdown.ts'
import { withCopies } from './candidate-copies.ts'
import { classes, NoiseSource, openSupernet, plainStep, searchSteps, type Step } from './steps.ts'

export interface SearchRow {
  readonly step: string
  readonly threads: number
  /** Median over all paths. */
  readonly ms: number | null
  readonly fastest: number | null
  readonly slowest: number | null
  /** Its time over that of the sampled network's plain step: the median over paths. */
  readonly ratio: number | null
  /** Heap that the step needs over what rests between steps; of a plain step: what its recording holds. */
  readonly heapMb: number
  readonly kernels: number | null
  readonly record: number | null
  readonly build: number | null
  readonly clear: number | null
  readonly load: number | null
  readonly update: number | null
  readonly fill: number | null
  readonly other: number | null
}

const batchSize = 64
const seed = 0
const parts = ['kernels', 'record', 'build', 'clear', 'load', 'update', 'fill'] as const
type Parts = Record<(typeof parts)[number] | 'other', number | null>
const noParts: Parts = { kernels: null, record: null, build: null, clear: null, load: null, update: null, fill: null, other: null }

/** Mean milliseconds of the parts of a step. */
async function partsOf(step: Step, backend: Backend, space: AdditiveSpace, source: NoiseSource, times: number): Promise<Parts> {
  const breakdown = new Breakdown()
  breakdown.watch('kernels', backend, 'run')
  breakdown.watch('record', Recorder.prototype, 'network', 'node')
  breakdown.watch('record', Tape.prototype, 'backward', 'program', 'dispose')
  breakdown.watch('build', space, 'build', 'edges', 'fragment')
  breakdown.watch('clear', Tape.prototype, 'input')
  breakdown.watch('load', SharedWeights.prototype, 'load')
  breakdown.watch('update', SharedWeights.prototype, 'collect', 'apply')
  breakdown.watch('fill', source, 'fill')
  let total = 0
  for (let time = 0; time < times; time++) total += await step.take()
  const taken = breakdown.take()
  breakdown.end()
  const mean = (part: string) => (taken.get(part) ?? 0) / times
  const known = Object.fromEntries(parts.map((part) => [part, mean(part)])) as Omit<Parts, 'other'>
  return { ...known, other: total / times - parts.reduce((sum, part) => sum + mean(part), 0) }
}

interface Measured {
  readonly times: number[]
  readonly ratios: number[]
  readonly parts: Parts[]
  heapBytes: number
}

async function measure(engine: Engine, space: AdditiveSpace, source: NoiseSource, quick: boolean): Promise<Map<string, Measured>> {
  const [paths, rounds] = quick ? [1, 2] : [6, 8]
  const supernet = openSupernet(engine, space, source)
  const largest = space.optionMacs.map((macs) => macs.indexOf(Math.max(...macs)))
  const results = new Map<string, Measured>()
  for (let i = 0; i < paths; i++) {
    const path = randomDecisions(space, new Random(seed, 'path', i))
    const plain = plainStep(engine, 'plain step, sampled network', space.build(path), source)
    const steps = [
      plain,
      ...searchSteps(engine, supernet, space, source, path),
      plainStep(engine, 'plain step, largest network', space.build(largest), source),
    ]
    const times = new Map(steps.map((step) => [step, [] as number[]]))
    for (const step of steps) await step.take()
    for (let round = 0; round < rounds; round++) for (const step of steps) times.get(step)!.push(await step.take())
    for (const step of steps) {
      const result = results.get(step.name) ?? { times: [], ratios: [], parts: [], heapBytes: 0 }
      results.set(step.name, result)
      result.times.push(...times.get(step)!)
      result.ratios.push(median(times.get(step)!) / median(times.get(plain)!))
      result.parts.push(await partsOf(step, engine.backend, space, source, Math.min(rounds, 4)))
      result.heapBytes = Math.max(result.heapBytes, step.heapBytes)
    }
    for (const step of steps) step.dispose()
  }
  supernet.dispose()
  return results
}

const mean = (values: readonly (number | null)[]): number => values.reduce<number>((sum, value) => sum + (value ?? 0), 0) / values.length

export async function searchStep({ threads, quick, note }: BenchOptions): Promise<SearchRow[]> {
  const rows: SearchRow[] = []
  const space = kwsE2e({ classes })
  for (const count of threads) {
    const backend = await openBackend({ threads: count, onNotice: note })
    try {
      const engine = new Engine(backend)
      const source = new NoiseSource(engine, space.build(space.choices.map(() => 0)).frontEnd, batchSize)
      for (const [step, { times, ratios, parts: all, heapBytes }] of await measure(engine, space, source, quick)) {
        const average = Object.fromEntries([...parts, 'other' as const].map((part) => [part, mean(all.map((each) => each[part]))])) as Parts
        const spread = { ms: median(times), fastest: Math.min(...times), slowest: Math.max(...times), ratio: median(ratios) }
        rows.push({ step, threads: count, ...spread, heapMb: heapBytes / 1e6, ...average })
      }
      const weightStep = rows.find(({ step, threads: its }) => step === 'weight step' && its === count)!
      note(
        `${backend.description}: a weight step takes ${weightStep.ratio!.toFixed(2)} times the sampled network's plain step; at most 1.30 are asked for`,
      )
      if (count === threads[0]) rows.push(...memoryRows(engine, space, source, count, quick ? [1, 2] : [1, 2, 4], note))
    } finally {
      backend.close()
    }
  }
  return rows
}

/** Heap of both steps when every choice has its candidates several times. */
function memoryRows(
  engine: Engine,
  space: AdditiveSpace,
  source: NoiseSource,
  threads: number,
  copies: readonly number[],
  note: (line: string) => void,
): SearchRow[] {
  const path = randomDecisions(space, new Random(seed, 'path', 0))
  const rows = copies.map((count): SearchRow => {
    const copied = withCopies(space, count)
    const supernet = openSupernet(engine, copied, source)
    const heapBytes = Math.max(...searchSteps(engine, supernet, copied, source, path).map((step) => step.heapBytes))
    const { dGates } = supernet.gateGradients(path, source.clips)
    supernet.dispose()
    for (const [choice, row] of dGates.entries()) {
      const options = space.choices[choice].options.length
      // copies share their weights, so they are worth the same
      const differs = row.findIndex((gradient, option) => gradient !== row[option % options])
      if (row.length !== options * count || differs >= 0)
        throw new Error(`${space.choices[choice].name}: candidate ${differs} of ${row.length} is no copy of its original`)
    }
    const none = { ms: null, fastest: null, slowest: null, ratio: null }
    return { step: `both steps, candidates x${count}`, threads, ...none, heapMb: heapBytes / 1e6, ...noParts }
  })
  const grows = rows.some(({ heapMb }) => heapMb !== rows[0].heapMb)
  note(`heap of a step with ${copies.join(', ')} times the candidates: ${grows ? 'not the same' : 'the same to the byte'}`)
  return rows
}
