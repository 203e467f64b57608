// What benchmarks share: options, rows, the table, and a look at the machine before anything is measured.
import { availableParallelism, cpus } from 'node:os'

export interface BenchOptions {
  readonly threads: readonly number[]
  /** Which of the bench's works to measure; undefined: all. */
  readonly works?: readonly string[]
  /** Few repetitions of small works: shows that the bench runs; its numbers mean nothing. */
  readonly quick: boolean
  /** Where to draw the result, for a bench that can. */
  readonly plot?: string
  /** For lines that belong to the result but not to the table. */
  readonly note: (line: string) => void
}

export interface BenchRow {
  readonly work: string
  readonly engine: string
  readonly threads: number
  /** Median. */
  readonly ms: number
  readonly fastest: number
  readonly slowest: number
  /** Its time over that of the fastest engine on the same work and threads. */
  readonly ratioToBest: number
  readonly gflops: number
  /** Of what so many threads can do at most; null where that could not be measured. */
  readonly shareOfPeak: number | null
  /** Most memory of the engine's process that was ever resident, in 2^20 bytes. */
  readonly peakMemoryMb: number
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]
}

/** From this share on, the machine counts as not idle. */
export const idleLimit = 0.1

/** How busy all cores together are while we do nothing, over one second. */
export async function busyShare(): Promise<number> {
  const used = () =>
    cpus().reduce(
      (sum, { times }) => ({ idle: sum.idle + times.idle, all: sum.all + times.idle + times.user + times.sys + times.nice + times.irq }),
      { idle: 0, all: 0 },
    )
  const before = used()
  await new Promise((resolve) => setTimeout(resolve, 1000))
  const after = used()
  return 1 - (after.idle - before.idle) / Math.max(1, after.all - before.all)
}

/** The processor and whether it is idle, in one line. */
export async function describeMachine(): Promise<string> {
  const busy = await busyShare()
  const line = `${cpus()[0]?.model.trim() ?? process.arch}, ${availableParallelism()} cores, ${(100 * busy).toFixed(0)} % busy before the run`
  return busy > idleLimit ? `${line}: not idle, so times are too long and even ratios only rough` : line
}

export function table(rows: readonly BenchRow[]): string {
  const wide = Math.max(...rows.map(({ engine }) => engine.length))
  const lines = rows.map((row, i) => {
    const { work, threads } = row
    const title =
      i === 0 || rows[i - 1].work !== work || rows[i - 1].threads !== threads
        ? `\n${work}, ${threads} ${threads === 1 ? 'thread' : 'threads'}\n`
        : ''
    const share = row.shareOfPeak === null ? '-' : `${(100 * row.shareOfPeak).toFixed(0)} %`
    const spread = `${row.fastest.toFixed(1)}..${row.slowest.toFixed(1)}`
    return `${title}  ${row.engine.padEnd(wide)} ${row.ms.toFixed(1).padStart(8)} ms ${spread.padStart(16)} ${row.ratioToBest.toFixed(2).padStart(7)} x ${row.gflops.toFixed(1).padStart(7)} GFLOP/s ${share.padStart(5)} ${row.peakMemoryMb.toFixed(0).padStart(6)} MB`
  })
  return lines.join('\n')
}
