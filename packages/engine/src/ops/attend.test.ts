// Attention against the float64 reference: odd numbers of positions and channels, what is pending on its inputs, extreme scores.
import { describe, expect, test } from 'vitest'
import { onEveryBackend } from '../conformance/backends.ts'
import { conforms, same, type Tolerances } from '../conformance/compare.ts'
import { layer, type Program } from '../conformance/program.ts'
import { guardedEngine, readMap } from '../conformance/tape-run.ts'
import { Random } from '../random.ts'
import { Tape } from '../tape.ts'
import { programWork } from '../work.ts'
import { attend } from './attend.ts'

/** [batch, height, width, channels of query and key, channels of value] */
const shapes: [number, number, number, number, number][] = [
  [3, 1, 1, 1, 1],
  [3, 1, 2, 3, 5],
  [5, 7, 1, 1, 8],
  [2, 3, 3, 8, 1],
  [64, 4, 2, 2, 3],
  [1, 6, 4, 5, 17],
  [3, 5, 5, 10, 33],
  [2, 25, 1, 16, 16],
  [3, 7, 7, 4, 24],
  [2, 25, 10, 8, 32],
  [1, 31, 11, 3, 9],
]

/** Each input a layer of its own, so that every kind of gradient is asked for. */
const graphModule =
  (height: number, width: number, depth: number, channels: number): Program =>
  (b) => {
    const x = b.relu(b.batchNorm(b.convolution(b.input('x', height, width, 3), 'c', layer(channels, [1, 1])), 'n'))
    const query = b.bias(b.convolution(x, 'q', layer(depth, [1, 1])), 'q')
    const key = b.fakeQuantize(b.bias(b.convolution(x, 'k', layer(depth, [1, 1])), 'k'), 'k', { step: 0.2, lowest: -8, highest: 7 })
    const value = b.fakeQuantize(b.convolution(x, 'v', layer(channels, [1, 1])), 'v', { step: 0.3, lowest: -4, highest: 3 })
    b.output('y', b.addScaled(x, b.relu(b.attend(query, key, value)), 'gamma'))
  }

/** Scores of ten amplify what float32 loses in their sums. */
const wide: Tolerances = { value: 2e-5, gradient: 2e-4 }

