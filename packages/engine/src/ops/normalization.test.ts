// Batch normalisation in its three modes, biases, activations and fake-quantization against the float64 reference.
import { describe, expect, test } from 'vitest'
import { onEveryBackend } from '../conformance/backends.ts'
import { conforms, disagreements, same, tolerances } from '../conformance/compare.ts'
import { layer, type Mode, parameterValues, Numbers, type Program } from '../conformance/program.ts'
import { runReference } from '../conformance/reference-run.ts'
import { guardedEngine, readMap, record } from '../conformance/tape-run.ts'
import { Tape } from '../tape.ts'
import { add } from './elementwise.ts'
import { batchNorm, bias, fakeQuantize, relu } from './normalization.ts'

const normalized =
  (channels: number, options: { affine?: boolean; momentum?: number } = {}): Program =>
  (b) =>
    b.output(
      'y',
      b.relu(b.batchNorm(b.convolution(b.input('x', 5, 3, 10), 'c', layer(channels, [3, 3], { padding: [1, 1, 1, 1] })), 'n', options)),
    )

const quantizers: [string, { step: number; lowest: number; highest: number }][] = [
  ['8 bits', { step: 0.0234, lowest: 0, highest: 255 }],
  ['4 bits', { step: 0.213, lowest: 0, highest: 15 }],
  ['2 bits', { step: 0.71, lowest: 0, highest: 3 }],
  ['signed, narrow', { step: 0.37, lowest: -2, highest: 1 }],
  ['signed, 8 bits', { step: 0.0171, lowest: -128, highest: 127 }],
]

