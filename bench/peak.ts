// The machine's peak rate of float32 multiply-adds, measured by peak.c through the compiler of the native backend.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import koffi from 'koffi'
import { compileLibrary } from '../packages/engine/src/backends/compiler.ts'
import { BackendError } from '../packages/engine/src/index.ts'

/** Rounds of one measurement, some 50 ms on a fast core, and how many measurements are made; the fastest counts. */
const rounds = 3e7
const measurements = 5

/** Measures GFLOP/s of so many threads; null (and a note) where there is no C compiler. */
export async function openPeak(note: (line: string) => void): Promise<((threads: number) => number) | null> {
  const unit = join(import.meta.dirname, 'peak.c')
  const hash = createHash('sha256').update(readFileSync(unit)).digest('hex')
  try {
    const { path } = await compileLibrary({ directory: import.meta.dirname, units: [unit], hash }, () => {})
    const rate: (...values: number[]) => number = koffi.load(path).func('double bench_peak(int, double, float, float)')
    return (threads) => Math.max(...Array.from({ length: measurements }, () => rate(threads, rounds, 0.999, 1e-3))) / 1e9
  } catch (error) {
    if (!(error instanceof BackendError)) throw error
    note(`no share of the machine's peak: ${error.message}`)
    return null
  }
}
