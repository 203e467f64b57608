// The conformance suite on the native backend, and what is its own: the compiler, the cache, and the way out without either.
import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { execFileSync, spawn } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { compilerName } from '@bitwright/runtime/compile'
import { compileLibrary } from './compiler.ts'
import { describeBackend } from './conformance.ts'
import { openNative } from './native.ts'
import { openBackend } from './open.ts'
import { readSources } from './sources.ts'

function hasCompiler(): boolean {
  return ['cc', 'gcc', 'clang'].some((name) => {
    try {
      execFileSync(name, ['--version'], { stdio: 'ignore' })
      return true
    } catch {
      return false
    }
  })
}

const stub = join(import.meta.dirname, 'conformance.c')
const sources = readSources('native', stub)
let cache: string

describe.skipIf(!hasCompiler())('native backend (skipped where there is no C compiler)', () => {
  beforeAll(() => {
    cache = mkdtempSync(join(tmpdir(), 'bitwright-cache-'))
    vi.stubEnv('XDG_CACHE_HOME', cache)
  })
  afterEach(() => {
    vi.unstubAllEnvs()
    vi.stubEnv('XDG_CACHE_HOME', cache)
  })
  afterAll(() => {
    vi.unstubAllEnvs()
    rmSync(cache, { recursive: true, force: true })
  })

  describeBackend(
    (threads) => openNative(sources, threads, () => {}),
    new URL('./native.ts', import.meta.url),
    `module.openNative((await import(${JSON.stringify(new URL('./sources.ts', import.meta.url).href)})).readSources('native', ${JSON.stringify(stub)}), threads, () => {})`,
  )

  test('the library is compiled once, and said so once', async () => {
    vi.stubEnv('XDG_CACHE_HOME', mkdtempSync(join(cache, 'once-')))
    const notices: string[] = []
    const first = await compileLibrary(sources, (line) => notices.push(line))
    const { mtimeMs, ino } = statSync(first.path)
    const second = await compileLibrary(sources, (line) => notices.push(line))
    expect(second).toEqual(first)
    expect(statSync(second.path)).toMatchObject({ mtimeMs, ino })
    expect(notices).toEqual([expect.stringMatching(/^compiling the kernels .* \(once\)$/)])
  })

  test('changed sources get a library of their own', async () => {
    vi.stubEnv('XDG_CACHE_HOME', mkdtempSync(join(cache, 'changed-')))
    const one = await compileLibrary(sources, () => {})
    const other = await compileLibrary({ ...sources, hash: 'other' }, () => {})
    expect(other.path).not.toBe(one.path)
  })

  test('processes that compile at the same time all get a working library and leave nothing else behind', async () => {
    const directory = mkdtempSync(join(cache, 'race-'))
    const script = `
      const { openNative } = await import(${JSON.stringify(new URL('./native.ts', import.meta.url).href)})
      const { readSources } = await import(${JSON.stringify(new URL('./sources.ts', import.meta.url).href)})
      const backend = await openNative(readSources('native', ${JSON.stringify(stub)}), 2, () => {})
      backend.run(Int32Array.of(1, 0, 0, 0))
      console.log(backend.heap[1])`
    const outputs = await Promise.all(
      [0, 1, 2].map(
        () =>
          new Promise<string>((resolve) => {
            const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
              env: { ...process.env, XDG_CACHE_HOME: directory },
            })
            let output = ''
            child.stdout.on('data', (data) => (output += data))
            child.stderr.on('data', (data) => (output += data))
            child.on('close', () => resolve(output))
          }),
      ),
    )
    expect(outputs).toEqual(['2\n', '2\n', '2\n'])
    expect(readdirSync(join(directory, 'bitwright'))).toEqual([expect.stringMatching(/^kernels-[0-9a-f]{32}\.so$/)])
  })

  test('a source that does not compile is reported by its first error line, and nothing is kept', async () => {
    const directory = mkdtempSync(join(cache, 'broken-'))
    vi.stubEnv('XDG_CACHE_HOME', directory)
    const unit = join(directory, 'broken.c')
    writeFileSync(unit, 'int fine;\nint broken = nonsense;\nint broken2 = more;\n')
    const broken = { directory, units: [unit], hash: 'broken' }
    await expect(openNative(broken, 1, () => {})).rejects.toThrow(/the C compiler failed: .*broken\.c:2.*error.*nonsense/)
    expect(readdirSync(join(directory, 'bitwright'))).toEqual([])
  })

  test('a library that does not load is a clear error', async () => {
    const directory = mkdtempSync(join(cache, 'unloadable-'))
    vi.stubEnv('XDG_CACHE_HOME', directory)
    const unit = join(directory, 'empty.c')
    writeFileSync(unit, 'int nothing_to_see;\n')
    await expect(openNative({ directory, units: [unit], hash: 'empty' }, 1, () => {})).rejects.toThrow(
      /compiled kernels cannot be loaded: .*bw_open/,
    )
  })

  test('$CC decides, with its arguments, and is named when it does not run', async () => {
    const directory = mkdtempSync(join(cache, 'cc-'))
    vi.stubEnv('XDG_CACHE_HOME', directory)
    const wrapper = join(directory, 'my-cc')
    writeFileSync(
      wrapper,
      `#!/bin/sh\n[ "$1" = --via ] || exit 1\nshift\n[ "$1" = --version ] && { echo "my-cc 7.5.1"; exit 0; }\nexec cc "$@"\n`,
    )
    chmodSync(wrapper, 0o755)
    vi.stubEnv('CC', `${wrapper} --via`)
    expect((await compileLibrary(sources, () => {})).compiler).toBe('my-cc 7.5')
    vi.stubEnv('CC', '/nowhere/cc')
    await expect(openBackend({ backend: 'native', threads: 1 })).rejects.toThrow(/\$CC \(\/nowhere\/cc\) does not run/)
  })
})

test('without a compiler, auto says so in one line and takes wasm; native is refused', async () => {
  vi.stubEnv('CC', '')
  vi.stubEnv('PATH', '/nowhere')
  try {
    await expect(openBackend({ backend: 'native', threads: 1 })).rejects.toThrow(/no C compiler found .* set CC/)
    const notices: string[] = []
    const backend = await openBackend({ threads: 1, onNotice: (line) => notices.push(line) })
    expect(backend.name).toBe('wasm')
    backend.close()
    expect(notices).toEqual([expect.stringMatching(/^no C compiler found .*WebAssembly/)])
  } finally {
    vi.unstubAllEnvs()
  }
})

test.each([
  ['gcc (Debian 12.2.0-14+deb12u1) 12.2.0\nCopyright (C) 2022 Free Software Foundation, Inc.', 'cc', 'gcc 12.2'],
  ['Debian clang version 19.1.7 (3~deb12u1)\nTarget: x86_64', 'cc', 'clang 19.1'],
  ['Apple clang version 15.0.0 (clang-1500.3.9.4)', 'cc', 'clang 15.0'],
  ['mystery', '/opt/bin/tcc', 'tcc'],
])('the compiler that prints %j is %s, told as %s', (version, command, name) => {
  expect(compilerName(version, command)).toBe(name)
})
