// The heap's allocator: ranges never overlap, neighbours are joined, and nothing is left behind.
import { describe, expect, test } from 'vitest'
import type { Backend } from './backends/backend.ts'
import { align, Heap } from './engine.ts'
import { Random } from './random.ts'

/** A backend that only counts bytes. */
function counter(): { backend: Backend; ensured: () => number } {
  let ensured = 0
  return { backend: { ensure: (bytes: number) => (ensured = Math.max(ensured, bytes)) } as unknown as Backend, ensured: () => ensured }
}

test('align rounds up to whole cache lines, or to what is asked', () => {
  expect([0, 1, 16, 17].map((count) => align(count))).toEqual([0, 16, 16, 32])
  expect([3, 8, 9].map((count) => align(count, 8))).toEqual([8, 8, 16])
})

describe('Heap', () => {
  test.each(Array.from({ length: 20 }, (_, i) => i))('random allocations and releases, seed %i', (seed) => {
    const { backend, ensured } = counter()
    const heap = new Heap(backend)
    const random = new Random(seed, 'heap')
    const live: { offset: number; size: number }[] = []
    for (let i = 0; i < 400; i++) {
      if (live.length && random.integer(9) < 4 + (i > 300 ? 3 : 0)) {
        const [block] = live.splice(random.integer(live.length), 1)
        heap.release(block.offset)
      } else {
        const size = random.integer(random.integer(3) ? 100 : 3000)
        const offset = heap.allocate(size)
        expect(offset % 16).toBe(0)
        expect(offset).toBeGreaterThan(0)
        const end = offset + Math.max(size, 1)
        expect(live.find((block) => offset < block.offset + Math.max(block.size, 1) && block.offset < end)).toBeUndefined()
        expect(ensured()).toBeGreaterThanOrEqual((end + 16) * 4)
        live.push({ offset, size })
      }
      const highest = Math.max(16, ...live.map(({ offset, size }) => offset + align(Math.max(size, 1))))
      expect(heap.bytes).toBe(highest * 4)
    }
    for (const { offset } of live) heap.release(offset)
    expect(heap.bytes).toBe(64)
  })

  test.each([
    ['forwards', [0, 1, 2]],
    ['backwards', [2, 1, 0]],
    ['the middle last', [0, 2, 1]],
    ['the middle first', [1, 0, 2]],
  ])('three neighbours released %s make room for one of their sum', (_, order) => {
    const heap = new Heap(counter().backend)
    const blocks = [40, 100, 16].map((size) => heap.allocate(size))
    const last = heap.allocate(1)
    for (const i of order) heap.release(blocks[i])
    expect(heap.allocate(48 + 112 + 16)).toBe(blocks[0])
    expect(heap.allocate(1)).toBeGreaterThan(last)
  })

  test('a smaller block goes into the first gap that holds it', () => {
    const heap = new Heap(counter().backend)
    const [first, , second] = [64, 16, 32, 16].map((size) => heap.allocate(size))
    heap.release(first)
    heap.release(second)
    expect([heap.allocate(32), heap.allocate(32), heap.allocate(32)]).toEqual([first, first + 32, second])
  })

  test('what was not allocated, or is released already, is refused', () => {
    const heap = new Heap(counter().backend)
    const offset = heap.allocate(10)
    expect(() => heap.release(offset + 16)).toThrow(/was not allocated/)
    heap.release(offset)
    expect(() => heap.release(offset)).toThrow(/was not allocated/)
  })
})
