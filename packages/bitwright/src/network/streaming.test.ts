import { describe, expect, it } from 'vitest'
import { classifier, convolution, network } from './blocks.ts'
import { builtinNetwork } from './builtins.ts'
import { countNetwork } from './counts.ts'
import type { NetworkNode } from './network.ts'
import { parameterShapes } from './parameters.ts'
import { inferShapes } from './shapes.ts'
import { streamingNetwork } from './streaming.ts'
import { parseNetwork } from './validate.ts'

const classes = Array.from({ length: 12 }, (_, index) => `word${index}`)
const raw = (samples: number) => ({ kind: 'raw', sampleRate: 16000, samples }) as const
const input = (samples: number): NetworkNode => ({ id: 'input', op: 'input', inputs: [], shape: [samples, 1, 1] })

describe('streamingNetwork', () => {
  it.each(['ds-cnn-s', 'kws-e2e-e3k5', 'kws-e2e-e3k5-conv1d', 'cenet-6'])(
    'takes the padding along time off %s, and nothing else',
    (name) => {
      const stream = builtinNetwork(name, { classes, streaming: true })
      expect(parseNetwork(JSON.parse(JSON.stringify(stream)))).toEqual(stream)
      for (const node of stream.nodes) if ('padding' in node) expect(node.padding.slice(0, 2)).toEqual([0, 0])
      expect(stream.nodes.some((node) => 'padding' in node && node.padding[2] > 0)).toBe(true)
      expect(streamingNetwork(stream)).toBe(stream)
    },
  )

  it('keeps the parameters and makes DS-CNN smaller by the rows it no longer pads', () => {
    const [padded, stream] = [false, true].map((streaming) => builtinNetwork('ds-cnn-s', { classes, streaming }))
    expect(parameterShapes(stream)).toEqual(parameterShapes(padded))
    expect(stream.name).toBe('ds-cnn-s-stream')
    const heights = ['first', 'block1.pointwise', 'block4.pointwise', 'pool'].map((id) => inferShapes(stream).get(id)![0])
    expect(heights).toEqual([20, 18, 12, 1])
    expect(countNetwork(stream).macs).toBeLessThan(0.65 * countNetwork(padded).macs)
  })

  it('lets both inputs of a sum end at the same moment', () => {
    const nodes: NetworkNode[] = [
      input(400),
      convolution('front', 'input', { channels: 4, kernelSize: [40, 1], stride: [10, 1] }),
      convolution('narrow', 'front', { channels: 4, kernelSize: [3, 1] }),
      convolution('wide', 'front', { channels: 4, kernelSize: [7, 1] }),
      { id: 'sum', op: 'add', inputs: ['wide', 'narrow'], activation: 'none' },
      { id: 'again', op: 'add', inputs: ['front', 'sum'], activation: 'none' },
      ...classifier('again', 2),
    ]
    const stream = streamingNetwork(network('sums', raw(400), ['a', 'b'], nodes))
    expect(stream.nodes.filter(({ op }) => op === 'crop' || op === 'add')).toEqual([
      { id: 'sum.crop', op: 'crop', inputs: ['narrow'], rows: 4 },
      { id: 'sum', op: 'add', inputs: ['wide', 'sum.crop'], activation: 'none' },
      { id: 'again.crop', op: 'crop', inputs: ['front'], rows: 6 },
      { id: 'again', op: 'add', inputs: ['again.crop', 'sum'], activation: 'none' },
    ])
  })

  it('says why a network cannot stream', () => {
    expect(() => builtinNetwork('tc-resnet8', { classes, streaming: true })).toThrow(
      /"tc-resnet8": cannot stream: up to "block3\.first" it looks at 1\.09 s .* clips have 1\.00 s/,
    )
    expect(() => builtinNetwork('resnet8', { classes: classes.slice(2), streaming: true })).toThrow(/reads images/)
    const turned: NetworkNode[] = [
      input(400),
      convolution('front', 'input', { channels: 4, kernelSize: [40, 1], stride: [10, 1] }),
      { id: 'turn', op: 'reshape', inputs: ['front'], shape: [4, 1, 40] },
      ...classifier('turn', 2),
    ]
    expect(() => streamingNetwork(network('turned', raw(400), ['a', 'b'], turned))).toThrow(/"turn" \(reshape\): cannot stream/)
    expect(() => builtinNetwork('cenet-gcn-6', { classes, streaming: true })).toThrow(/"s1\.graph\.attend" \(attend\): cannot stream/)
    const rates: NetworkNode[] = [
      input(400),
      convolution('slow', 'input', { channels: 4, kernelSize: [1, 1], stride: [4, 1], padding: [0, 0, 0, 0] }),
      convolution('fast', 'input', { channels: 4, kernelSize: [301, 1], padding: [0, 0, 0, 0] }),
      { id: 'sum', op: 'add', inputs: ['slow', 'fast'], activation: 'none' },
      ...classifier('sum', 2),
    ]
    expect(() => streamingNetwork(network('rates', raw(400), ['a', 'b'], rates))).toThrow(/"sum" \(add\): cannot stream: .* 4 and 1/)
  })
})
