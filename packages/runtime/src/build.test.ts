// The committed WebAssembly is the build of the sources beside it, and the whole runtime stays small.

import { readdirSync, readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { coreWasmBase64 } from './generated/core-wasm.ts'
import { buildWasm, findClang } from './tools/build-core.ts'

const clang = findClang()

test.skipIf(clang !== 'clang-19')('the committed core is what clang-19 makes of core/ (skipped without clang-19 and wasm-ld)', () => {
  expect(Buffer.from(buildWasm(clang as string)).toString('base64') === coreWasmBase64, 'run `npm run build:core` and commit').toBe(true)
})

test('the core is one module that imports nothing', () => {
  const module = new WebAssembly.Module(Buffer.from(coreWasmBase64, 'base64'))
  expect(WebAssembly.Module.imports(module)).toEqual([])
})

test('the runtime is below 60 KB gzipped', () => {
  const folder = new URL('./', import.meta.url)
  const sources = readdirSync(folder).filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
  const text = [...sources, 'generated/core-wasm.ts'].map((name) => readFileSync(new URL(name, folder), 'utf8')).join('\n')
  expect(gzipSync(text).length).toBeLessThan(60 * 1024)
})
