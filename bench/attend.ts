// Attention between a map's positions beside a plain product of matrices of as many numbers, on the maps of CENet-GCN's graph modules.
import { attend, convolution, Engine, none, openBackend, profileProgram, Random, Tape, type Value } from '../packages/engine/src/index.ts'
import type { BenchOptions } from './bench.ts'

export interface AttendRow {
  readonly work: string
  readonly backend: string
  readonly threads: number
  readonly forwardMs: number
  readonly forwardGflops: number
  readonly backwardMs: number
  readonly backwardGflops: number
  /** Of a 1x1 convolution of 64 channels to 64, on the same positions. */
  readonly plainGflops: number
}

/** [height, width, channels of query and key, channels of value] */
const modules = [
  [25, 10, 8, 32],
  [25, 10, 32, 32],
  [13, 5, 12, 48],
  [7, 3, 16, 64],
] as const

export async function attendBench({ threads, quick }: BenchOptions): Promise<AttendRow[]> {
  const rows: AttendRow[] = []
  for (const backend of ['native', 'wasm'] as const) {
    for (const count of threads) {
      const engine = new Engine(await openBackend({ backend, threads: count }))
      for (const module of modules) rows.push(measure(engine, module, quick ? 3 : 101, { backend, threads: count }))
      engine.backend.close()
    }
  }
  return rows
}

function measure(
  engine: Engine,
  [height, width, depth, channels]: (typeof modules)[number],
  runs: number,
  how: { backend: string; threads: number },
): AttendRow {
  const tape = new Tape(engine, { batch: 64, mode: 'train' })
  const random = new Random(0, 'attend bench')
  const noise = (of: number): Value => {
    const x = tape.input(height, width, of, true)
    const { offset, stride } = x.stored
    engine.floats(offset, 64 * height * width * stride).forEach((_, i, floats) => (floats[i] = i % stride < of ? random.normal() : 0))
    return x
  }
  const y = attend(tape, noise(depth), noise(depth), noise(channels))
  const weights = { offset: tape.allocate(64 * 64), gradient: none }
  engine.floats(weights.offset, 64 * 64).fill(0.1)
  convolution(tape, noise(64), weights, { channels: 64, kernelSize: [1, 1], stride: [1, 1], padding: [0, 0, 0, 0], groups: 1 })
  const [gradient] = tape.gradientTarget(y)
  engine.floats(gradient, 64 * height * width * y.stored.stride).fill(0.1)
  tape.backward()
  const commands = profileProgram(engine, tape.program(['pack', 'forward', 'backward']), runs)
  tape.dispose()
  const of = (name: string) => {
    const { ms, flops } = commands.find((command) => command.name === name)!
    return { ms, gflops: flops / ms / 1e6 }
  }
  const [forward, backward] = [of('attend'), of('attendBackward')]
  return {
    work: `${height}x${width}, ${depth} > ${channels}`,
    ...how,
    forwardMs: forward.ms,
    forwardGflops: forward.gflops,
    backwardMs: backward.ms,
    backwardGflops: backward.gflops,
    plainGflops: of('convolution').gflops,
  }
}
