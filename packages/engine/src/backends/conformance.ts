// The suite every backend has to pass: it runs the tiny program language of conformance.c and knows nothing of how a backend works.
import { execFileSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { type Backend, BackendError } from './backend.ts'

// The commands of conformance.c, four words each.
const writeThreads = (at: number) => [1, at, 0, 0]
const sum = (from: number, count: number, to: number) => [2, from, count, to]
const barriers = (rounds: number, at: number) => [3, rounds, at, 0]
const refuseOne = (thread: number) => [4, thread, 0, 0]
const program = (...commands: number[][]) => Int32Array.from(commands.flat())

/**
 * `open` gives a fresh backend on the conformance program; `module` and `opener` name the same thing as source text, for a process
 * of its own: `opener` is an expression over the imported `module`'s exports, with `threads` in scope.
 */
export function describeBackend(open: (threads: number) => Promise<Backend>, module: URL, opener: string): void {
  const using = async (threads: number, use: (backend: Backend) => void) => {
    const backend = await open(threads)
    try {
      use(backend)
    } finally {
      backend.close()
    }
  }
  const inItsOwnProcess = (body: string) => {
    const script = `
      const module = await import(${JSON.stringify(module.href)})
      const threads = 3
      const backend = await (${opener})
      ${body}`
    return execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8', timeout: 60_000, stdio: 'pipe' })
  }

  test.each([1, 2, 3, 5, 64])('every one of %i threads runs every command', async (threads) => {
    await using(threads, (backend) => {
      expect(backend.threads).toBe(threads)
      for (let run = 1; run <= 3; run++) {
        backend.heap.fill(0, 0, 400)
        backend.run(program(writeThreads(0), sum(0, 64, 200), writeThreads(100)))
        const expected = Array.from({ length: 64 }, (_, i) => (i < threads ? i + 1 : 0))
        expect([...backend.heap.subarray(0, 64)]).toEqual(expected)
        expect([...backend.heap.subarray(100, 164)]).toEqual(expected)
        expect(backend.heap[64]).toBe(threads)
        expect(backend.heap[200]).toBe((threads * (threads + 1)) / 2)
      }
    })
  })

  // Two barriers a round. With more threads than cores a barrier costs a sleep, so those get fewer rounds.
  test.each([
    [1, 50_000],
    [2, 50_000],
    [3, 10_000],
    [5, 5_000],
  ])('no barrier lets one of %i threads pass early in %i rounds', async (threads, rounds) => {
    await using(threads, (backend) => {
      backend.run(program(barriers(rounds, 7)))
      expect(backend.heap[7]).toBe(rounds)
    })
  })

  test('many short programs in a row each run once on all threads', async () => {
    await using(3, (backend) => {
      for (let i = 0; i < 3000; i++) {
        backend.heap.fill(-1, 0, 3)
        backend.run(program(writeThreads(0)))
        expect(backend.heap[0] + backend.heap[1] + backend.heap[2]).toBe(6)
      }
    })
  })

  test('a growing heap keeps what was in it and adds zeros, also where programs lay', async () => {
    await using(2, (backend) => {
      let size = backend.heap.length
      for (let i = 0; i < size; i++) backend.heapInt[i] = i
      for (const bytes of [100_000, 5_000_000, 50_000_001]) {
        backend.run(program(...Array.from({ length: 500 }, () => sum(0, 0, 0))))
        backend.heapInt[0] = 0
        backend.ensure(bytes)
        expect(backend.heap.byteLength).toBeGreaterThanOrEqual(bytes)
        expect(backend.heapInt.length).toBe(backend.heap.length)
        expect(backend.heapInt[size - 1]).toBe(size - 1)
        expect(backend.heapInt.subarray(size).every((value) => value === 0)).toBe(true)
        expect(backend.heapInt.subarray(0, size).every((value, i) => value === i)).toBe(true)
        for (let i = size; i < backend.heap.length; i++) backend.heapInt[i] = i
        size = backend.heap.length
      }
      const length = backend.heap.length
      backend.ensure(4)
      expect(backend.heap.length).toBe(length)
      backend.heap.fill(1)
      backend.run(program(sum(size - 1000, 999, size - 1)))
      expect(backend.heap[size - 1]).toBe(999)
    })
  })

  test('floats and integers are the same memory, aligned for vectors', async () => {
    await using(1, (backend) => {
      backend.heap[3] = 1
      expect(backend.heapInt[3]).toBe(0x3f800000)
      expect(backend.heap.byteOffset % 64).toBe(0)
    })
  })

  test('a heap larger than the machine is refused with both sizes', async () => {
    await using(1, (backend) => {
      const before = backend.heap.length
      expect(() => backend.ensure(2 ** 43)).toThrow(/8192\.0 GiB of .* needed and .* GiB are there/)
      expect(() => backend.ensure(2 ** 43)).toThrow(BackendError)
      expect(backend.heap.length).toBe(before)
      backend.run(program(writeThreads(0)))
      expect(backend.heap[0]).toBe(1)
    })
  })

  test('a refused command is named, by one thread or by all, and the backend stays usable', async () => {
    await using(3, (backend) => {
      const unknown = program(writeThreads(0), [99, 0, 0, 0], writeThreads(0))
      expect(() => backend.run(unknown)).toThrow(/command at word 4 of 12 was refused \(opcode 99\)/)
      for (const thread of [0, 1, 2]) {
        expect(() => backend.run(program(refuseOne(thread), barriers(3, 500)))).toThrow(/word 0 of 8 .*\(opcode 4\)/)
        backend.heap.fill(0, 0, 600)
        backend.run(program(writeThreads(0), barriers(10, 500)))
        expect([...backend.heap.subarray(0, 4)]).toEqual([1, 2, 3, 0])
        expect(backend.heap[500]).toBe(10)
      }
    })
  })

  test('an empty program is a program', async () => {
    await using(2, (backend) => backend.run(new Int32Array(0)))
  })

  test('backends live side by side, each with its own heap', async () => {
    await using(2, () => {})
    const first = await open(2)
    const second = await open(3)
    first.run(program(writeThreads(0)))
    expect(second.heap[0]).toBe(0)
    second.run(program(writeThreads(8)))
    first.close()
    second.run(program(writeThreads(0)))
    expect([...second.heap.subarray(0, 12)]).toEqual([1, 2, 3, 0, 0, 0, 0, 0, 1, 2, 3, 0])
    second.close()
  })

  test('after close nothing runs, and closing twice is fine', async () => {
    const backend = await open(2)
    const view = backend.heap
    backend.close()
    backend.close()
    expect(() => backend.run(program(writeThreads(0)))).toThrow(/after close/)
    view[0] = 5 // whoever still holds a view must not crash the process
  })

  test.each([0, -1, 1.5, 65, Number.NaN])('%d threads are refused', async (threads) => {
    await expect(open(threads)).rejects.toThrow(/whole number from 1 to 64/)
  })

  describe('in a process of its own', () => {
    test('the process ends by itself with the backend open, after a run', () => {
      expect(inItsOwnProcess(`backend.run(Int32Array.of(1, 0, 0, 0)); console.log(backend.heap[2])`)).toBe('3\n')
    })
    test('the process ends by itself without a run, and after close', () => {
      expect(inItsOwnProcess(`console.log('opened')`)).toBe('opened\n')
      expect(inItsOwnProcess(`backend.run(Int32Array.of(1, 0, 0, 0)); backend.close(); console.log('closed')`)).toBe('closed\n')
    })
    test('process.exit ends it at once', () => {
      expect(inItsOwnProcess(`backend.run(Int32Array.of(1, 0, 0, 0)); console.log('bye'); process.exit(0)`)).toBe('bye\n')
    })
    test.skipIf(process.platform !== 'linux')('an open backend that waits for work sleeps (needs /proc)', () => {
      // Ends when every thread but this one sleeps; a worker that spins on keeps it going until the test fails.
      inItsOwnProcess(`
        const { readdirSync, readFileSync } = await import('node:fs')
        const asleep = (id) => / S [^)]*$/.test(readFileSync('/proc/self/task/' + id + '/stat', 'latin1'))
        backend.run(Int32Array.of(1, 0, 0, 0))
        const others = () => readdirSync('/proc/self/task').filter((id) => id !== String(process.pid))
        while (!others().every(asleep)) await new Promise(setImmediate)`)
    })
  })
}
