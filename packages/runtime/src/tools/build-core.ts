// Builds core/ with the compilers of this machine: WebAssembly with clang >= 16 (`npm run build:core` commits the result as
// generated/core-wasm.ts), and a host program with cc for the tests. Plain SIMD128, no relaxed SIMD: relaxed results differ by machine.

import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const coreDirectory = fileURLToPath(new URL('../../../../core/', import.meta.url))
const sources = [
  'log2_table.c',
  'sine_table.c',
  'open.c',
  'run.c',
  'scores.c',
  'stream.c',
  'stream_plan.c',
  'layer.c',
  'attend.c',
  'prepare.c',
  'prepared.c',
  'prepared_attend.c',
  'rounding.c',
  'front_end.c',
  'front_end_clip.c',
  'front_end_tables.c',
]
/** What runs once for each model, or not at all where vectors do the work: on web pages its size counts for more than its speed. */
const rare = new Set(['open.c', 'stream_plan.c', 'prepare.c', 'attend.c'])
/** Kernels of microcontrollers, empty elsewhere. */
const kernels = ['dsp_attend', 'dsp_dense', 'dsp_depthwise', 'made', 'mve_dense', 'mve_depthwise', 'mve_halves', 'swar'].map(
  (name) => `cortex_${name}.c`,
)
const warnings = ['-Wall', '-Wextra', '-Werror']

/** The newest usable clang that targets wasm32 and has its linker, e.g. 'clang-19'; undefined where there is none. */
export function findClang(): string | undefined {
  return ['clang-21', 'clang-20', 'clang-19', 'clang-18', 'clang-17', 'clang-16', 'clang'].find((clang) => {
    const targets = spawnSync(clang, ['--print-targets'], { encoding: 'utf8' })
    if (targets.status !== 0 || !targets.stdout.includes('wasm32')) return false
    const linker = spawnSync(clang, ['--print-prog-name=wasm-ld'], { encoding: 'utf8' }).stdout.trim()
    return spawnSync(linker, ['--version']).status === 0
  })
}

/** Whether `cc` compiles and runs here. */
export function hasHostCompiler(): boolean {
  return spawnSync('cc', ['--version']).status === 0
}

/** Whether `cc` also links the address and undefined-behaviour sanitizers. */
export function hasSanitizers(): boolean {
  const options = ['-fsanitize=address,undefined', '-x', 'c', '-', '-o', '/dev/null']
  return spawnSync('cc', options, { input: 'int main(void) { return 0; }' }).status === 0
}

/** The WebAssembly module of core/. */
export function buildWasm(clang: string): Uint8Array {
  const directory = mkdtempSync(join(tmpdir(), 'bitwright-core-'))
  try {
    const output = join(directory, 'core.wasm')
    const language = ['--target=wasm32', '-std=c99', '-ffreestanding', '-fbuiltin', '-nostdlib', '-ffp-contract=off']
    const features = ['-msimd128', '-mbulk-memory', '-fvisibility=hidden', '-isystem', 'wasm']
    const linking = ['--no-entry', '--stack-first', '-zstack-size=65536', '--strip-all', '--export-memory'].map((flag) => `-Wl,${flag}`)
    const run = (args: readonly string[]) => execFileSync(clang, [...args], { cwd: coreDirectory, stdio: ['ignore', 'inherit', 'inherit'] })
    const objects = [...sources, 'wasm/exports.c'].map((source) => {
      const object = join(directory, `${basename(source)}.o`)
      run([...language, ...features, ...warnings, rare.has(source) ? '-Oz' : '-O3', '-c', source, '-o', object])
      return object
    })
    run([...language, ...linking, ...objects, '-o', output])
    return new Uint8Array(readFileSync(output))
  } finally {
    rmSync(directory, { recursive: true })
  }
}

export interface HostOptions {
  readonly sanitize: boolean
  /** For this very processor, with whatever vectors it has. */
  readonly native?: boolean
  /** With a microcontroller's kernels, their instructions written in C. */
  readonly cortex?: 'dsp' | 'swar'
}

/** Compiles the batch program core/host.c to `output`. */
export function buildHost(output: string, options: HostOptions): void {
  const flags = options.sanitize ? ['-O1', '-g', '-fsanitize=address,undefined', '-fno-sanitize-recover=all'] : ['-O2']
  const all = [
    '-std=c99',
    '-pedantic',
    ...warnings,
    '-ffp-contract=off',
    ...flags,
    ...(options.native ? ['-march=native'] : []),
    ...(options.cortex ? [`-DBW_CORTEX_${options.cortex.toUpperCase()}`] : []),
    ...sources,
    ...kernels,
    'host.c',
    '-o',
    output,
  ]
  execFileSync('cc', all, { cwd: coreDirectory, stdio: ['ignore', 'inherit', 'inherit'] })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const clang = findClang()
  if (!clang) {
    console.error('build:core: no clang with wasm32 and wasm-ld found: install clang-19 and lld-19')
    process.exit(1)
  }
  const wasm = buildWasm(clang)
  const target = fileURLToPath(new URL('../generated/core-wasm.ts', import.meta.url))
  const header = '// Made by `npm run build:core` from core/; do not edit.\n\n'
  const text = Buffer.from(wasm).toString('base64')
  writeFileSync(`${target}.new`, `${header}export const coreWasmBase64 =\n  '${text}'\n`)
  renameSync(`${target}.new`, target)
  console.log(`core-wasm.ts: ${wasm.length} bytes of WebAssembly, built with ${clang}`)
}
