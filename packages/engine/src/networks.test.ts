// Whole small networks: what single layers cannot show, such as values with several consumers, buffers used again, and results that
// must not depend on the number of threads.
import { describe, expect, test } from 'vitest'
import type { Backend } from './backends/backend.ts'
import { onEveryBackend } from './conformance/backends.ts'
import { conforms, same } from './conformance/compare.ts'
import { layer, type Program, type Result } from './conformance/program.ts'
import { randomNetwork } from './conformance/random-network.ts'
import { runReference } from './conformance/reference-run.ts'
import { record } from './conformance/tape-run.ts'
import { optimizer, type OptimizerName } from './ops/optimizers.ts'

const expansion =
  (factor: number): Program =>
  (b) => {
    const x = b.batchNorm(b.convolution(b.input('x', 6, 1, 10), 'narrow', layer(16, [1, 1])), 'norm0')
    const wide = b.relu(b.batchNorm(b.convolution(x, 'expand', layer(16 * factor, [1, 1])), 'norm1'))
    b.output('y', b.batchNorm(b.convolution(wide, 'project', layer(17, [1, 1])), 'norm2'))
  }

/** A raw-audio network with one of everything. */
const everything: Program = (b) => {
  const signal = b.input('audio', 1200, 1, 1, { gradient: false })
  const bands = b.logMagnitude(b.sincConvolution(signal, 'sinc', { channels: 17, taps: 400, stride: 100, sampleRate: 16_000 }), 1e-3)
  const map = b.reshape(b.relu(b.batchNorm(bands, 'sinc')), 9, 17, 1)
  const x = b.fakeQuantize(
    b.relu6(b.batchNorm(b.convolution(map, 'c1', layer(10, [3, 3], { stride: [1, 2], padding: [1, 1, 0, 1] })), 'c1')),
    'q1',
    { step: 0.41, lowest: 0, highest: 15 },
  )
  const left = b.batchNorm(b.convolution(x, 'c2', layer(10, [3, 3], { padding: [1, 1, 1, 1], groups: 10 })), 'c2')
  const right = b.bias(b.convolution(x, 'c3', layer(10, [1, 1])), 'c3')
  const sum = b.relu(b.add(b.add(left, right), x))
  const pooled = b.globalAveragePool(b.averagePool(sum, [2, 2], [2, 2]))
  b.crossEntropy(
    b.bias(b.linear(pooled, 'fc', 12), 'fc'),
    Array.from({ length: b.batch }, (_, i) => (i % 7 === 6 ? -1 : (i * 5) % 12)),
    { smoothing: 0.1, scale: 1024 },
  )
}

/** The first run's arrays, and values and moments after five updates. */
function train(backend: Backend, name: OptimizerName): { first: Result; last: Result; state: Float32Array } {
  const options = { batch: 13, seed: 2 }
  const { parameters } = runReference(everything, options)
  const recording = record(everything, backend, parameters, options)
  const trained = [...recording.store.all()].filter((parameter) => !/\.(mean|variance)$/.test(parameter.name))
  const update = optimizer(recording.tape, name, recording.store, trained)
  const program = recording.tape.program(['update'])
  const first = recording.run()
  let last = first
  for (let step = 1; step <= 5; step++) {
    update.set({ learningRate: 1e-4, weightDecay: 1e-3, momentum: 0.9, beta2: 0.99, epsilon: 1e-8, step })
    backend.run(program)
    last = recording.run()
  }
  recording.check()
  const state = recording.store.snapshot()
  recording.dispose()
  return { first, last, state }
}

onEveryBackend((backend, variant) => {
  test.each([1, 2, 3, 4, 5, 6, 8, 10])('an expansion by %i between batch norms', (factor) =>
    conforms(expansion(factor), backend(), { batch: 3, seed: 1 }),
  )

  // log(|x| + 1e-3) has slopes up to 1000: the few numbers near 0 carry a thousandfold rounding error
  test('one of everything', () => conforms(everything, backend(), { batch: 3, seed: 2 }, { value: 2e-4, gradient: 2e-3 }))

  test.each(Array.from({ length: 40 }, (_, i) => i))('random network %i', (i) =>
    conforms(
      randomNetwork(i),
      backend(),
      { batch: [1, 3, 5, 2][i % 4] + 1, seed: 100 * i, chunks: i % 5 === 4 ? 3 : undefined },
      { value: 5e-5, gradient: 5e-4 },
    ),
  )

  describe.each<OptimizerName>(['sgd', 'adam'])('five steps of %s', (name) => {
    test('give the same bits with 1, 2, 3 and 5 threads', async () => {
      const expected = train(backend(), name)
      expect(expected.state.every(Number.isFinite)).toBe(true)
      expect(same(expected.first.get('loss')!, expected.last.get('loss')!)).toBe(false)
      for (const threads of [1, 3, 5]) {
        const other = await variant.open(threads)
        try {
          const actual = train(other, name)
          for (const run of ['first', 'last'] as const) {
            for (const [array, numbers] of expected[run])
              expect(same(actual[run].get(array)!, numbers), `${run} ${array}, ${threads} threads`).toBe(true)
          }
          expect(same(actual.state, expected.state), `state, ${threads} threads`).toBe(true)
        } finally {
          other.close()
        }
      }
    })
  })
})
