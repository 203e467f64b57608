import { encodeModel, load } from '@bitwright/runtime'
import { describe, expect, it } from 'vitest'
import { classifier, convolution, network } from '../network/blocks.ts'
import { builtinNames, builtinNetwork } from '../network/builtins.ts'
import { countNetwork } from '../network/counts.ts'
import { withBits } from '../network/transform.ts'
import { lowerSkeleton } from './lower.ts'
import { memory } from './memory.ts'

const classes = Array.from({ length: 12 }, (_, index) => `word${index}`)

describe('memory', () => {
  it.each(builtinNames)('prices %s as its file: flash to the byte, less with fewer bits', (name) => {
    const float = builtinNetwork(name, { classes })
    let previous = Infinity
    for (const bits of [8, 4, 2, 1]) {
      const net = withBits(float, { weightBits: bits, activationBits: 8 }, { edges: 'same' })
      const cost = memory.price(net)
      const { params, macs } = countNetwork(float)
      expect(cost).toMatchObject({ params, macs, flashBytes: encodeModel(lowerSkeleton(net).model).length })
      expect(cost.flashBytes).toBeLessThan(previous)
      previous = cost.flashBytes
    }
    const { flashBytes, ramBytes } = memory.price(withBits(float, { weightBits: 8, activationBits: 8 }))
    expect(memory.price(float)).toMatchObject({ flashBytes, ramBytes })
  })

  it('counts the arena of a small network as by hand', () => {
    const frontEnd = { kind: 'raw', sampleRate: 16000, samples: 1000 } as const
    const net = network(
      't',
      frontEnd,
      ['a', 'b'],
      [
        { id: 'input', op: 'input', inputs: [], shape: [1000, 1, 1] },
        convolution('c', 'input', { channels: 4, kernelSize: [10, 1], stride: [10, 1], padding: [0, 0, 0, 0] }),
        convolution('d', 'c', { channels: 4, kernelSize: [1, 1] }),
        ...classifier('d', 2),
      ],
    )
    // While c runs: 2000 bytes of audio, 400 values, scratch 8 * 16 bytes and nine for each of 4 channels; everything rounded up to 16.
    const at = (activationBits: number) => memory.price(withBits(net, { weightBits: 4, activationBits }))
    expect(at(8).ramBytes).toBe(2000 + 400 + 176)
    expect(at(4).ramBytes).toBe(2000 + 208 + 176)
    expect(at(2).ramBytes).toBe(2000 + 112 + 176)
    const nodes = new Map(at(2).nodes.map((node) => [node.id, node]))
    expect(nodes.get('c')).toEqual({ id: 'c', params: 48, macs: 4000, bitOperations: 4000 * 8 * 16, weightBytes: 40, outputBytes: 100 }) // edge layer: 8-bit weights
    expect(nodes.get('d')).toEqual({ id: 'd', params: 24, macs: 1600, bitOperations: 1600 * 4 * 2, weightBytes: 8, outputBytes: 400 }) // stream for the pool
    expect(nodes.get('pool')).toEqual({ id: 'pool', params: 0, macs: 0, bitOperations: 0, weightBytes: 0, outputBytes: 1 })
    expect(nodes.get('logits')).toEqual({ id: 'logits', params: 10, macs: 8, bitOperations: 8 * 8 * 2, weightBytes: 8, outputBytes: 4 })
    expect(at(2).bitOperations).toBe(4000 * 128 + 1600 * 8 + 8 * 16)
  })
})

describe('memory on a stream', () => {
  it('says what the core says a stream keeps, and how few products a second takes', () => {
    const streaming = withBits(builtinNetwork('ds-cnn-s', { classes, streaming: true }), { weightBits: 8, activationBits: 8 })
    const { stream } = memory.price(streaming)
    const { plan } = load(encodeModel(lowerSkeleton(streaming).model)).stream()
    expect(stream).toEqual({ streamRamBytes: plan.ramBytes, macsPerSecond: plan.macsPerSecond, hopSeconds: 0.04 })
    // a row of five pixels each 40 ms: 40 products a channel in the first layer, 9 + 64 in each of four pairs; the last layer
    expect(stream!.macsPerSecond).toBe(25 * (5 * 64 * (40 + 4 * (9 + 64)) + 64 * 12))
    expect(memory.price(builtinNetwork('ds-cnn-s', { classes })).stream).toBeUndefined()
    expect(memory.price(builtinNetwork('resnet8', { classes })).stream).toBeUndefined()
  })

  it('keeps less of narrower activations', () => {
    const float = builtinNetwork('kws-e2e-e3k5', { classes, streaming: true })
    const [eight, four] = [8, 4].map((activationBits) => memory.price(withBits(float, { weightBits: 8, activationBits })).stream!)
    expect(four.streamRamBytes).toBeLessThan(0.85 * eight.streamRamBytes)
    expect(four.macsPerSecond).toBe(eight.macsPerSecond)
  })
})
