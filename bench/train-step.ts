// How long does one training step take (forward, backward, Adam; batch 64), in this engine and in PyTorch, float and with 8-bit
// fake-quantization? The same network, the same quantizers and the same kind of optimiser on both sides; filling the batch is not
// part of it. All engines take turns within one run, so that whatever else the machine does hits all of them alike.
import { builtinNetwork, countNetwork, inferShapes, type Network, storageOf } from '../packages/bitwright/src/network/index.ts'
import { withStartBits } from '../packages/bitwright/src/training/quantization.ts'
import { busyShare, idleLimit, median, type BenchOptions, type BenchRow } from './bench.ts'
import { openEngineStepper } from './engine-stepper.ts'
import { openTorchStepper, torchMissing, torchSettings } from './torch-stepper.ts'

/** One engine with one network, ready to train. */
export interface Stepper {
  readonly engine: string
  /** Runs steps; milliseconds of each. */
  steps(count: number): Promise<number[]>
  close(): void
}

export const batch = 64
const networks = ['kws-e2e-e3k5', 'ds-cnn-s']
const classes = Array.from({ length: 12 }, (_, i) => `class ${i}`)
/** Turns per engine, and about how long a turn lasts. */
const rounds = 5
const turnMs = 300
/** No further round after this long: on a busy machine PyTorch's threads wait for each other, and a step can take seconds. */
const patienceMs = 20_000

/** Floating-point operations of a step: two a MAC, three products a layer (the first layer needs no gradient of its input). */
function flopsOf(network: Network): number {
  const { macs, nodes } = countNetwork(network)
  const first = nodes.find((node) => node.macs > 0)!
  return 2 * batch * (3 * macs - first.macs)
}

/** What a peer has to know of a network besides the graph: shapes, and the grids of stored values (null: float). */
export function describe(network: Network, quantized: boolean) {
  const last = network.nodes.at(-1)!.id
  const values = [...storageOf(network).values].filter(([id, { bits }]) => bits < 16 && id !== last)
  return { network, shapes: Object.fromEntries(inferShapes(network)), quantized: quantized ? Object.fromEntries(values) : null }
}

async function compare(work: string, steppers: Stepper[], threads: number, flops: number): Promise<BenchRow[]> {
  const turns = new Map<Stepper, { steps: number; times: number[] }>()
  for (const stepper of steppers) {
    await stepper.steps(2)
    const each = median(await stepper.steps(3))
    turns.set(stepper, { steps: Math.max(2, Math.round(turnMs / each)), times: [] })
  }
  const start = performance.now()
  for (let round = 0; round < rounds && (round < 2 || performance.now() - start < patienceMs); round++) {
    for (const [stepper, turn] of turns) turn.times.push(...(await stepper.steps(turn.steps)))
  }
  const medians = [...turns].map(([stepper, { times }]) => ({ stepper, times, ms: median(times) }))
  const best = Math.min(...medians.map(({ ms }) => ms))
  return medians.map(({ stepper, times, ms }) => ({
    work,
    engine: stepper.engine,
    threads,
    ms,
    fastest: Math.min(...times),
    slowest: Math.max(...times),
    ratioToBest: ms / best,
    gflops: flops / ms / 1e6,
  }))
}

export async function trainStep({ threads, note }: BenchOptions): Promise<BenchRow[]> {
  const missing = torchMissing()
  if (missing) note(`PyTorch is left out: ${missing}`)
  const rows: BenchRow[] = []
  for (const name of networks) {
    const float = builtinNetwork(name, { classes })
    for (const quantized of [false, true]) {
      const network = quantized ? withStartBits(float, { weightBits: 8, activationBits: 8 }) : float
      for (const count of threads) {
        const steppers: Stepper[] = []
        try {
          for (const backend of ['native', 'wasm'] as const) steppers.push(await openEngineStepper(backend, network, quantized, count))
          if (!missing)
            for (const setting of torchSettings) steppers.push(await openTorchStepper(setting, describe(network, quantized), count))
          const work = `${name} ${quantized ? '8/8' : 'float'}`
          const busy = await busyShare()
          if (busy > idleLimit)
            note(
              `${work}, ${count} ${count === 1 ? 'thread' : 'threads'}: the machine is ${(100 * busy).toFixed(0)} % busy with other work`,
            )
          rows.push(...(await compare(work, steppers, count, flopsOf(network))))
        } finally {
          for (const stepper of steppers) stepper.close()
        }
      }
    }
  }
  return rows
}
