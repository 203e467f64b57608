// The integer core compiled for this very processor and called through koffi. Inference alone: the spectral front end wants flags of its own.
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import koffi from 'koffi'
import { compileLibrary } from '../packages/engine/src/backends/compiler.ts'
import { BackendError } from '../packages/engine/src/index.ts'

export interface NativeCore {
  /** 16-bit logits of 16-bit samples (a raw-audio model), or of features. */
  run(input: Int16Array | Float32Array): Int16Array
  close(): void
}

/** How to open a .bw file; null (and a note) where there is no C compiler. */
export async function openNativeCore(note: (line: string) => void): Promise<((file: Uint8Array, classes: number) => NativeCore) | null> {
  const directory = join(import.meta.dirname, '../core')
  const parts = readdirSync(directory).filter((name) => /\.[ch]$/.test(name) && name !== 'host.c')
  const files = [...parts.map((name) => join(directory, name)), join(import.meta.dirname, 'native-core.c')]
  const hash = createHash('sha256')
  for (const file of files) hash.update(readFileSync(file))
  const units = files.filter((file) => file.endsWith('.c'))
  let library: ReturnType<typeof koffi.load>
  try {
    library = koffi.load((await compileLibrary({ directory, units, hash: hash.digest('hex') }, () => {})).path)
  } catch (error) {
    if (!(error instanceof BackendError)) throw error
    note(`the native core is left out: ${error.message}`)
    return null
  }
  const open: (file: Uint8Array, length: number) => unknown = library.func('void *bench_core_open(const uint8_t *, uint32_t)')
  const run: (...values: unknown[]) => void = library.func('void bench_core_run(void *, const int16_t *, _Out_ int16_t *)')
  const runFeatures: (...values: unknown[]) => void = library.func('void bench_core_run_features(void *, const float *, _Out_ int16_t *)')
  const close: (core: unknown) => void = library.func('void bench_core_close(void *)')
  return (file, classes) => {
    const core = open(file, file.length)
    if (core === null) throw new Error('the native core refuses the model')
    const logits = new Int16Array(classes)
    return {
      run(input) {
        if (input instanceof Int16Array) run(core, input, logits)
        else runFeatures(core, input, logits)
        return logits.slice()
      },
      close: () => close(core),
    }
  }
}
