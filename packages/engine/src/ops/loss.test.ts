// Softmax cross-entropy against the float64 reference.
import { expect, test } from 'vitest'
import { onEveryBackend } from '../conformance/backends.ts'
import { conforms } from '../conformance/compare.ts'
import type { Program } from '../conformance/program.ts'
import { guardedEngine } from '../conformance/tape-run.ts'
import { Tape } from '../tape.ts'
import { crossEntropy } from './loss.ts'

const labelsOf = (batch: number, classes: number, ignored: (row: number) => boolean = () => false) =>
  Array.from({ length: batch }, (_, row) => (ignored(row) ? -1 : (row * 7 + 2) % classes))

const cases: [string, number, number, { smoothing?: number; scale?: number; targets?: boolean }, ((row: number) => boolean)?][] = [
  ['2 classes', 5, 2, {}],
  ['12 classes, smoothed', 13, 12, { smoothing: 0.1 }],
  ['35 classes, scaled', 64, 35, { smoothing: 0.05, scale: 1024 }],
  ['10 classes, every third row left out', 13, 10, { smoothing: 0.2 }, (row) => row % 3 === 0],
  ['3 classes, one sample', 1, 3, {}],
  ['12 classes against distributions', 13, 12, { targets: true, scale: 13 }, (row) => row % 5 === 0],
  ['17 classes, all rows left out', 3, 17, {}, () => true],
]

onEveryBackend((backend) => {
  test.each(cases)('%s', (_, batch, classes, options, ignored) => {
    const labels = labelsOf(batch, classes, ignored)
    conforms(
      (b) => b.crossEntropy(b.bias(b.linear(b.input('x', 1, 1, 10), 'fc', classes), 'fc'), labels, options),
      backend(),
      { batch, seed: 1 },
      { value: 5e-6, gradient: 5e-5, floor: 1e-3 },
    )
  })

  const endings: [string, Program][] = [
    ['batch norm', (b) => b.crossEntropy(b.batchNorm(b.linear(b.input('x', 1, 1, 10), 'fc', 12), 'n'), labelsOf(13, 12), { scale: 13 })],
    [
      'an activation',
      (b) => b.crossEntropy(b.relu6(b.bias(b.linear(b.input('x', 1, 1, 10), 'fc', 12), 'fc')), labelsOf(13, 12), { scale: 13 }),
    ],
    [
      'a quantizer',
      (b) =>
        b.crossEntropy(
          b.fakeQuantize(b.bias(b.linear(b.input('x', 1, 1, 10), 'fc', 12), 'fc'), 'q', { step: 0.3, lowest: -3, highest: 4 }),
          labelsOf(13, 12),
          { scale: 13 },
        ),
    ],
    ['logits of a hundred', (b) => b.crossEntropy(b.input('x', 1, 1, 10, { scale: 100 }), labelsOf(13, 10), { scale: 13, smoothing: 0.1 })],
    [
      'other consumers of the logits',
      (b) => {
        const logits = b.bias(b.linear(b.input('x', 1, 1, 10), 'fc', 12), 'fc')
        b.crossEntropy(logits, labelsOf(13, 12), { scale: 13 })
        b.output('y', b.relu(logits))
      },
    ],
  ]
  test.each(endings)('on %s', (_, program) => conforms(program, backend(), { batch: 13, seed: 1 }))

  test('the logits of the last run are there, and a second loss on them is refused', () => {
    const { engine } = guardedEngine(backend())
    const tape = new Tape(engine, { batch: 2, mode: 'train' })
    const x = tape.input(1, 1, 3, true)
    const { stride } = x.stored
    engine.floats(x.stored.offset, 3).set([1, 5, 2])
    engine.floats(x.stored.offset + stride, 3).set([4, 5, 6])
    const loss = crossEntropy(tape, x)
    engine.integers(loss.labels, 2).set([1, 0])
    engine.backend.run(tape.program(['forward']))
    const { values } = loss.logits()
    expect([...values.slice(0, 3), ...values.slice(stride, stride + 3)]).toEqual([1, 5, 2, 4, 5, 6])
    expect(loss.read().correct).toBe(1)
    expect(() => crossEntropy(tape, x)).toThrow(/have a loss already/)
    tape.dispose()
  })
})
