import { describe, expect, it } from 'vitest'
import { classifier, convolution, network } from './blocks.ts'
import type { Network, NetworkNode } from './network.ts'
import { frontEndShape, inferShapes, samePadding } from './shapes.ts'

const frontEnd = { kind: 'raw', sampleRate: 16000, samples: 64 } as const
const of = (...nodes: NetworkNode[]): Network =>
  network('t', frontEnd, ['a', 'b'], [{ id: 'input', op: 'input', inputs: [], shape: [64, 1, 1] }, ...nodes])
const map: NetworkNode = { id: 'map', op: 'reshape', inputs: ['input'], shape: [8, 4, 2] }

const attend = (...inputs: string[]): NetworkNode => ({ id: 'a', op: 'attend', inputs, activation: 'none' })
const wide = convolution('wide', 'map', { channels: 2, kernelSize: [1, 2], padding: [0, 0, 0, 0] })
const deep = convolution('deep', 'map', { channels: 3, kernelSize: [1, 1] })

describe('inferShapes', () => {
  it('follows convolution arithmetic axis by axis', () => {
    const shapes = inferShapes(
      of(
        map,
        convolution('a', 'map', { channels: 3, kernelSize: [3, 2], stride: [2, 1], padding: [0, 1, 2, 0] }),
        { id: 'p', op: 'averagePool', inputs: ['a'], kernelSize: [2, 3], stride: [1, 2] },
        { id: 'end', op: 'crop', inputs: ['p'], rows: 2 },
        ...classifier('end', 2),
      ),
    )
    expect(shapes.get('a')).toEqual([4, 5, 3])
    expect(shapes.get('p')).toEqual([3, 2, 3])
    expect(shapes.get('end')).toEqual([1, 2, 3])
    expect(shapes.get('logits')).toEqual([1, 1, 2])
    expect(inferShapes(of(map, deep, attend('map', 'map', 'deep'))).get('a')).toEqual([8, 4, 3])
  })

  it.each([
    [
      'kernel too large',
      of(map, convolution('c', 'map', { channels: 2, kernelSize: [9, 1], padding: [0, 0, 0, 0] })),
      /node "c".*9x1.*8x4/,
    ],
    ['grouped', of(map, convolution('c', 'map', { channels: 4, kernelSize: [1, 1], groups: 2 })), /node "c".*groups 2 with 2 input and 4/],
    ['reshape', of({ id: 'r', op: 'reshape', inputs: ['input'], shape: [8, 4, 3] }), /node "r".*\[64, 1, 1\].*\[8, 4, 3\]/],
    ['crop', of(map, { id: 'c', op: 'crop', inputs: ['map'], rows: 8 }), /node "c".*8 rows off \[8, 4, 2\]/],
    [
      'add',
      of(map, { id: 's', op: 'add', inputs: ['map', 'input'], activation: 'none' }),
      /node "s".*"map" \[8, 4, 2\] and "input" \[64, 1, 1\]/,
    ],
    ['unknown input', of(convolution('c', 'later', { channels: 2, kernelSize: [1, 1] })), /node "c".*"later" is not an earlier node/],
    ['query and value', of(map, wide, attend('map', 'map', 'wide')), /node "a" \(attend\).*query "map".*8x4.*value "wide".*8x3/],
    ['key', of(map, deep, attend('map', 'deep', 'map')), /node "a".*query "map" has 2 channels and its key "deep" 3/],
    ['two inputs', of(map, attend('map', 'map')), /node "a".*takes 3 inputs, has 2/],
    [
      'positions',
      of(convolution('many', 'input', { channels: 2, kernelSize: [1, 1], padding: [480, 481, 0, 0] }), attend('many', 'many', 'many')),
      /node "a".*1025x1 = 1025 positions, at most 1024/,
    ],
    ['linear on a map', of(map, { ...(classifier('map', 2)[1] as NetworkNode), inputs: ['map'] }), /node "logits".*\[8, 4, 2\]/],
    ['too many inputs', of({ id: 'p', op: 'globalAveragePool', inputs: ['input', 'input'] }), /node "p".*takes 1 inputs, has 2/],
  ])('names the node: %s', (_, net, message) => {
    expect(() => inferShapes(net)).toThrow(message)
  })
})

describe('frontEndShape', () => {
  it('counts whole windows', () => {
    const spectral = { kind: 'mfcc', sampleRate: 16000, samples: 16000, melBands: 40, coefficients: 10, lowHz: 20, highHz: 7000 } as const
    expect(frontEndShape({ ...spectral, windowSamples: 640, hopSamples: 320 })).toEqual([49, 10, 1])
    expect(frontEndShape({ ...spectral, windowSamples: 480, hopSamples: 160 })).toEqual([98, 10, 1])
    expect(() => frontEndShape({ ...spectral, windowSamples: 16001, hopSamples: 320 })).toThrow(/window of 16001/)
  })
})

describe('samePadding', () => {
  it('gives ceil(size / stride) with the odd zero after', () => {
    expect(samePadding([49, 10], [10, 4], [2, 2])).toEqual([4, 5, 1, 1])
    expect(samePadding([98, 1], [9, 1], [2, 1])).toEqual([3, 4, 0, 0])
    expect(samePadding([6, 6], [1, 2], [3, 3])).toEqual([0, 0, 0, 0])
  })
})
