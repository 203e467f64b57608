// What is committed under generated/ is the build of the sources beside it, and the whole runtime stays small.

import { readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { coreWasmBase64 } from './generated/core-wasm.ts'
import { encodeModel, load } from './index.ts'
import { randomModel, seededDraw } from './testing/random-model.ts'
import { buildBrowser } from './tools/build-browser.ts'
import { buildWasm, findClang } from './tools/build-core.ts'

const clang = findClang()
const bundle = readFileSync(new URL('generated/runtime.js', import.meta.url), 'utf8')

test.skipIf(clang !== 'clang-19')('the committed core is what clang-19 makes of core/ (skipped without clang-19 and wasm-ld)', () => {
  expect(Buffer.from(buildWasm(clang as string)).toString('base64') === coreWasmBase64, 'run `npm run build:core` and commit').toBe(true)
})

test('the core is one module that imports nothing', () => {
  const module = new WebAssembly.Module(Buffer.from(coreWasmBase64, 'base64'))
  expect(WebAssembly.Module.imports(module)).toEqual([])
})

test('the committed bundle is what its sources give', async () => {
  expect((await buildBrowser()) === bundle, 'run `npm run build:browser` and commit').toBe(true)
})

test('the bundle, WebAssembly, worker and worklet included, is below 60 KB gzipped', () => {
  expect(gzipSync(bundle).length).toBeLessThan(60_000)
})

test('the bundle imports nothing and answers as the sources do', async () => {
  expect(bundle).not.toMatch(/^import |\bimport\(|\brequire\(/m)
  const { load: loadBundled, workletSource } = await import('./generated/runtime.js')
  expect(workletSource()).toContain('registerProcessor')
  for (let seed = 0; seed < 20; seed++) {
    const draw = seededDraw(seed)
    const file = encodeModel(randomModel(draw))
    const { frontEnd } = load(file)
    const input =
      frontEnd.kind === 'image'
        ? Uint8Array.from({ length: frontEnd.height * frontEnd.width * frontEnd.channels }, () => draw(256))
        : Int16Array.from({ length: frontEnd.samples }, () => draw(65536) - 32768)
    expect(loadBundled(file).run(input)).toEqual(load(file).run(input))
  }
})