onEveryBackend((backend, variant) => {
  describe.each(shapes)('batch %i, %ix%i, %i > %i', (batch, height, width, depth, channels) => {
    test('alone', () =>
      conforms(
        (b) => {
          const map = (name: string, of: number) => {
            const x = b.input(name, height, width, of, { scale: 0.7 })
            return of === 1 ? b.convolution(x, name, layer(1, [1, 1])) : x
          }
          b.output('y', b.attend(map('q', depth), map('k', depth), map('v', channels)))
        },
        backend(),
        { batch, seed: 1 },
        wide,
      ))
  })

  test.each([
    [3, 3, 2, 2, 8],
    [5, 7, 5, 3, 9],
    [9, 5, 1, 1, 3],
  ])('as the graph module: batch %i, %ix%i, %i > %i', (batch, height, width, depth, channels) =>
    conforms(graphModule(height, width, depth, channels), backend(), { batch, seed: 1 }, { value: 5e-5, gradient: 5e-4 }),
  )

  test('a map that attends to itself, and is read elsewhere', () =>
    conforms(
      (b) => {
        const x = b.batchNorm(b.convolution(b.input('x', 5, 3, 3), 'c', layer(6, [1, 1])), 'n')
        b.output('y', b.attend(b.relu(x), x, b.fakeQuantize(x, 'q', { step: 0.5, lowest: -2, highest: 2 })))
        b.output('z', x)
      },
      backend(),
      { batch: 9, seed: 1 },
      wide,
    ))

  test('inputs that want no gradient', () =>
    conforms(
      (b) => {
        const fixed = b.input('f', 4, 3, 5, { gradient: false })
        b.output('value', b.attend(fixed, fixed, b.input('v', 4, 3, 9)))
        b.output('query', b.attend(b.input('q', 4, 3, 5), fixed, fixed))
        b.output('key', b.attend(fixed, b.input('k', 4, 3, 5), fixed))
      },
      backend(),
      { batch: 3, seed: 1 },
      wide,
    ))

  test.each(['recalibrate', 'evaluate'] as const)('keeps nothing to %s', (mode) =>
    conforms(graphModule(5, 4, 2, 8), backend(), { batch: 3, seed: 1, mode }, wide),
  )

  /** y of one clip whose numbers `at` gives. */
  function evaluate(at: (input: number, i: number) => number, nodes: number): Float32Array {
    const { engine, check } = guardedEngine(backend())
    const tape = new Tape(engine, { batch: 1, mode: 'evaluate' })
    const inputs = [0, 1, 2].map((input) => {
      const x = tape.input(nodes, 1, 8)
      engine.floats(x.stored.offset, nodes * 8).set(Float32Array.from({ length: nodes * 8 }, (_, i) => at(input, i)))
      return x
    })
    const y = attend(tape, inputs[0], inputs[1], inputs[2])
    engine.backend.run(tape.program(['forward']))
    const numbers = readMap(engine, y.stored)
    check()
    tape.dispose()
    return numbers
  }

  test('scores that no exponential could hold: the largest takes all, equal ones share', () => {
    // key j has 30 j in all channels: query 1 prefers the last, query -1 the first, by thousands
    const y = evaluate((input, i) => (input === 0 ? ((i >> 3) % 2 ? -1 : 1) : input === 1 ? 30 * (i >> 3) : (i >> 3) + (i % 8) / 8), 11)
    y.forEach((value, i) => expect(value).toBeCloseTo(((i >> 3) % 2 ? 0 : 10) + (i % 8) / 8, 30))
    const equal = evaluate((input, i) => (input < 2 ? -1000 : i >> 3), 16)
    for (const value of equal) expect(value).toBeCloseTo(7.5, 5)
    // sums that are no round numbers
    const large = evaluate((input, i) => (input < 2 ? 1e5 * Math.sin(i >> 3) : i >> 3), 16)
    for (const row of [2, 14]) expect(large[8 * row]).toBeCloseTo(14, 5)
  })

  test('a number that is none comes through', () => {
    const y = evaluate((input, i) => (input === 0 && i === 8 ? NaN : 0.5), 3)
    expect([...y].map(Number.isNaN)).toEqual(Array.from({ length: 24 }, (_, i) => i >> 3 === 1))
  })

  test('the same bits with 1, 2, 3 and 5 threads', async () => {
    const run = (own: ReturnType<typeof backend>) => {
      const { engine } = guardedEngine(own)
      const results: Float32Array[] = []
      for (const batch of [1, 13]) {
        const tape = new Tape(engine, { batch, mode: 'train' })
        const random = new Random(5, 'attend', batch)
        const inputs = [5, 5, 9].map((channels) => {
          const x = tape.input(7, 9, channels, true)
          const floats = engine.floats(x.stored.offset, batch * 63 * x.stored.stride)
          for (let i = 0; i < batch * 63; i++) for (let c = 0; c < channels; c++) floats[i * x.stored.stride + c] = random.normal()
          return x
        })
        const y = attend(tape, inputs[0], inputs[1], inputs[2])
        const [seed] = tape.gradientTarget(y)
        engine.floats(seed, batch * 63 * y.stored.stride).fill(0.5)
        tape.backward()
        engine.backend.run(tape.program(['forward', 'backward']))
        results.push(readMap(engine, y.stored), ...inputs.map(({ stored }) => readMap(engine, stored, stored.gradient)))
        tape.dispose()
      }
      return results
    }
    const expected = run(backend())
    for (const threads of [1, 3, 5]) {
      const other = await variant.open(threads)
      try {
        run(other).forEach((numbers, i) => expect(same(numbers, expected[i]), `array ${i}, ${threads} threads`).toBe(true))
      } finally {
        other.close()
      }
    }
  })

  test('counts its operations, those that the way back repeats too', () => {
    const { engine } = guardedEngine(backend())
    const tape = new Tape(engine, { batch: 3, mode: 'train' })
    const [query, key, value] = [8, 8, 16].map((channels) => tape.input(5, 2, channels, true))
    tape.gradientTarget(attend(tape, query, key, value))
    tape.backward()
    const flops = programWork(tape.program(['forward', 'backward']), engine.lanes).map((command) => command.flops)
    expect(flops).toEqual([2 * 3 * 100 * (8 + 16), 2 * 3 * 100 * (8 + 16 + 16 + 8 + 8)])
    tape.dispose()
  })

  test('what does not fit is said', () => {
    const { engine } = guardedEngine(backend())
    const tape = new Tape(engine, { batch: 1, mode: 'evaluate' })
    const x = tape.input(4, 3, 10)
    expect(() => attend(tape, x, tape.input(4, 3, 9), x)).toThrow(/shapes do not fit: \[4,3,10\], \[4,3,9\], \[4,3,10\]/)
    expect(() => attend(tape, x, x, tape.input(3, 4, 10))).toThrow(/shapes do not fit/)
    expect(() => attend(tape, x, x, tape.input(4, 3, 1))).toThrow(/one-channel maps/)
    tape.dispose()
  })
})
