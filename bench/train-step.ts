// How long does one training step take (forward, backward, Adam), in this engine and in PyTorch, float and fake-quantized? The same network,
// the same start, the same quantizers with learned steps, and the same kind of optimiser on both sides; filling the batch is not part of
// it. Each engine has a process of its own; the first step of all must agree, and then all take turns within one run, so that whatever
// else the machine does hits all of them alike.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  countNetwork,
  inferShapes,
  type Network,
  storageOf,
  storedWeightBits,
  weightedNodes,
} from '../packages/bitwright/src/network/index.ts'
import { RunError, UsageError } from '../packages/bitwright/src/errors.ts'
import { withStartBits } from '../packages/bitwright/src/training/quantizer-choice.ts'
import { busyShare, idleLimit, median, type BenchOptions, type BenchRow } from './bench.ts'
import { openEngineStepper } from './engine-stepper.ts'
import { openPeak } from './peak.ts'
import type { QuantizedParts, Request, Stepper } from './stepper.ts'
import { openTorchStepper, torchMissing, torchSettings } from './torch-stepper.ts'
import { type Work, works } from './train-step-works.ts'

/** Turns per engine, and about how long a turn lasts. */
const usualPace = { rounds: 5, turnMs: 300 }
const quickPace = { rounds: 1, turnMs: 1 }
/** No further round after this long: on a busy machine PyTorch's threads wait for each other, and a step can take seconds. */
const patienceMs = 20_000
/**
 * How far the engines' first steps may be apart, as a share. Float sums have another order. Where values are rounded, some go to the next
 * step, and those after them as well: the gradient of the steps, a sum of rounding errors, is then nearly another one at 8 bits. (At 4 bits it is
 * the same to seven digits once PyTorch's kernels are replaced by LSQ's formula; they count the half step beyond the grid as inside.) So
 * of that only the size is compared.
 */
const tolerances = { float: { loss: 1e-4, gradient: 1e-3 }, quantized: { loss: 3e-3, gradient: 0.05 } }
const stepGradientFactor = 5

/** Floating-point operations of a step: two a MAC, three products a layer (the first layer needs no gradient of its input). */
function flopsOf(network: Network, batch: number): number {
  const { macs, nodes } = countNetwork(network)
  const first = nodes.find((node) => node.macs > 0)!
  return 2 * batch * (3 * macs - first.macs)
}

/** Widths and learned grids of everything that training fake-quantizes (training/quantizer-choice.ts). */
function quantizedParts(network: Network): QuantizedParts {
  const { values, inputs } = storageOf(network)
  const last = network.nodes.at(-1)!.id
  return {
    weightBits: Object.fromEntries(weightedNodes(network).map((node) => [node.id, node.op === 'sinc' ? 8 : storedWeightBits(node)])),
    values: Object.fromEntries([...values].filter(([id, { scale }]) => scale === undefined && id !== last)),
    narrowed: Object.fromEntries([...inputs].filter(([, { narrowed }]) => narrowed)),
  }
}

/** @throws RunError when an engine's first step is another one than the reference's. */
function checkAgreement(where: string, isQuantized: boolean, reference: Stepper, other: Stepper): void {
  const tolerance = tolerances[isQuantized ? 'quantized' : 'float']
  const agrees = (part: 'loss' | 'gradient') => Math.abs(other[part] - reference[part]) <= tolerance[part] * reference[part]
  const ratio = other.stepGradient / reference.stepGradient
  const bad = [
    ...(['loss', 'gradient'] as const).filter((part) => !agrees(part)),
    ...(!isQuantized || (ratio < stepGradientFactor && ratio > 1 / stepGradientFactor) ? [] : (['stepGradient'] as const)),
  ]
  if (bad.length === 0) return
  const [part] = bad
  throw new RunError(
    `${where}: the ${part} of the first step is ${reference[part]} in ${reference.engine}, ${other[part]} in ${other.engine}`,
  )
}

/** Opens all engines that can be had, ours first. */
async function openAll(
  where: string,
  request: Omit<Request, 'setting'>,
  hasTorch: boolean,
  note: (line: string) => void,
): Promise<Stepper[]> {
  const steppers: Stepper[] = []
  const folder = mkdtempSync(join(tmpdir(), 'bitwright-bench-'))
  const file = join(folder, 'start')
  try {
    for (const setting of ['wasm', 'native'] as const) {
      const opened = await openEngineStepper({ ...request, setting, ...(steppers.length === 0 ? { writeStart: file } : {}) })
      if ('missing' in opened) note(`${setting} is left out: ${opened.missing}`)
      else steppers.unshift(opened)
    }
    const reference = steppers.at(-1)
    if (!reference?.places) throw new RunError(`${where}: WebAssembly cannot be had`)
    for (const setting of hasTorch ? torchSettings : []) {
      const opened = await openTorchStepper({ ...request, setting, start: { file, places: reference.places } })
      if ('missing' in opened) throw new RunError(`PyTorch: ${opened.missing}`)
      steppers.push(opened)
    }
    for (const stepper of steppers) checkAgreement(where, request.quantized !== null, reference, stepper)
    return steppers
  } catch (error) {
    for (const stepper of steppers) stepper.close()
    throw error
  } finally {
    rmSync(folder, { recursive: true })
  }
}

