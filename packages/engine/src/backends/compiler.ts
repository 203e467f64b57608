// Compiles the kernels for this very machine with the system's C compiler.
import { compile, CompileError, type Library } from '@bitwright/runtime/compile'
import { BackendError } from './backend.ts'
import type { Sources } from './sources.ts'

// Contraction to fused multiply-adds, yes; -ffast-math, no: a NaN must stay visible.
const compileFlags = '-O3 -std=gnu11 -ffp-contract=fast -fno-math-errno -fno-trapping-math -pthread -Wno-psabi'.split(' ')
const linkFlags = ['-pthread', '-lm']

/** Compiles `sources` unless a current library is in the cache. Throws a BackendError with the compiler's first error line. */
export async function compileLibrary(sources: Sources, onNotice: (line: string) => void): Promise<Library> {
  try {
    return await compile({ name: 'kernels', compileFlags, linkFlags, ...sources }, onNotice)
  } catch (error) {
    throw error instanceof CompileError ? new BackendError(error.message) : error
  }
}
