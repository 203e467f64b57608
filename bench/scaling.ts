// How do time and memory of a unit of work grow? Nanoseconds per multiply-accumulate and heap bytes per clip of a training step of
// kws-e2e-e3k5 over the batch, the threads and the width (all channels behind the front end, whose filters are an axis of the map), and of
// both steps of the search over the number of candidates (each option of kws-e2e once to four times). Every sweep gets a growth law by
// least squares on logarithms: an exponent of 0 means that twice the work takes twice the time; -1, over threads, that it is shared evenly.
// Points take turns, so that whatever else the machine does hits all of them alike.
import { writeFileSync } from 'node:fs'
import { Engine, openBackend, Random } from '../packages/engine/src/index.ts'
import { builtinNetwork, type Network } from '../packages/bitwright/src/network/index.ts'
import { kwsE2e, randomDecisions } from '../packages/bitwright/src/spaces/index.ts'
import { type BenchOptions, median } from './bench.ts'
import { withCopies } from './candidate-copies.ts'
import { growthLaw } from './growth.ts'
import { scalingPlot } from './scaling-plot.ts'
import { classes, NoiseSource, openSupernet, plainStep, searchSteps, type Step } from './steps.ts'

export interface ScalingRow {
  readonly sweep: Sweep
  readonly step: string
  /** Where on the sweep's axis. */
  readonly x: number
  readonly batch: number
  readonly threads: number
  readonly ms: number
  readonly nsPerMac: number
  readonly heapBytesPerClip: number
  /** Of the whole sweep of this step: per unit of work, over x. */
  readonly timeExponent: number
  readonly memoryExponent: number
}
export type Sweep = 'batch' | 'threads' | 'width' | 'candidates'

interface Point {
  readonly sweep: Sweep
  readonly x: number
  readonly batch: number
  readonly threads: number
  open(engine: Engine): { steps: Step[]; dispose: () => void }
}

/** The network with all channels but the front end's filters and the classes times `factor`. */
function widened(network: Network, factor: number): Network {
  const last = network.nodes.at(-1)!.id
  return {
    ...network,
    name: `${network.name} x${factor}`,
    nodes: network.nodes.map((node) => {
      if (node.op !== 'convolution' || node.id === last) return node
      return { ...node, channels: node.channels * factor, groups: node.groups === 1 ? 1 : node.groups * factor }
    }),
  }
}

function plain(network: Network, batch: number) {
  return (engine: Engine) => {
    const step = plainStep(engine, 'training step', network, new NoiseSource(engine, network.frontEnd, batch))
    return { steps: [step], dispose: () => step.dispose() }
  }
}

function search(copies: number, batch: number) {
  return (engine: Engine) => {
    const original = kwsE2e({ classes })
    const path = randomDecisions(original, new Random(0, 'path', 0))
    const source = new NoiseSource(engine, original.build(path).frontEnd, batch)
    const space = withCopies(original, copies)
    const supernet = openSupernet(engine, space, source)
    return { steps: searchSteps(engine, supernet, space, source, path), dispose: () => supernet.dispose() }
  }
}

/** 1, 2, 4, .. and `most` itself. */
function powersUpTo(most: number): number[] {
  const powers = Array.from({ length: Math.floor(Math.log2(most)) + 1 }, (_, i) => 2 ** i)
  return powers.at(-1) === most ? powers : [...powers, most]
}

function points(most: number, quick: boolean): Point[] {
  const network = builtinNetwork('kws-e2e-e3k5', { classes })
  const usual = quick ? 16 : 64
  const small = quick ? [1, 2] : [1, 2, 3, 4]
  const sweep = (name: Sweep, values: readonly number[], at: (x: number) => Omit<Point, 'sweep' | 'x'>): Point[] =>
    values.map((x) => ({ sweep: name, x, ...at(x) }))
  return [
    ...sweep('batch', quick ? [8, 16] : [16, 32, 64, 128, 256, 512], (batch) => ({ batch, threads: most, open: plain(network, batch) })),
    ...sweep('threads', powersUpTo(most), (threads) => ({ batch: usual, threads, open: plain(network, usual) })),
    ...sweep('width', small, (factor) => ({ batch: usual, threads: most, open: plain(widened(network, factor), usual) })),
    ...sweep('candidates', small, (copies) => ({ batch: usual, threads: most, open: search(copies, usual) })),
  ]
}

const rounds = 3
/** About how long a point is measured in each round. */
const turnMs = 600

interface Measured {
  readonly point: Point
  readonly step: Pick<Step, 'name' | 'heapBytes' | 'macsPerClip'>
  readonly times: number[]
}

async function measure(all: readonly Point[], quick: boolean, note: (line: string) => void): Promise<Measured[]> {
  const measured = new Map<string, Measured>()
  for (let round = 0; round < (quick ? 1 : rounds); round++) {
    for (const point of all) {
      const backend = await openBackend({ threads: point.threads, onNotice: note })
      try {
        const { steps, dispose } = point.open(new Engine(backend))
        for (const step of steps) {
          const key = `${point.sweep} ${point.x} ${step.name}`
          const { name, heapBytes, macsPerClip } = step
          const entry = measured.get(key) ?? { point, step: { name, heapBytes, macsPerClip }, times: [] }
          measured.set(key, entry)
          const first = await step.take()
          const count = quick ? 1 : Math.min(20, Math.max(2, Math.round(turnMs / first)))
          for (let i = 0; i < count; i++) entry.times.push(await step.take())
        }
        dispose()
      } finally {
        backend.close()
      }
    }
  }
  return [...measured.values()]
}

export async function scaling({ threads, quick, plot, note }: BenchOptions): Promise<ScalingRow[]> {
  const most = Math.max(...threads)
  const rows = (await measure(points(most, quick), quick, note)).map(({ point, step, times }) => {
    const { sweep, x, batch } = point
    const ms = median(times)
    const perUnit = { nsPerMac: (ms * 1e6) / (step.macsPerClip * batch), heapBytesPerClip: step.heapBytes / batch }
    return { sweep, step: step.name, x, batch, threads: point.threads, ms, ...perUnit }
  })
  const lawful = rows.map((row): ScalingRow => {
    const same = rows.filter(({ sweep, step }) => sweep === row.sweep && step === row.step)
    const exponent = (of: 'nsPerMac' | 'heapBytesPerClip') => growthLaw(same.map((each) => [each.x, each[of]])).exponent
    return { ...row, timeExponent: exponent('nsPerMac'), memoryExponent: exponent('heapBytesPerClip') }
  })
  for (const row of lawful.filter(({ sweep, step }, i) => lawful.findIndex((each) => each.sweep === sweep && each.step === step) === i)) {
    const { sweep, step, timeExponent, memoryExponent } = row
    note(`${step}: time per MAC ~ ${sweep}^${timeExponent.toFixed(2)}, heap per clip ~ ${sweep}^${memoryExponent.toFixed(2)}`)
  }
  if (plot !== undefined) writeFileSync(plot, scalingPlot(lawful))
  return lawful
}