interface Timed {
  readonly engine: string
  readonly times: number[]
  readonly peakMemoryMb: number
}

/** The machine's peak has its turns as well: neighbours on the same processor come and go. */
async function takeTurns(
  steppers: readonly Stepper[],
  { rounds, turnMs }: typeof usualPace,
  peak: () => number | null,
): Promise<{ readonly timed: Timed[]; readonly peakGflops: number | null }> {
  const turns = new Map<Stepper, { steps: number; times: number[] }>()
  for (const stepper of steppers) {
    await stepper.steps(2)
    const each = median(await stepper.steps(3))
    turns.set(stepper, { steps: Math.max(2, Math.round(turnMs / each)), times: [] })
  }
  const start = performance.now()
  const peaks: (number | null)[] = []
  for (let round = 0; round < rounds && (round < 2 || performance.now() - start < patienceMs); round++) {
    peaks.push(peak())
    for (const [stepper, turn] of turns) turn.times.push(...(await stepper.steps(turn.steps)))
  }
  const timed: Timed[] = []
  for (const [stepper, { times }] of turns) timed.push({ engine: stepper.engine, times, peakMemoryMb: await stepper.peakMemoryMb() })
  const known = peaks.filter((gflops) => gflops !== null)
  return { timed, peakGflops: known.length > 0 ? median(known) : null }
}

/** Of PyTorch, what most people write and the best of the other settings. */
function withoutSlowSettings(timed: readonly Timed[], note: (line: string) => void, where: string): Timed[] {
  const torch = timed.filter(({ engine }) => engine.startsWith('PyTorch'))
  const tuned = torch.filter(({ engine }) => !engine.endsWith(', usual')).toSorted((a, b) => median(a.times) - median(b.times))
  for (const { engine, times } of tuned.slice(1)) note(`${where}: ${engine} took ${median(times).toFixed(1)} ms and is left out`)
  return timed.filter((each) => !tuned.slice(1).includes(each))
}

function rowsOf(work: string, threads: number, timed: readonly Timed[], flops: number, peakGflops: number | null): BenchRow[] {
  const best = Math.min(...timed.map(({ times }) => median(times)))
  return timed.map(({ engine, times, peakMemoryMb }) => {
    const ms = median(times)
    const gflops = flops / ms / 1e6
    return {
      work,
      engine,
      threads,
      ms,
      fastest: Math.min(...times),
      slowest: Math.max(...times),
      ratioToBest: ms / best,
      gflops,
      shareOfPeak: peakGflops === null ? null : gflops / peakGflops,
      peakMemoryMb,
    }
  })
}

function chosenWorks(names: readonly string[] = Object.keys(works)): [string, Work][] {
  return names.map((name) => {
    if (!Object.hasOwn(works, name)) throw new UsageError(`--works ${name}: train-step has ${Object.keys(works).join(', ')}`)
    return [name, works[name]()]
  })
}

const threadsText = (count: number): string => `${count} ${count === 1 ? 'thread' : 'threads'}`

export async function trainStep({ threads, works: names, quick, note }: BenchOptions): Promise<BenchRow[]> {
  const chosen = chosenWorks(names)
  const told = new Set<string>()
  const noteOnce = (line: string): void => {
    if (!told.has(line)) note(line)
    told.add(line)
  }
  const missing = torchMissing()
  if (missing) note(`PyTorch is left out: ${missing}`)
  const peak = await openPeak(note)
  const rows: BenchRow[] = []
  for (const [name, { network: float, batch, bits }] of chosen) {
    for (const isQuantized of [false, true]) {
      const network = isQuantized ? withStartBits(float, { weightBits: bits, activationBits: bits }) : float
      const work = `${name} ${isQuantized ? `${bits}/${bits}` : 'float'}`
      const quantized = isQuantized ? quantizedParts(network) : null
      for (const count of threads) {
        const where = `${work}, ${threadsText(count)}`
        const request = { network, shapes: Object.fromEntries(inferShapes(network)), quantized, bits, batch, threads: count }
        const steppers = await openAll(where, request, missing === undefined, noteOnce)
        try {
          const busy = await busyShare()
          if (busy > idleLimit) note(`${where}: the machine is ${(100 * busy).toFixed(0)} % busy with other work`)
          const { timed, peakGflops } = await takeTurns(steppers, quick ? quickPace : usualPace, () => peak?.(count) ?? null)
          if (peakGflops !== null) note(`${where}: peak ${peakGflops.toFixed(0)} GFLOP/s`)
          rows.push(...rowsOf(work, count, withoutSlowSettings(timed, note, where), flopsOf(network, batch), peakGflops))
        } finally {
          for (const stepper of steppers) stepper.close()
        }
      }
    }
  }
  return rows
}
