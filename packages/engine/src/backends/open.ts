// Chooses a backend: native where the machine can compile and load it, WebAssembly everywhere else.
import { availableParallelism } from 'node:os'
import { type Backend, BackendError, maxThreads } from './backend.ts'
import { openNative } from './native.ts'
import { readSources } from './sources.ts'
import { openWasm } from './wasm.ts'

export interface BackendOptions {
  /** Default `auto`: native, else wasm with one notice line saying why. */
  readonly backend?: 'auto' | 'native' | 'wasm'
  /** 1 to 64. Default: the cores this process may use. */
  readonly threads?: number
  /** Receives single lines for people: that kernels are being compiled, that wasm takes over. Default: silence. */
  readonly onNotice?: (line: string) => void
}

/** Opens a backend. Throws a BackendError when the one explicitly asked for cannot be had. */
export async function openBackend(options: BackendOptions = {}): Promise<Backend> {
  const { backend = 'auto', threads = Math.min(availableParallelism(), maxThreads), onNotice = () => {} } = options
  if (backend !== 'wasm') {
    try {
      return await openNative(readSources('native'), threads, onNotice)
    } catch (error) {
      if (backend === 'native' || !(error instanceof BackendError)) throw error
      onNotice(`${error.message}: training runs on WebAssembly instead, at about half the speed`)
    }
  }
  const [relaxed, plain] = await Promise.all([import('../generated/kernels-relaxed.ts'), import('../generated/kernels-plain.ts')])
  return openWasm({ relaxed: relaxed.kernels, plain: plain.kernels }, threads, availableParallelism())
}
