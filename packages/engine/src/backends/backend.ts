// What the engine computes on: a heap of floats and one function that executes a whole program of commands on all threads. The
// tape (see the engine's programs) is plain data, so this small interface is all that a new device has to provide.

/**
 * One heap and its threads. The caller owns the layout of the heap; a backend never writes to it outside `run`. Not reentrant, and
 * not to be used after `close`.
 */
export interface Backend {
  readonly name: 'native' | 'wasm'
  /** Threads that `run` uses, the caller's included. */
  readonly threads: number
  /** For people, e.g. `native (gcc 12.2, 2 threads)`. */
  readonly description: string
  /** All floats of the heap, zero until written. Read it again after `ensure`: the view may be replaced when the heap grows. */
  readonly heap: Float32Array
  /** The same memory as integers. */
  readonly heapInt: Int32Array
  /** Makes the heap at least this large; contents are kept. Throws a BackendError when there is not that much memory. */
  ensure(bytes: number): void
  /** Executes the program on all threads and returns when the last has finished. Throws a BackendError when a command is refused. */
  run(program: Int32Array): void
  /** Ends the threads and gives the memory back. A second call does nothing. */
  close(): void
}

/** A backend cannot be opened, grown or run: one line that says why and what to do. */
export class BackendError extends Error {
  override readonly name = 'BackendError'
}

export const maxThreads = 64

/** Heap sizes are multiples of this many bytes (a WebAssembly page). */
export const pageBytes = 65_536

export function roundToPages(bytes: number): number {
  return Math.ceil(bytes / pageBytes) * pageBytes
}

/** `threads` as a whole number from 1 to 64. */
export function checkThreads(threads: number): number {
  if (!Number.isInteger(threads) || threads < 1 || threads > maxThreads) {
    throw new BackendError(`threads must be a whole number from 1 to ${maxThreads}, not ${threads}`)
  }
  return threads
}

/** The error for a non-zero status of `run`: 1 + the word where the refused command begins, or -1 for a trap. */
export function refusal(name: string, status: number, program: Int32Array): BackendError {
  const word = status - 1
  if (status < 0 || word >= program.length) return new BackendError(`${name} backend: the program failed with status ${status}`)
  return new BackendError(
    `${name} backend: the command at word ${word} of ${program.length} was refused (opcode ${program[word] & 0xffff})`,
  )
}

export function gibibytes(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`
}
