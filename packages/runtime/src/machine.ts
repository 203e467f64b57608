// Who uses a core's memory. One instance serves every model and one every stream and front end: memory is given to whoever runs, and its
// owner puts its image there again when another had it in between. (An instance per model would reserve gigabytes of address space each.)

import type { Core } from './core.ts'
import { refusal, type BadModelError } from './errors.ts'
import { createWasmCore } from './wasm-core.ts'

/** What weights that are laid out want: a cache line. */
const alignment = 64

/** An instance of the core with memory handed out from the bottom up. */
export class Machine {
  readonly core: Core
  /** Who laid out the memory last. */
  owner: object | undefined
  private top = 0

  constructor(core: Core) {
    this.core = core
  }

  /** Forgets everything that was laid out. */
  reset(): void {
    this.owner = undefined
    this.top = 0
    this.take(this.core.heap())
  }

  /** Address of so many free bytes, aligned. */
  take(bytes: number): number {
    const at = this.top
    this.top = Math.ceil((at + bytes) / alignment) * alignment
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

  /**
   * Puts an image in and has the core check it.
   * @throws BadModelError where it refuses
   */
  open(image: Uint8Array, file: string, label?: (place: 'tensor' | 'layer', index: number) => string): void {
    this.reset()
    const at = this.take(image.length)
    new Uint8Array(this.core.memory.buffer).set(image, at)
    const status = this.core.open(at, image.length)
    if (status !== 0) throw refusal(file, status, this.core.fault(), label) satisfies BadModelError
  }
}

/** The machines of one build of the core. */
export class Machines {
  readonly home: 'wasm' | 'native'
  private readonly createCore: () => Core
  private clipMachine: Machine | undefined
  private streamMachine: Machine | undefined

  constructor(home: 'wasm' | 'native', createCore: () => Core) {
    this.home = home
    this.createCore = createCore
  }

  /** The machine of all models that run clip by clip. */
  get clips(): Machine {
    return (this.clipMachine ??= new Machine(this.createCore()))
  }

  /** The machine of all streams: when another one comes to run, its memory is put in and the former's kept aside. */
  get streams(): Machine {
    return (this.streamMachine ??= new Machine(this.createCore()))
  }
}

export const webAssembly = new Machines('wasm', createWasmCore)

/** @throws BadModelError where the core refuses the image */
export function checkImage(image: Uint8Array, file: string, label?: (place: 'tensor' | 'layer', index: number) => string): void {
  webAssembly.clips.open(image, file, label)
}
