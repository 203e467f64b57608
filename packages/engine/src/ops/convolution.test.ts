// Every convolution layer against the float64 reference, forward and backward, with and without something pending on its input.
import { describe, test } from 'vitest'
import { onEveryBackend } from '../conformance/backends.ts'
import { conforms } from '../conformance/compare.ts'
import { layer, type Program } from '../conformance/program.ts'
import type { ConvolutionShape } from './convolution.ts'

type Map = readonly [height: number, width: number, channels: number]

const dense: [string, number, Map, ConvolutionShape][] = [
  ['1x1', 3, [5, 4, 10], layer(17, [1, 1])],
  ['1x1 from 1 channel', 5, [4, 3, 1], layer(3, [1, 1])],
  ['1x1 to 1 channel', 5, [4, 3, 17], layer(1, [1, 1])],
  ['1x1 over many rows', 13, [11, 7, 33], layer(60, [1, 1])],
  ['1x1 strided', 3, [7, 6, 10], layer(3, [1, 1], { stride: [2, 3] })],
  ['1x1 padded', 2, [3, 3, 3], layer(10, [1, 1], { padding: [1, 0, 0, 2] })],
  ['3x3', 3, [6, 7, 10], layer(17, [3, 3], { padding: [1, 1, 1, 1] })],
  ['3x3 without padding', 1, [5, 5, 3], layer(33, [3, 3])],
  ['3x3 with asymmetric padding', 5, [6, 5, 3], layer(10, [3, 3], { stride: [2, 2], padding: [0, 1, 0, 1] })],
  ['10x4 on one channel', 3, [13, 10, 1], layer(17, [10, 4], { stride: [2, 2], padding: [4, 5, 1, 1] })],
  ['1x5 along one channel of awkward width', 5, [3, 13, 1], layer(3, [1, 5], { stride: [1, 2], padding: [0, 0, 2, 1] })],
  ['5x1 in time', 3, [17, 1, 10], layer(17, [5, 1], { stride: [2, 1], padding: [2, 1, 0, 0] })],
  ['3x1 in time, one sample', 1, [9, 1, 3], layer(60, [3, 1])],
  ['kernel as large as the map', 13, [3, 3, 3], layer(10, [3, 3])],
  ['stride beyond the kernel', 3, [9, 8, 3], layer(3, [2, 2], { stride: [4, 3] })],
  ['a 1x1 map', 5, [1, 1, 3], layer(10, [3, 3], { padding: [1, 1, 1, 1] })],
  ['64 samples', 64, [3, 2, 17], layer(10, [1, 1])],
  ['raw audio: 400 taps, stride 160', 3, [1600, 1, 1], layer(33, [400, 1], { stride: [160, 1], padding: [120, 120, 0, 0] })],
]

const depthwise: [string, number, Map, readonly [number, number], Partial<ConvolutionShape>][] = [
  ['3x1', 3, [9, 1, 10], [3, 1], { padding: [1, 1, 0, 0] }],
  ['5x1', 5, [9, 1, 17], [5, 1], { padding: [2, 2, 0, 0] }],
  ['7x1', 3, [5, 1, 33], [7, 1], { padding: [3, 3, 0, 0] }],
  ['9x1', 13, [23, 1, 60], [9, 1], { padding: [4, 4, 0, 0] }],
  ['9x1 stride 2', 3, [20, 1, 10], [9, 1], { stride: [2, 1], padding: [4, 4, 0, 0] }],
  ['3x1 stride 3, asymmetric', 3, [14, 1, 3], [3, 1], { stride: [3, 1], padding: [0, 2, 0, 0] }],
  ['3x3', 3, [6, 5, 10], [3, 3], { padding: [1, 1, 1, 1] }],
  ['3x3 stride 2, asymmetric', 3, [7, 10, 17], [3, 3], { stride: [2, 2], padding: [0, 1, 0, 1] }],
  ['5x5 stride 3', 2, [11, 9, 3], [5, 5], { stride: [3, 3], padding: [2, 2, 2, 2] }],
  ['7x7 stride 2x1', 2, [9, 8, 33], [7, 7], { stride: [2, 1], padding: [3, 3, 3, 3] }],
  ['9x9', 1, [5, 6, 10], [9, 9], { padding: [4, 4, 4, 4] }],
  ['3x3 without padding', 5, [4, 4, 60], [3, 3], {}],
  ['stride beyond the kernel', 3, [9, 8, 3], [2, 2], { stride: [4, 3] }],
  ['64 samples', 64, [5, 1, 10], [3, 1], { padding: [1, 1, 0, 0] }],
  ['tiles of a signal', 2, [4500, 1, 10], [9, 1], { stride: [2, 1], padding: [4, 4, 0, 0] }],
  ['tiles of a signal, stride beyond the kernel, unpadded', 1, [2000, 1, 3], [2, 1], { stride: [3, 1] }],
  ['tiles of rows', 2, [70, 31, 10], [5, 5], { stride: [2, 2], padding: [2, 2, 2, 2] }],
  ['tiles of rows and columns', 1, [4, 900, 3], [3, 3], { padding: [1, 1, 0, 2] }],
]

/** The layer alone; after another layer with batch norm and ReLU pending; and followed by batch norm itself. */
function programs([height, width, channels]: Map, shape: ConvolutionShape): [string, Program][] {
  return [
    ['alone', (b) => b.output('y', b.convolution(b.input('x', height, width, channels), 'layer', shape))],
    [
      'between normalisations',
      (b) => {
        const x = b.relu(b.batchNorm(b.convolution(b.input('x', height, width, 3), 'before', layer(channels, [1, 1])), 'norm'))
        const y = b.convolution(x, 'layer', shape)
        // one weight a channel and batch norm after it: the weight's gradient would be a difference of equal sums
        const single = channels * shape.kernelSize[0] * shape.kernelSize[1] === 1
        b.output('y', b.relu6(single ? b.bias(y, 'after') : b.batchNorm(y, 'after')))
      },
    ],
    [
      'fake-quantized input',
      (b) => {
        const x = b.fakeQuantize(b.input('x', height, width, channels), 'levels', { step: 0.31, lowest: -3, highest: 4 })
        b.output('y', b.bias(b.convolution(x, 'layer', shape), 'after'))
      },
    ],
  ]
}

onEveryBackend((backend) => {
  describe.each(dense)('dense %s', (_, batch, map, shape) => {
    test.each(programs(map, shape))('%s', (_, program) => conforms(program, backend(), { batch, seed: 1 }))
  })
  describe.each(depthwise)('depthwise %s', (_, batch, map, kernelSize, options) => {
    test.each(programs(map, layer(map[2], kernelSize, { ...options, groups: map[2] })))('%s', (_, program) =>
      conforms(program, backend(), { batch, seed: 1 }),
    )
  })
})
