// The native backend: the kernels compiled for this machine, called through koffi, on a pool of POSIX threads. The heap is one
// large range of reserved addresses that never moves; growing it only moves the bound, and memory is used as it is touched.
import { constants } from 'node:buffer'
import { availableParallelism, totalmem } from 'node:os'
import { type Backend, BackendError, checkThreads, gibibytes, pageBytes, refusal, roundToPages } from './backend.ts'
import { compileLibrary } from './compiler.ts'
import type { Sources } from './sources.ts'

// Programs address floats by signed 32-bit numbers, so more than 8 GiB could not be used; Node 20 cannot view more than 4 GiB.
const reservations = [8, 4, 2, 1, 0.5].map((size) => size * 2 ** 30).filter((bytes) => bytes <= constants.MAX_LENGTH)

/** Opens the backend, compiling the sources where the cache has no current library. Throws a BackendError when that fails. */
export async function openNative(sources: Sources, threads: number, onNotice: (line: string) => void): Promise<Backend> {
  checkThreads(threads)
  const compiled = await compileLibrary(sources, onNotice)
  let library: ReturnType<typeof bind>
  let view: (typeof import('koffi'))['default']['view']
  try {
    const { default: koffi } = await import('koffi')
    library = bind(koffi.load(compiled.path))
    view = koffi.view
  } catch (error) {
    throw new BackendError(`the compiled kernels cannot be loaded: ${(error as Error).message.split('\n')[0]}`)
  }
  const { open, run, close, reserve, release } = library

  const pool: bigint | null = open(threads, availableParallelism())
  if (!pool) throw new BackendError(`the system refuses to start ${threads} threads; ask for fewer`)
  let base: bigint | null = null
  const reserved = reservations.find((bytes) => (base = reserve(bytes)) !== null)
  if (!base || !reserved) {
    close(pool)
    throw new BackendError(`the system refuses to reserve ${gibibytes(reservations.at(-1)!)} of addresses; raise the limit (ulimit -v)`)
  }

  const buffer: ArrayBuffer = view(base, reserved)
  const limit = Math.min(reserved, roundToPages(totalmem()))
  const views = (bytes: number) => ({ floats: new Float32Array(buffer, 0, bytes / 4), integers: new Int32Array(buffer, 0, bytes / 4) })
  let current = views(pageBytes)
  let closed = false

  return {
    name: 'native',
    threads,
    description: `native (${compiled.compiler}, ${threads} ${threads === 1 ? 'thread' : 'threads'})`,
    get heap() {
      return current.floats
    },
    get heapInt() {
      return current.integers
    },
    ensure(bytes) {
      if (bytes <= current.floats.byteLength) return
      if (bytes > limit) {
        throw new BackendError(
          `native backend: ${gibibytes(bytes)} of heap are needed and ${gibibytes(limit)} are there; use a smaller batch or network`,
        )
      }
      current = views(Math.min(roundToPages(bytes), limit))
    },
    run(program) {
      if (closed) throw new BackendError('native backend: run after close')
      if (program.length === 0) return
      const status = run(pool, base, program, program.length)
      if (status !== 0) throw refusal('native', status, program)
    },
    close() {
      if (closed) return
      closed = true
      close(pool)
      release(base, reserved)
    },
  }
}

function bind(library: { func(definition: string): (...values: unknown[]) => unknown }) {
  return {
    open: library.func('void *bw_open(int threads, int cores)') as (threads: number, cores: number) => bigint | null,
    run: library.func('int bw_run(void *native, void *heap, void *program, int length)') as (
      ...values: [bigint, bigint | null, Int32Array, number]
    ) => number,
    close: library.func('void bw_close(void *native)') as (pool: bigint) => void,
    reserve: library.func('void *bw_reserve(int64_t bytes)') as (bytes: number) => bigint | null,
    release: library.func('void bw_release(void *range, int64_t bytes)') as (range: bigint | null, bytes: number) => void,
  }
}
