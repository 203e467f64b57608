// The conformance suite on the WebAssembly backend, and what is its own: traps, variants, and that the committed modules are current.
import { describe, expect, test } from 'vitest'
import { kernels as conformance, sourceHash as conformanceHash } from '../generated/conformance.ts'
import { kernels as plain, sourceHash as plainHash } from '../generated/kernels-plain.ts'
import { kernels as relaxed, sourceHash as relaxedHash } from '../generated/kernels-relaxed.ts'
import { describeBackend } from './conformance.ts'
import { openBackend } from './open.ts'
import { readSources } from './sources.ts'
import { openWasm } from './wasm.ts'

const modules = { relaxed: conformance, plain: conformance }

describe('wasm backend', () => {
  describeBackend(
    (threads) => openWasm(modules, threads, 2),
    new URL('./wasm.ts', import.meta.url),
    `(async () => {
      const { kernels } = await import(${JSON.stringify(new URL('../generated/conformance.ts', import.meta.url).href)})
      return module.openWasm({ relaxed: kernels, plain: kernels }, threads, 2)
    })()`,
  )

  test.each([0, 1, 2])('a trap in thread %i of 3 is an error, not a hang, and the backend stays usable', async (thread) => {
    const backend = await openWasm(modules, 3, 2)
    for (let round = 0; round < 3; round++) {
      expect(() => backend.run(Int32Array.of(5, thread, 0, 0, 3, 10, 500, 0))).toThrow(/wasm backend: .*status -1/)
      backend.heap.fill(0, 0, 4)
      backend.run(Int32Array.of(1, 0, 0, 0))
      expect([...backend.heap.subarray(0, 4)]).toEqual([1, 2, 3, 0])
    }
    backend.close()
  })

  test('plain SIMD serves where the relaxed variant is not understood, and says so', async () => {
    const nothing = Buffer.from('not wasm').toString('base64')
    const backend = await openWasm({ relaxed: nothing, plain: conformance }, 1, 2)
    expect(backend.description).toBe('wasm (plain SIMD, 1 thread)')
    backend.close()
    await expect(openWasm({ relaxed: nothing, plain: nothing }, 1, 2)).rejects.toThrow(/does not run WebAssembly with SIMD and threads/)
  })

  test('the heap reaches beyond 2 GiB', async () => {
    const backend = await openWasm(modules, 1, 2)
    backend.ensure(2.5 * 2 ** 30)
    const last = backend.heap.length - 1
    backend.heap[last - 1] = 3
    backend.heap[last - 2] = 4
    backend.run(Int32Array.of(2, last - 2, 2, last))
    expect(backend.heap[last]).toBe(7)
    backend.close()
  })
})

describe('the committed kernels', () => {
  test('are built from the current sources (npm run build:kernels renews them)', () => {
    const { hash } = readSources('wasm')
    expect(relaxedHash).toBe(hash)
    expect(plainHash).toBe(hash)
    expect(conformanceHash).toBe(readSources('wasm', new URL('./conformance.c', import.meta.url).pathname).hash)
  })

  test('load in both variants', async () => {
    for (const [variant, kernels] of [
      ['relaxed', relaxed],
      ['plain', plain],
    ]) {
      expect(WebAssembly.validate(Buffer.from(kernels, 'base64')), variant).toBe(true)
    }
    const backend = await openBackend({ backend: 'wasm', threads: 2 })
    expect(backend.description).toBe('wasm (relaxed SIMD, 2 threads)')
    backend.run(new Int32Array(0))
    backend.close()
  })
})
