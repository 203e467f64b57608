// Addition, pooling, log-magnitude and reshaping against the float64 reference, and the two ways of looking at a value from outside.
import { describe, expect, test } from 'vitest'
import { onEveryBackend } from '../conformance/backends.ts'
import { conforms } from '../conformance/compare.ts'
import { layer, type Program } from '../conformance/program.ts'
import { guardedEngine, readMap } from '../conformance/tape-run.ts'
import { none } from '../commands.ts'
import { Random } from '../random.ts'
import { Tape } from '../tape.ts'
import { convolution } from './convolution.ts'
import { add, averagePool, dot, logMagnitude, observe, reshape, settle } from './elementwise.ts'
import { relu } from './normalization.ts'

const sums: [string, number, Program][] = [
  ['two inputs', 3, (b) => b.output('y', b.add(b.input('a', 5, 3, 10), b.input('b', 5, 3, 10)))],
  ['more rows than one block', 13, (b) => b.output('y', b.add(b.input('a', 11, 7, 33), b.input('b', 11, 7, 33)))],
  ['one sample', 1, (b) => b.output('y', b.add(b.input('a', 1, 1, 3), b.input('b', 1, 1, 3)))],
  ['64 samples', 64, (b) => b.output('y', b.relu(b.add(b.input('a', 2, 1, 17), b.input('b', 2, 1, 17))))],
  ['dense one-channel maps', 5, (b) => b.output('y', b.relu(b.add(b.input('a', 16, 13, 1), b.relu6(b.input('b', 16, 13, 1)))))],
  [
    'a quantized one-channel map',
    16,
    (b) => b.output('y', b.fakeQuantize(b.input('a', 7, 13, 1), 'q', { step: 0.4, lowest: -2, highest: 3 })),
  ],
  [
    'the same value twice',
    3,
    (b) => {
      const x = b.relu(b.batchNorm(b.convolution(b.input('x', 4, 3, 3), 'c', layer(10, [1, 1])), 'n'))
      b.output('y', b.add(x, x))
    },
  ],
  [
    'different things pending on its inputs',
    5,
    (b) => {
      const x = b.input('x', 7, 2, 10)
      const left = b.relu(b.batchNorm(b.convolution(x, 'c1', layer(17, [1, 1])), 'n1'))
      const right = b.fakeQuantize(b.relu6(b.bias(b.convolution(x, 'c2', layer(17, [3, 1], { padding: [1, 1, 0, 0] })), 'b2')), 'q', {
        step: 0.3,
        lowest: 0,
        highest: 7,
      })
      b.output('y', b.relu(b.add(left, right)))
    },
  ],
  [
    'a learned factor of the second',
    9,
    (b) => {
      const x = b.relu(b.batchNorm(b.convolution(b.input('x', 7, 5, 3), 'c', layer(17, [1, 1])), 'n'))
      const y = b.fakeQuantize(b.batchNorm(b.convolution(x, 'd', layer(17, [1, 1])), 'm'), 'q', { step: 0.3, lowest: -4, highest: 3 })
      b.output('y', b.relu(b.addScaled(x, y, 'a')))
      b.output('z', b.addScaled(y, x, 'b'))
      b.output('twice', b.addScaled(x, x, 'c'))
    },
  ],
  [
    'a learned factor of a dense one-channel map',
    5,
    (b) => b.output('y', b.addScaled(b.input('a', 16, 13, 1), b.relu6(b.input('b', 16, 13, 1)), 'f')),
  ],
  [
    'a learned factor of what wants no gradient',
    5,
    (b) => b.output('y', b.addScaled(b.input('a', 3, 2, 5), b.input('b', 3, 2, 5, { gradient: false }), 'f')),
  ],
  [
    'an input with several consumers',
    3,
    (b) => {
      const x = b.relu(b.batchNorm(b.convolution(b.input('x', 6, 4, 3), 'c0', layer(10, [3, 3], { padding: [1, 1, 1, 1] })), 'n0'))
      const left = b.batchNorm(b.convolution(x, 'c1', layer(10, [1, 1])), 'n1')
      const right = b.batchNorm(b.convolution(x, 'c2', layer(10, [3, 3], { padding: [1, 1, 1, 1], groups: 10 })), 'n2')
      b.output('sum', b.relu(b.add(b.add(left, x), right)))
      b.output('mean', b.globalAveragePool(x))
    },
  ],
  [
    'a value read through different activations',
    3,
    (b) => {
      const x = b.batchNorm(b.convolution(b.input('x', 6, 1, 3), 'c0', layer(10, [1, 1])), 'n0')
      b.output('y', b.add(b.relu(x), b.fakeQuantize(x, 'q', { step: 0.5, lowest: -1, highest: 1 })))
      b.output('z', b.convolution(b.fakeQuantize(b.relu6(x), 'q', { step: 0.5, lowest: -1, highest: 1 }), 'c1', layer(3, [1, 1])))
    },
  ],
]

