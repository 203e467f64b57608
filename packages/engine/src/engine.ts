// The engine: a backend, the layout of its heap, and the few numbers every program needs.
import type { Backend } from './backends/backend.ts'
import { command } from './commands.ts'

/** Everything starts at multiples of this many floats (a cache line). */
const alignment = 16
export function align(count: number, to = alignment): number {
  return Math.ceil(count / to) * to
}

interface Block {
  offset: number
  size: number
}

/** Hands out ranges of the heap, first fit, neighbours joined on release. Sizes and offsets in floats. */
export class Heap {
  private readonly backend: Backend
  private readonly used = new Map<number, number>()
  private free: Block[] = []
  private top = alignment

  constructor(backend: Backend) {
    this.backend = backend
  }

  allocate(count: number): number {
    const size = Math.max(align(count), alignment)
    const at = this.free.findIndex((block) => block.size >= size)
    let offset: number
    if (at >= 0) {
      const block = this.free[at]
      offset = block.offset
      if (block.size === size) this.free.splice(at, 1)
      else this.free[at] = { offset: block.offset + size, size: block.size - size }
    } else {
      offset = this.top
      this.top += size
      // one cache line more than is used: kernels may read a vector past the end of a row
      this.backend.ensure((this.top + alignment) * 4)
    }
    this.used.set(offset, size)
    return offset
  }

  release(offset: number): void {
    const size = this.used.get(offset)
    if (size === undefined) throw new Error(`heap: ${offset} was not allocated`)
    this.used.delete(offset)
    let low = 0
    while (low < this.free.length && this.free[low].offset < offset) low++
    this.free.splice(low, 0, { offset, size })
    for (let i = Math.min(low + 1, this.free.length - 1); i > 0 && i >= low; i--) {
      const before = this.free[i - 1]
      if (before.offset + before.size === this.free[i].offset) {
        before.size += this.free[i].size
        this.free.splice(i, 1)
      }
    }
    const last = this.free.at(-1)
    if (last && last.offset + last.size === this.top) {
      this.top = last.offset
      this.free.pop()
    }
  }

  /** Bytes up to the highest float in use. */
  get bytes(): number {
    return this.top * 4
  }
}

export interface EngineOptions {
  /** Parts a batch is cut into for reductions. Fixed whatever the number of threads, so that results do not depend on it. */
  readonly chunks?: number
}

export class Engine {
  readonly backend: Backend
  readonly heap: Heap
  readonly chunks: number
  /** Floats per vector of this backend: channel strides are multiples of it. */
  readonly lanes: number

  constructor(backend: Backend, options: EngineOptions = {}) {
    this.backend = backend
    this.heap = new Heap(backend)
    this.chunks = options.chunks ?? 8
    const slot = this.heap.allocate(1)
    const words = [slot, 0]
    command(words, 'lanes', [slot])
    backend.run(Int32Array.from(words))
    this.lanes = backend.heap[slot]
    this.heap.release(slot)
  }

  /** A view of `count` floats; take it anew after anything was allocated. */
  floats(offset: number, count: number): Float32Array {
    return this.backend.heap.subarray(offset, offset + count)
  }

  integers(offset: number, count: number): Int32Array {
    return this.backend.heapInt.subarray(offset, offset + count)
  }

  padded(channels: number): number {
    return align(channels, this.lanes)
  }
}
