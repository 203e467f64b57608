// Runs a suite on every backend this machine has, and says which it has not.
import { execFileSync } from 'node:child_process'
import { afterAll, beforeAll, describe } from 'vitest'
import type { Backend } from '../backends/backend.ts'
import { openBackend } from '../backends/open.ts'
import { openWasm } from '../backends/wasm.ts'
import { kernels as plain } from '../generated/kernels-plain.ts'
import { kernels as relaxed } from '../generated/kernels-relaxed.ts'

function hasCompiler(): boolean {
  return [process.env.CC?.trim().split(/\s+/)[0], 'cc', 'gcc', 'clang'].some((name) => {
    if (!name) return false
    try {
      execFileSync(name, ['--version'], { stdio: 'ignore' })
      return true
    } catch {
      return false
    }
  })
}

export interface Variant {
  readonly name: string
  readonly missing: boolean
  readonly open: (threads: number) => Promise<Backend>
}

export const variants: readonly Variant[] = [
  { name: 'native', missing: !hasCompiler(), open: (threads) => openBackend({ backend: 'native', threads }) },
  { name: 'wasm with relaxed SIMD', missing: false, open: (threads) => openWasm({ relaxed, plain }, threads, 2) },
  { name: 'wasm with plain SIMD', missing: false, open: (threads) => openWasm({ relaxed: 'AA==', plain }, threads, 2) },
]

/** Declares the suite once per backend with `threads` threads, on one instance each; `backend()` gives it inside a test. */
export function onEveryBackend(suite: (backend: () => Backend, variant: Variant) => void, threads = 2): void {
  for (const variant of variants) {
    const title = variant.missing ? `${variant.name} (skipped: no C compiler)` : variant.name
    describe.skipIf(variant.missing)(title, () => {
      let backend: Backend
      beforeAll(async () => {
        backend = await variant.open(threads)
      })
      afterAll(() => backend.close())
      suite(() => backend, variant)
    })
  }
}