const pools: [string, number, [number, number, number], [number, number], [number, number]][] = [
  ['global', 5, [7, 3, 10], [7, 3], [7, 3]],
  ['global over 1x1', 3, [1, 1, 17], [1, 1], [1, 1]],
  ['2x2', 3, [6, 4, 33], [2, 2], [2, 2]],
  ['with a remainder', 13, [7, 5, 3], [2, 3], [2, 3]],
  ['overlapping', 3, [7, 6, 10], [3, 3], [2, 1]],
  ['with gaps', 1, [8, 7, 60], [2, 2], [3, 4]],
  ['64 samples', 64, [3, 1, 10], [3, 1], [1, 1]],
]

const reshapes: [string, number, Program][] = [
  [
    'channels become the width of one channel',
    3,
    (b) => {
      const x = b.relu(b.batchNorm(b.convolution(b.input('x', 13, 1, 3), 'c0', layer(17, [3, 1])), 'n0'))
      b.output('y', b.convolution(b.reshape(x, 11, 17, 1), 'c1', layer(10, [3, 3], { stride: [2, 2], padding: [1, 1, 1, 1] })))
    },
  ],
  [
    'the same with both views in use',
    5,
    (b) => {
      const x = b.convolution(b.input('x', 5, 1, 3), 'c0', layer(10, [1, 1]))
      b.output('y', b.convolution(b.reshape(x, 5, 10, 1), 'c1', layer(3, [2, 2])))
      b.output('z', b.convolution(x, 'c2', layer(3, [2, 1])))
    },
  ],
  [
    'one channel becomes a signal',
    3,
    (b) => {
      b.output('y', b.convolution(b.reshape(b.input('x', 13, 10, 1), 13, 1, 10), 'c', layer(17, [3, 1], { padding: [1, 1, 0, 0] })))
    },
  ],
  [
    'there and back again',
    3,
    (b) => {
      const x = b.relu6(b.bias(b.convolution(b.input('x', 9, 1, 3), 'c0', layer(10, [1, 1])), 'b0'))
      b.output('y', b.convolution(b.reshape(b.reshape(x, 9, 10, 1), 9, 1, 10), 'c1', layer(3, [3, 1])))
    },
  ],
  [
    'fake-quantized on both sides',
    3,
    (b) => {
      const x = b.fakeQuantize(b.relu(b.batchNorm(b.convolution(b.input('x', 9, 1, 3), 'c0', layer(10, [1, 1])), 'n0')), 'q', {
        step: 0.2,
        lowest: 0,
        highest: 7,
      })
      b.output(
        'y',
        b.convolution(b.fakeQuantize(b.reshape(x, 9, 10, 1), 'r', { step: 0.33, lowest: 0, highest: 3 }), 'c1', layer(3, [3, 3])),
      )
    },
  ],
  [
    'all but the first rows, of a value that others read too',
    5,
    (b) => {
      const x = b.relu(b.batchNorm(b.convolution(b.input('x', 9, 3, 5), 'c0', layer(17, [3, 1])), 'n0'))
      const y = b.add(b.crop(x, 2), b.convolution(x, 'c1', layer(17, [3, 1])))
      b.output('y', b.add(b.crop(y, 4), b.crop(b.fakeQuantize(x, 'q', { step: 0.2, lowest: 0, highest: 7 }), 6)))
    },
  ],
  [
    'all but the first rows of one clip of one channel',
    1,
    (b) => b.output('y', b.crop(b.convolution(b.input('x', 7, 5, 1), 'c', layer(1, [2, 1])), 3)),
  ],
  ['a single number', 3, (b) => b.output('y', b.linear(b.reshape(b.linear(b.input('x', 1, 1, 3), 'c0', 1), 1, 1, 1), 'c1', 3))],
]