onEveryBackend((backend) => {
  describe('batchNorm', () => {
    test.each([
      [1, 3],
      [3, 5],
      [10, 13],
      [17, 1],
      [33, 3],
      [60, 64],
    ])('%i channels, batch %i', (channels, batch) => conforms(normalized(channels), backend(), { batch, seed: 1 }))

    test('without scale and offset, with another momentum', () =>
      conforms(normalized(17, { affine: false, momentum: 0.3 }), backend(), { batch: 5, seed: 1 }))

    test.each([1, 2, 7])('statistics in %i chunks', (chunks) => conforms(normalized(10), backend(), { batch: 5, seed: 1, chunks }))

    test('a batch of one pixel', () =>
      // no variance: the scale is 1 / sqrt(epsilon) = 316, and so is the rounding error
      conforms(
        (b) => b.output('y', b.batchNorm(b.linear(b.input('x', 1, 1, 3), 'c', 10), 'n')),
        backend(),
        { batch: 1, seed: 1 },
        { value: 1e-4, gradient: 5e-5 },
      ))

    test('a mean far from zero: float32 sums still give the variance', () => {
      // x = 30 + noise of 0.3: E[x^2] - E[x]^2 loses (30 / 0.3)^2 = 10^4 times the rounding error of the sums
      conforms(
        (b) => {
          const far = b.bias(b.convolution(b.input('noise', 9, 1, 10, { scale: 0.3 }), 'c', layer(10, [1, 1])), 'far')
          const y = b.convolution(b.add(far, b.input('level', 9, 1, 10, { scale: 10 })), 'd', layer(3, [1, 1]))
          b.output('y', b.batchNorm(y, 'n'))
        },
        backend(),
        { batch: 13, seed: 1 },
        { value: 1e-4, gradient: 2e-3 },
      )
    })

    test.each<Mode>(['evaluate', 'recalibrate'])('%s', (mode) => {
      const program = normalized(17)
      const options = { batch: 5, seed: 1, mode }
      const reference = runReference(program, options)
      const recording = record(program, backend(), reference.parameters, options)
      const before = recording.store.snapshot()
      expect(disagreements(recording.run(), reference.result, tolerances)).toEqual([])
      const after = recording.store.snapshot()
      const statistics = ['n.mean', 'n.variance'].flatMap((name) => {
        const { position, size } = recording.store.get(name)
        return Array.from({ length: size }, (_, i) => position + i)
      })
      const changed = [...after.keys()].filter((i) => !Object.is(before[i], after[i]))
      expect(changed).toEqual(mode === 'evaluate' ? [] : statistics.toSorted((a, b) => a - b))
      recording.check()
      recording.dispose()
    })

    test('the running statistics follow several batches, with the unbiased variance', () => {
      const program = normalized(3, { momentum: 0.25 })
      const reference = runReference(program, { batch: 3, seed: 1 })
      const recording = record(program, backend(), reference.parameters, { batch: 3, seed: 1 })
      for (let step = 0; step < 4; step++) recording.run()
      const numbers = new Numbers(1)
      for (const part of ['mean', 'variance']) {
        const start = parameterValues(numbers, `n.${part}`, 3)
        const first = reference.result.get(`${part} n`)!
        recording.store.value(`n.${part}`).forEach((value, c) => {
          const batchValue = start[c] + (first[c] - start[c]) / 0.25
          expect(value).toBeCloseTo(batchValue + 0.75 ** 4 * (start[c] - batchValue), 4)
        })
      }
      recording.dispose()
    })
  })

  test.each([1, 10, 33])('bias and limits, %i channels', (channels) =>
    conforms(
      (b) => {
        const x = b.input('x', 4, 3, 3, { scale: 4 })
        b.output('relu', b.relu(b.bias(b.convolution(x, 'c1', layer(channels, [1, 1])), 'b1')))
        b.output('relu6', b.relu6(b.bias(b.convolution(x, 'c2', layer(channels, [1, 1])), 'b2')))
        b.output('both', b.relu(b.relu6(b.convolution(x, 'c3', layer(channels, [1, 1])))))
      },
      backend(),
      { batch: 5, seed: 1 },
    ),
  )

  describe('fakeQuantize', () => {
    test.each(quantizers)('%s', (_, quantizer) =>
      conforms(
        (b) => {
          const x = b.relu6(b.batchNorm(b.convolution(b.input('x', 5, 2, 3), 'c', layer(17, [1, 1])), 'n'))
          b.output('y', b.convolution(b.fakeQuantize(x, 'q', quantizer), 'd', layer(10, [1, 1])))
        },
        backend(),
        { batch: 3, seed: 1 },
      ),
    )

    test('of every consumer counts in the sums', () =>
      conforms(
        (b) => {
          const x = b.batchNorm(b.convolution(b.input('x', 4, 3, 3), 'c', layer(10, [1, 1])), 'n')
          const q = b.fakeQuantize(x, 'q', { step: 0.3, lowest: -2, highest: 3 })
          b.output('dense', b.convolution(q, 'd', layer(17, [3, 3], { padding: [1, 1, 1, 1] })))
          b.output('depthwise', b.convolution(q, 'e', layer(10, [3, 3], { groups: 10 })))
          b.output('sum', b.add(q, b.fakeQuantize(x, 'other', { step: 0.5, lowest: 0, highest: 1 })))
          b.output('pool', b.globalAveragePool(q))
        },
        backend(),
        { batch: 3, seed: 1 },
      ))

    test('rounds ties to even and cuts off at the levels', () => {
      const { engine } = guardedEngine(backend())
      const tape = new Tape(engine, { batch: 1, mode: 'evaluate' })
      const x = tape.input(1, 1, 12)
      const slot = { offset: tape.allocate(4), sums: tape.allocate(3) }
      engine.floats(slot.offset, 4).set([0.5, 2, -4, 3])
      engine.floats(x.stored.offset, 12).set([0.25, 0.75, 1.25, -0.25, -0.75, -1.25, 0.26, 1.6, 1.76, 99, -2.1, -99])
      const y = add(tape, fakeQuantize(x, slot))
      engine.backend.run(tape.program(['forward']))
      expect([...readMap(engine, y.stored)].map((v) => v + 0)).toEqual([0, 1, 1, 0, -1, -1, 0.5, 1.5, 1.5, 1.5, -2, -2])
      tape.dispose()
    })
  })

  test('a NaN passes through limits and quantizers', () => {
    const { engine } = guardedEngine(backend())
    const tape = new Tape(engine, { batch: 1, mode: 'evaluate' })
    const x = tape.input(1, 1, 4)
    const slot = { offset: tape.allocate(4), sums: tape.allocate(3) }
    engine.floats(slot.offset, 4).set([1, 1, 0, 3])
    engine.floats(x.stored.offset, 4).set([Number.NaN, 1, -Infinity, Infinity])
    const [limited, quantized] = [add(tape, relu(x)), add(tape, fakeQuantize(relu(x), slot))]
    engine.backend.run(tape.program(['forward']))
    expect([...readMap(engine, limited.stored)]).toEqual([Number.NaN, 1, 0, Infinity])
    expect([...readMap(engine, quantized.stored)]).toEqual([Number.NaN, 1, 0, 3])
    tape.dispose()
  })

  test('what cannot be attached is said', () => {
    const { engine } = guardedEngine(backend())
    const tape = new Tape(engine, { batch: 1, mode: 'train' })
    const x = tape.input(1, 1, 4)
    const none = {
      scale: -1,
      offset: -1,
      scaleGradient: -1,
      offsetGradient: -1,
      runningMean: -1,
      runningVariance: -1,
      momentum: 0,
      epsilon: 1e-5,
    }
    expect(() => batchNorm(tape, x, none)).toThrow(/only the output of a convolution/)
    expect(() => bias(tape, relu(x), { offset: 0, gradient: -1 })).toThrow(/pending on something already/)
    const slot = { offset: 0, sums: 0 }
    expect(() => relu(fakeQuantize(x, slot))).toThrow(/before the fake-quantization/)
    expect(() => fakeQuantize(fakeQuantize(x, slot), slot)).toThrow(/quantized already/)
    expect(same([Number.NaN], [Number.NaN])).toBe(true)
    tape.dispose()
  })
})
