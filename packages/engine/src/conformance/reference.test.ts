// The reference is itself checked: every gradient against central differences of its own forward pass. The rounding of a
// straight-through estimator is frozen, which is what the estimator says about it.
import { expect, test } from 'vitest'
import { Random } from '../random.ts'
import { smoothRun } from './compare.ts'
import { layer, Numbers, parameterValues, type Program } from './program.ts'
import { runReference } from './reference-run.ts'

const h = 1e-5

const programs: [string, Program][] = [
  [
    'dense convolution',
    (b) => b.output('y', b.convolution(b.input('x', 5, 4, 3), 'c', layer(4, [3, 2], { stride: [2, 1], padding: [1, 0, 0, 1] }))),
  ],
  [
    'depthwise convolution',
    (b) => b.output('y', b.convolution(b.input('x', 5, 4, 3), 'c', layer(3, [3, 3], { stride: [2, 1], padding: [1, 1, 0, 2], groups: 3 }))),
  ],
  ['linear and bias', (b) => b.output('y', b.bias(b.linear(b.input('x', 1, 1, 5), 'c', 4), 'b'))],
  ['batch norm', (b) => b.output('y', b.batchNorm(b.convolution(b.input('x', 3, 2, 3), 'c', layer(4, [1, 1])), 'n'))],
  [
    'batch norm without scale and offset',
    (b) => b.output('y', b.batchNorm(b.convolution(b.input('x', 3, 2, 3), 'c', layer(4, [1, 1])), 'n', { affine: false })),
  ],
  ['limits', (b) => b.output('y', b.relu6(b.batchNorm(b.convolution(b.input('x', 3, 2, 3, { scale: 9 }), 'c', layer(4, [1, 1])), 'n')))],
  [
    'shared values and addition',
    (b) => {
      const x = b.relu(b.input('x', 3, 2, 3))
      b.output('y', b.add(x, x, b.convolution(x, 'c', layer(3, [1, 1]))))
      b.output('z', b.relu(x))
    },
  ],
  ['addition with a learned factor', (b) => b.output('y', b.addScaled(b.input('x', 3, 2, 3), b.input('z', 3, 2, 3), 'f'))],
  [
    'attention',
    (b) =>
      b.output('y', b.attend(b.input('q', 3, 2, 2), b.input('k', 3, 2, 2), b.convolution(b.input('x', 3, 2, 3), 'c', layer(4, [1, 1])))),
  ],
  ['pooling', (b) => b.output('y', b.averagePool(b.input('x', 5, 4, 3), [3, 2], [1, 2]))],
  ['log-magnitude', (b) => b.output('y', b.logMagnitude(b.input('x', 3, 2, 3), 0.1))],
  ['reshape', (b) => b.output('y', b.convolution(b.reshape(b.input('x', 4, 1, 5), 4, 5, 1), 'c', layer(2, [2, 2])))],
  ['crop', (b) => b.output('y', b.convolution(b.crop(b.input('x', 5, 2, 3), 2), 'c', layer(2, [2, 2])))],
  ['cross-entropy', (b) => b.crossEntropy(b.linear(b.input('x', 1, 1, 5), 'c', 4), [2, -1, 0], { smoothing: 0.1, scale: 8 })],
  [
    'sinc filters',
    (b) => b.output('y', b.sincConvolution(b.input('x', 100, 1, 1), 's', { channels: 4, taps: 31, stride: 20, sampleRate: 5400 })),
  ],
  [
    'fake-quantization',
    (b) =>
      b.output(
        'y',
        b.convolution(b.fakeQuantize(b.input('x', 3, 3, 2), 'q', { step: 0.4, lowest: -2, highest: 1 }), 'c', layer(2, [2, 2])),
      ),
  ],
]

test.each(programs)('%s', (_, program) => {
  const options = { batch: 3, seed: 1 }
  const { seed, reference } = smoothRun(program, options, 1e-3)
  const numbers = new Numbers(seed)
  const objective = (what: string, values: ArrayLike<number>) => {
    const replaced = new Map([[what, values]])
    return runReference(program, { ...options, seed, replaced, roundings: reference.roundings }).objective
  }
  const slope = (what: string, values: Float64Array, i: number) => {
    const size = Math.max(1, Math.abs(values[i])) * h
    const [up, down] = [values.slice(), values.slice()]
    up[i] += size
    down[i] -= size
    return (objective(what, up) - objective(what, down)) / (2 * size)
  }
  const random = new Random(seed, 'indices')
  let checked = 0
  for (const [name, gradient] of reference.result) {
    if (!name.startsWith('gradient ')) continue
    const input = name.match(/^gradient input (.*)$/)?.[1]
    const parameter = name.slice('gradient '.length)
    const [what, values] = input
      ? [`input ${input}`, numbers.normal(`input ${input}`, gradient.length, /limits/.test(expect.getState().currentTestName!) ? 9 : 1)]
      : [`parameter ${parameter}`, parameterValues(numbers, parameter, gradient.length)]
    for (let k = 0; k < 8; k++) {
      const i = random.integer(gradient.length)
      const scale = Math.max(Math.abs(gradient[i]), 1e-3)
      expect(Math.abs(slope(what, Float64Array.from(values), i) - gradient[i]) / scale, `${name}[${i}]`).toBeLessThan(2e-6)
      checked++
    }
  }
  const sums = reference.result.get('sums q') as Float64Array | undefined
  if (sums) {
    // step * level where cut off, step * round inside: d/dstep = inside + lowest * below + highest * above
    expect(slope('step q', Float64Array.of(Math.fround(0.4)), 0)).toBeCloseTo(sums[0] - 2 * sums[1] + sums[2], 6)
    expect(sums.every((sum) => sum !== 0)).toBe(true)
  }
  expect(checked).toBeGreaterThan(0)
})
