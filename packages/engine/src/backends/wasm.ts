// The WebAssembly backend: the committed kernels on a shared memory, with a worker thread for every further core. It needs no
// compiler and runs everywhere, at roughly half the native speed. A module comes in two variants, because not every host has relaxed SIMD
// (fused multiply-adds): that one is preferred, plain SIMD serves elsewhere.
//
// Memory from below: the module's data, the stack of thread 0, one stack per worker, the heap, and above it the program of the
// current run. All threads block inside WebAssembly; JavaScript only starts them and hears of traps.
import { setFlagsFromString } from 'node:v8'
import { Worker } from 'node:worker_threads'
import { type Backend, BackendError, checkThreads, gibibytes, pageBytes, refusal, roundToPages } from './backend.ts'

/** One kernel build: base64 of each variant. */
export interface WasmModules {
  readonly relaxed: string
  readonly plain: string
}

interface Entry {
  readonly __stack_pointer: WebAssembly.Global
  readonly __heap_base: WebAssembly.Global
  bw_open(threads: number, spins: number): void
  bw_run(heap: number, program: number, length: number): number
  bw_trapped(): void
  bw_close(): void
}

const stackBytes = 2 ** 20
/** Atomic loads before a waiter sleeps: about 100 us. */
const spins = 50_000

// As text, so that it starts alike from TypeScript sources, from a build and from a bundle. A trap leaves the instance usable.
const workerSource = `
const { parentPort, workerData } = require('node:worker_threads')
const { module, memory, thread, stack } = workerData
const { exports } = new WebAssembly.Instance(module, { env: { memory, now: () => performance.now() } })
parentPort.postMessage('ready')
for (let working = true; working; ) {
  exports.__stack_pointer.value = stack
  try {
    exports.bw_work(thread)
    working = false
  } catch {
    exports.__stack_pointer.value = stack
    exports.bw_trapped()
  }
}`

function compile(modules: WasmModules): { module: WebAssembly.Module; variant: string } {
  const relaxed = Buffer.from(modules.relaxed, 'base64')
  // Node 20 has relaxed SIMD behind this flag, later ones always, without one.
  if (process.versions.node.startsWith('20.')) setFlagsFromString('--experimental-wasm-relaxed-simd')
  if (WebAssembly.validate(relaxed)) return { module: new WebAssembly.Module(relaxed), variant: 'relaxed SIMD' }
  const plain = Buffer.from(modules.plain, 'base64')
  if (WebAssembly.validate(plain)) return { module: new WebAssembly.Module(plain), variant: 'plain SIMD' }
  throw new BackendError(`Node ${process.version} does not run WebAssembly with SIMD and threads; use Node 20 or later`)
}

/** Reserves up to 4 GiB of addresses, the most that 32-bit addresses reach. */
function allocate(): { memory: WebAssembly.Memory; limit: number } {
  for (const maximum of [65_536, 32_768, 16_384, 8_192]) {
    try {
      return { memory: new WebAssembly.Memory({ initial: 64, maximum, shared: true }), limit: maximum * pageBytes }
    } catch {
      // the system refuses this much
    }
  }
  throw new BackendError('the system refuses to reserve 0.5 GiB of addresses; raise the limit (ulimit -v)')
}

function startWorker(module: WebAssembly.Module, memory: WebAssembly.Memory, thread: number, stack: number): Promise<Worker> {
  const worker = new Worker(workerSource, { eval: true, execArgv: [], workerData: { module, memory, thread, stack } })
  return new Promise((resolve, reject) => {
    worker.once('error', (error) => reject(new BackendError(`a worker thread cannot start: ${error.message}`)))
    worker.once('message', () => {
      worker.unref()
      resolve(worker)
    })
  })
}

/** Opens the backend. `cores` decides whether waiting threads may spin. */
export async function openWasm(modules: WasmModules, threads: number, cores: number): Promise<Backend> {
  checkThreads(threads)
  const { module, variant } = compile(modules)
  const { memory, limit } = allocate()
  const entry = new WebAssembly.Instance(module, { env: { memory, now: () => performance.now() } }).exports as unknown as Entry
  const { __stack_pointer: stackPointer, __heap_base: dataEnd } = entry
  const stackTop: number = stackPointer.value
  const stacks = Math.ceil(dataEnd.value / 64) * 64
  const base = stacks + (threads - 1) * stackBytes
  grow(base + pageBytes)
  entry.bw_open(threads, threads > cores ? 0 : spins)
  const starting = Array.from({ length: threads - 1 }, (_, i) => startWorker(module, memory, i + 1, stacks + (i + 1) * stackBytes))
  let workers: Worker[]
  try {
    workers = await Promise.all(starting)
  } catch (error) {
    entry.bw_close()
    throw error
  }

  let current = views(pageBytes)
  let longestProgram = 0
  let closed = false

  function views(bytes: number) {
    return { floats: new Float32Array(memory.buffer, base, bytes / 4), integers: new Int32Array(memory.buffer, base, bytes / 4) }
  }

  /** Makes the whole memory at least this large. */
  function grow(bytes: number): void {
    const missing = bytes - memory.buffer.byteLength
    if (missing <= 0) return
    try {
      if (bytes > limit) throw new RangeError()
      memory.grow(Math.ceil(missing / pageBytes))
    } catch {
      throw new BackendError(
        `wasm backend: ${gibibytes(bytes)} of memory are needed and at most ${gibibytes(limit)} are there; ` +
          'use a smaller batch or network, or the native backend',
      )
    }
  }

  return {
    name: 'wasm',
    threads,
    description: `wasm (${variant}, ${threads} ${threads === 1 ? 'thread' : 'threads'})`,
    get heap() {
      return current.floats
    },
    get heapInt() {
      return current.integers
    },
    ensure(bytes) {
      if (bytes <= current.floats.byteLength) return
      const size = Math.min(roundToPages(bytes), limit - base)
      grow(base + Math.max(size, bytes))
      const before = current.floats.length
      current = views(size)
      current.integers.fill(0, before, before + longestProgram) // where the programs of earlier runs lay
    },
    run(program) {
      if (closed) throw new BackendError('wasm backend: run after close')
      if (program.length === 0) return
      const at = base + current.floats.byteLength
      grow(at + program.byteLength)
      longestProgram = Math.max(longestProgram, program.length)
      new Int32Array(memory.buffer, at, program.length).set(program)
      let status: number
      try {
        status = entry.bw_run(base, at, program.length)
      } catch {
        stackPointer.value = stackTop
        entry.bw_trapped()
        status = -1
      }
      if (status !== 0) throw refusal('wasm', status, program)
    },
    close() {
      if (closed) return
      closed = true
      entry.bw_close()
      for (const worker of workers) void worker.terminate()
    },
  }
}