onEveryBackend((backend) => {
  describe('add', () => {
    test.each(sums)('%s', (_, batch, program) => conforms(program, backend(), { batch, seed: 1 }))
  })

  describe.each(pools)('pool %s', (_, batch, [height, width, channels], kernelSize, stride) => {
    test('alone', () =>
      conforms((b) => b.output('y', b.averagePool(b.input('x', height, width, channels), kernelSize, stride)), backend(), {
        batch,
        seed: 1,
      }))
    test('of a pending value', () =>
      conforms(
        (b) => {
          const x = b.batchNorm(b.convolution(b.input('x', height, width, 3), 'c', layer(channels, [1, 1])), 'n')
          b.output('y', b.averagePool(b.fakeQuantize(b.relu(x), 'q', { step: 0.25, lowest: 0, highest: 7 }), kernelSize, stride))
          b.output('z', b.averagePool(x, kernelSize, stride))
        },
        backend(),
        { batch, seed: 1 },
      ))
  })

  describe('logMagnitude', () => {
    test.each([
      [3, 10, 1],
      [5, 33, 0.05],
      [1, 3, 1e-3],
    ])('batch %i, %i channels, epsilon %d', (batch, channels, epsilon) =>
      conforms(
        (b) => {
          const y = b.logMagnitude(b.convolution(b.input('x', 9, 1, 3), 'c', layer(channels, [1, 1])), epsilon)
          b.output('y', b.convolution(b.relu(b.batchNorm(y, 'n')), 'd', layer(3, [1, 1])))
          b.output('z', b.logMagnitude(b.convolution(b.input('s', 4, 2, 3), 'e', layer(channels, [1, 1])), epsilon))
        },
        backend(),
        { batch, seed: 1 },
        { value: 1e-5, gradient: 2e-4 },
      ),
    )

    test('of zero is log(epsilon), with no gradient', () => {
      const { engine } = guardedEngine(backend())
      const tape = new Tape(engine, { batch: 1, mode: 'train' })
      const weights = tape.allocate(4)
      engine.floats(weights, 4).set([1, 0, 0, 1])
      const x = tape.input(1, 1, 2, true)
      engine.floats(x.stored.offset, 2).set([0, -0.5])
      const y = add(tape, logMagnitude(tape, convolution(tape, x, { offset: weights, gradient: none }, layer(2, [1, 1])), 0.25))
      const seed = tape.gradientTarget(y)[0]
      tape.backward()
      engine.floats(seed, y.stored.stride).fill(3)
      engine.backend.run(tape.program(['pack', 'forward', 'backward']))
      expect([...readMap(engine, y.stored)]).toEqual([Math.fround(Math.log(0.25)), expect.closeTo(Math.log(0.75), 6)])
      expect([...readMap(engine, x.stored, x.stored.gradient)]).toEqual([0, -4])
      tape.dispose()
    })
  })

  describe('reshape and crop', () => {
    test.each(reshapes)('%s', (_, batch, program) => conforms(program, backend(), { batch, seed: 1 }))
  })

  test('observe describes a pending value: mean and largest magnitude, evenly spaced samples', () => {
    const { engine, check } = guardedEngine(backend())
    const tape = new Tape(engine, { batch: 5, mode: 'evaluate' })
    const random = new Random(3, 'observe')
    for (const channels of [1, 10]) {
      const x = tape.input(6, 3, channels)
      const numbers = Float32Array.from({ length: 5 * 6 * 3 * channels }, () => Math.fround(random.normal()))
      const { stride } = x.stored
      numbers.forEach(
        (value, i) => (engine.floats(x.stored.offset, 5 * 18 * stride)[Math.floor(i / channels) * stride + (i % channels)] = value),
      )
      const read = observe(tape, relu(x), 9)
      engine.backend.run(tape.program(['forward']))
      const { meanMagnitude, maximumMagnitude, samples } = read()
      const values = numbers.map((value) => Math.max(value, 0))
      expect(meanMagnitude).toBeCloseTo(values.reduce((a, v) => a + v, 0) / values.length, 6)
      expect(maximumMagnitude).toBe(Math.max(...values))
      const each = Math.floor(values.length / 9)
      expect([...samples]).toEqual(Array.from({ length: 9 }, (_, i) => values[i * each]))
    }
    check()
    tape.dispose()
  })

  test('dot is the derivative of the loss by a gate on the value', () => {
    const { engine, check } = guardedEngine(backend())
    const tape = new Tape(engine, { batch: 3, mode: 'train' })
    const random = new Random(4, 'dot')
    const [a, b] = [tape.input(5, 1, 10, true), tape.input(5, 1, 10, true)]
    for (const { stored } of [a, b]) {
      for (let row = 0; row < 15; row++)
        for (let c = 0; c < 10; c++) engine.floats(stored.offset, 15 * stored.stride)[row * stored.stride + c] = random.normal()
    }
    const sum = add(tape, relu(a), b)
    sum.stored.keepGradient = true
    const seed = tape.gradientTarget(sum)[0]
    tape.backward()
    const read = dot(tape, relu(a), sum.stored)
    const gradient = engine.floats(seed, 15 * sum.stored.stride).fill(0)
    for (let row = 0; row < 15; row++) for (let c = 0; c < 10; c++) gradient[row * sum.stored.stride + c] = random.normal()
    engine.backend.run(tape.program(['forward', 'backward', 'finish']))
    const values = readMap(engine, a.stored)
    const expected = readMap(engine, sum.stored, seed).reduce((total, g, i) => total + g * Math.max(values[i], 0), 0)
    expect(read()).toBeCloseTo(expected, 5)
    check()
    tape.dispose()
  })

  test('what does not fit is said', () => {
    const { engine } = guardedEngine(backend())
    const tape = new Tape(engine, { batch: 1, mode: 'evaluate' })
    const x = tape.input(4, 3, 10)
    expect(() => add(tape, x, tape.input(4, 3, 9))).toThrow(/shapes differ: 4,3,10 and 4,3,9/)
    expect(() => averagePool(tape, x, [5, 1], [1, 1])).toThrow(/window of 5,1 does not fit a map of 4,3/)
    expect(() => reshape(tape, x, 2, 6, 10)).toThrow(/\[4,3,10\] as \[2,6,10\] is not supported/)
    expect(settle(tape, x)).toBe(x)
    tape.dispose()
  })
})
