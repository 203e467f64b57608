// The core as WebAssembly: runs everywhere, compiled beforehand.

import type { Core } from './core.ts'
import { coreWasmBase64 } from './generated/core-wasm.ts'

let compiled: WebAssembly.Module | undefined

export function createWasmCore(): Core {
  compiled ??= new WebAssembly.Module(Uint8Array.from(atob(coreWasmBase64), (character) => character.charCodeAt(0)))
  return new WebAssembly.Instance(compiled, {}).exports as unknown as Core
}
