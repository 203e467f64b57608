// SincConv filters and their gradient against the float64 reference.
import { test } from 'vitest'
import { onEveryBackend } from '../conformance/backends.ts'
import { conforms } from '../conformance/compare.ts'

onEveryBackend((backend) => {
  test.each([
    ['400 taps at 16 kHz', 3, { channels: 33, taps: 400, stride: 160, sampleRate: 16_000 }],
    ['401 taps: one in the middle', 1, { channels: 10, taps: 401, stride: 160, sampleRate: 16_000 }],
    ['bands cut off at half the rate', 2, { channels: 17, taps: 101, stride: 40, sampleRate: 5400 }],
    ['3 taps', 2, { channels: 3, taps: 3, stride: 400, sampleRate: 16_000 }],
  ] as const)('%s', (_, batch, shape) =>
    conforms(
      (b) => b.output('y', b.sincConvolution(b.input('x', 1200, 1, 1, { gradient: false }), 'sinc', shape)),
      backend(),
      { batch, seed: 1 },
      { value: 5e-6, gradient: 1e-4, floor: 0 },
    ),
  )

  test('under log-magnitude and batch norm, as the raw-audio layer', () =>
    conforms(
      (b) => {
        const y = b.logMagnitude(
          b.sincConvolution(b.input('x', 1600, 1, 1, { gradient: false }), 'sinc', {
            channels: 10,
            taps: 400,
            stride: 160,
            sampleRate: 16_000,
          }),
          1e-3,
        )
        b.output('y', b.relu(b.batchNorm(y, 'n')))
      },
      backend(),
      { batch: 3, seed: 1 },
      { value: 5e-5, gradient: 5e-4, floor: 0 },
    ))
})
