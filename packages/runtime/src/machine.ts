// core/ as WebAssembly. One instance serves every model and one every front end: memory is given to whoever runs, and its owner puts
// its image there again when another had it in between. (An instance per model would reserve gigabytes of address space each.)

import { refusal, type BadModelError } from './errors.ts'
import { coreWasmBase64 } from './generated/core-wasm.ts'

interface Core {
  readonly memory: WebAssembly.Memory
  heap(): number
  open(image: number, length: number): number
  fault(): number
  preparedBytes(): number
  prepare(memory: number): void
  frontEndValid(config: number): number
  frontEndBytes(config: number): number
  frontEndPrepare(config: number, memory: number): void
  features(pcm: number, frames: number, hop: number, coefficients: number, to: number): void
  run(arena: number, pcm: number, logits: number): void
  runPixels(arena: number, pixels: number, logits: number): void
  runFeatures(arena: number, features: number, logits: number): void
  softmax16(logits: number, count: number, scale: number, to: number): void
  streamPlanBytes(): number
  streamPlan(plan: number): number
  streamStateBytes(): number
  streamHopSamples(): number
  streamFirstSamples(): number
  streamOpen(state: number): void
  streamPush(pcm: number, count: number, logits: number): number
  streamReady(): number
}

let compiled: WebAssembly.Module | undefined

/** An instance of the core with memory handed out from the bottom up. */
export class Machine {
  readonly core: Core
  /** Who laid out the memory last. */
  owner: object | undefined
  private top = 0

  constructor() {
    compiled ??= new WebAssembly.Module(Uint8Array.from(atob(coreWasmBase64), (character) => character.charCodeAt(0)))
    this.core = new WebAssembly.Instance(compiled, {}).exports as unknown as Core
  }

  /** Forgets everything that was laid out. */
  reset(): void {
    this.owner = undefined
    this.top = this.core.heap()
  }

  /** Address of so many free bytes, 16-byte aligned. */
  take(bytes: number): number {
    const at = this.top
    this.top = Math.ceil((at + bytes) / 16) * 16
    const missing = this.top - this.core.memory.buffer.byteLength
    if (missing > 0) this.core.memory.grow(Math.ceil(missing / 65536))
    return at
  }

  /** Address of so many bytes until the next call. */
  borrow(bytes: number): number {
    if (this.top === 0) this.reset()
    const { top } = this
    this.take(bytes)
    this.top = top
    return top
  }

  /** Everything that was laid out and the core's own variables, to be put back later. */
  save(): Uint8Array {
    return new Uint8Array(this.core.memory.buffer, 0, this.top).slice()
  }

  restore(saved: Uint8Array): void {
    this.reset()
    this.take(saved.length - this.top)
    new Uint8Array(this.core.memory.buffer).set(saved)
  }

  /** Puts an image in and has the core check it; returns the status and the tensor or layer at fault. */
  open(image: Uint8Array): { status: number; fault: number } {
    this.reset()
    const at = this.take(image.length)
    new Uint8Array(this.core.memory.buffer).set(image, at)
    return { status: this.core.open(at, image.length), fault: this.core.fault() }
  }
}

let shared: Machine | undefined

/** The instance that runs models. */
export function inferenceMachine(): Machine {
  return (shared ??= new Machine())
}

/** @throws BadModelError where the core refuses the image */
export function checkImage(image: Uint8Array, file: string, label?: (place: 'tensor' | 'layer', index: number) => string): void {
  const { status, fault } = inferenceMachine().open(image)
  if (status !== 0) throw refusal(file, status, fault, label) satisfies BadModelError
}
