// The kernels' C sources: where they lie, which of them make up the native library and which the WebAssembly module, and the hash
// that tells whether something compiled from them is still current.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { BackendError } from './backend.ts'

export interface Sources {
  readonly directory: string
  /** Paths of the translation units. */
  readonly units: readonly string[]
  /** Hex SHA-256 over names and contents of all units and headers, and over the flags of a WebAssembly build. */
  readonly hash: string
}

/** How every WebAssembly module is compiled (clang >= 16) and linked; a variant adds its own flags. */
export const wasmCompileFlags =
  '--target=wasm32 -O3 -std=gnu11 -msimd128 -matomics -mbulk-memory -mnontrapping-fptoint -mmutable-globals -nostdlib ' +
  '-ffreestanding -fvisibility=hidden -ffp-contract=fast -fno-math-errno -fno-trapping-math'
export const wasmLinkFlags =
  '--no-entry --export-dynamic --import-memory --shared-memory --max-memory=4294967296 --export=__stack_pointer ' +
  '--export=__heap_base -z stack-size=1048576 --strip-all'

/** The kernels' folder: the nearest one above this file, so that it is found from the sources and from a build alike. */
export function kernelsDirectory(): string {
  for (let directory = import.meta.dirname; ; directory = dirname(directory)) {
    const candidate = join(directory, 'kernels')
    if (existsSync(join(candidate, 'threads.h'))) return candidate
    if (dirname(directory) === directory) throw new BackendError('the kernels folder with the C sources is missing from this installation')
  }
}

/**
 * The sources for one kind of build. `program` replaces the kernels by another implementation of `bw_execute` (the conformance
 * suite's) behind the same entries.
 */
export function readSources(kind: 'native' | 'wasm', program?: string): Sources {
  const directory = kernelsDirectory()
  const other = kind === 'native' ? 'entry-wasm.c' : 'entry-native.c'
  const entry = kind === 'native' ? 'entry-native.c' : 'entry-wasm.c'
  const names = program
    ? [entry, 'pool.h', 'threads.h']
    : readdirSync(directory)
        .filter((name) => /\.[ch]$/.test(name) && name !== other)
        .toSorted()
  const paths = [...names.map((name) => join(directory, name)), ...(program ? [program] : [])]
  const hash = createHash('sha256')
  if (kind === 'wasm') hash.update(`${wasmCompileFlags} ${wasmLinkFlags}\0`)
  for (const path of paths)
    hash
      .update(`${path.slice(path.lastIndexOf('/') + 1)}\n`)
      .update(readFileSync(path))
      .update('\0')
  return { directory, units: paths.filter((path) => path.endsWith('.c')), hash: hash.digest('hex') }
}
