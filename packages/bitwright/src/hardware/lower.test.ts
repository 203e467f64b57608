import { Random } from '@bitwright/engine'
import { decodeModel, encodeModel, modelInfo, type IntegerConvolution } from '@bitwright/runtime'
import { describe, expect, it } from 'vitest'
import { builtinNames, builtinNetwork } from '../network/builtins.ts'
import { weightedNodes } from '../network/graph.ts'
import type { Network } from '../network/network.ts'
import { storageOf } from '../network/storage.ts'
import { withBits } from '../network/transform.ts'
import { randomDecisions } from '../spaces/decisions.ts'
import { kwsE2e } from '../spaces/kws-e2e.ts'
import { kwsMfcc } from '../spaces/kws-mfcc.ts'
import { integerRange, lowerSkeleton } from './lower.ts'

const classes = Array.from({ length: 12 }, (_, index) => `word${index}`)
const e2e = builtinNetwork('kws-e2e-e3k5', { classes })

/** Random networks of both spaces with random widths on every layer. */
function randomNetworks(count: number): Network[] {
  const random = new Random(11, 'lower')
  const spaces = [kwsE2e({ classes }), kwsE2e({ classes, frontEnd: 'conv1d', filters: 40 }), kwsMfcc({ classes })]
  return Array.from({ length: count }, (_, index) => {
    const network = spaces[index % spaces.length].build(randomDecisions(spaces[index % spaces.length], random))
    const width = (): number => 1 + random.integer(8)
    const overrides = Object.fromEntries(weightedNodes(network).map(({ id }) => [id, { weightBits: width(), activationBits: width() }]))
    return withBits(network, { weightBits: width(), activationBits: width() }, { overrides })
  })
}

describe('lowerSkeleton', () => {
  it('gives models that the core accepts, and that decode to the same structure', () => {
    for (const network of [...builtinNames.map((name) => builtinNetwork(name, { classes })), ...randomNetworks(24)]) {
      const { model } = lowerSkeleton(network)
      const file = encodeModel(model)
      expect(file.length).toBe(modelInfo(model).flashBytes)
      expect(decodeModel(file)).toEqual(model)
    }
  })

  it('tells where every node went', () => {
    for (const network of randomNetworks(12)) {
      const { model, layers, tensors, narrowing } = lowerSkeleton(network)
      const { inputs, values } = storageOf(network)
      expect(model.layers).toHaveLength(network.nodes.length - 1 + narrowing.size)
      for (const node of network.nodes.slice(1)) {
        const layer = model.layers[layers.get(node.id)!]
        expect(layer.name).toBe(node.id)
        expect(layer.output).toBe(tensors.get(node.id))
      }
      for (const node of weightedNodes(network)) {
        const layer = model.layers[layers.get(node.id)!] as IntegerConvolution
        const read = inputs.get(node.id)!
        expect(layer.weightBits).toBe(node.weightBits)
        expect(model.tensors[layer.input].bits).toBe(node.activationBits)
        expect(narrowing.has(node.id)).toBe(read.narrowed)
        if (read.narrowed) {
          const narrow = model.layers[narrowing.get(node.id)!]
          expect(narrow).toMatchObject({ op: 'requantize', input: tensors.get(node.inputs[0]), output: layer.input })
          expect(values.get(read.value)!.bits).toBeGreaterThan(read.bits)
        } else {
          expect(layer.input).toBe(tensors.get(node.inputs[0]))
        }
      }
    }
  })

  it('stores the built-in at 3 / 4 bits as the rules say', () => {
    const { model, tensors, layers, narrowing } = lowerSkeleton(withBits(e2e, { weightBits: 3, activationBits: 4 }))
    const tensor = (id: string) => model.tensors[tensors.get(id)!]
    expect(model.tensors[0]).toMatchObject({ name: 'input', shape: [16000, 1, 1], containerBits: 16, scale: 2 ** -15, zeroPoint: 0 })
    expect(tensor('frontEnd')).toMatchObject({ shape: [98, 1, 60], containerBits: 4, bits: 4, zeroPoint: 0, min: -8, max: 7 })
    expect(tensor('map')).toMatchObject({ shape: [98, 60, 1], containerBits: 4, min: -8, max: 7 })
    expect(tensor('first')).toMatchObject({ containerBits: 4, zeroPoint: 0, min: 0, max: 15 })
    expect(tensor('s3.l1.e3k5.project')).toMatchObject({ containerBits: 8, min: -128, max: 127 })
    expect(tensor('last')).toMatchObject({ containerBits: 8, zeroPoint: -128, min: -128, max: 127 })
    expect(tensor('pool')).toMatchObject({ shape: [1, 1, 80], containerBits: 4, min: 0, max: 15 })
    expect(tensor('logits')).toMatchObject({ shape: [1, 1, 12], containerBits: 16, min: -32768, max: 32767 })
    expect([...narrowing.keys()]).toEqual(['s3.l2', 's3.l3', 's4.l2', 's4.l3'].map((place) => `${place}.e3k5.expand`))
    expect((model.layers[layers.get('frontEnd')!] as IntegerConvolution).logOffset).toHaveLength(60)
    expect((model.layers[layers.get('first')!] as IntegerConvolution).logOffset).toBeUndefined()
    expect(model.layers[layers.get('s3.l1.e3k5.depthwise')!]).toMatchObject({ groups: 30, weights: { length: 30 * 25 } })
    expect(model.layers[layers.get('pool')!]).toMatchObject({ op: 'averagePool', kernelSize: [13, 8] })
  })
})

it('stores a pixel p as p - 128, worth (p - 128) / 128', () => {
  const { model, narrowing } = lowerSkeleton(withBits(builtinNetwork('resnet8', { classes }), { weightBits: 4, activationBits: 4 }))
  const pixel = { containerBits: 8, bits: 8, zeroPoint: 0, min: -128, max: 127, scale: 2 ** -7 }
  expect(model.tensors[0]).toMatchObject({ shape: [32, 32, 3], ...pixel })
  expect(model.layers[0]).toMatchObject({ name: 'first', input: 0 })
  expect(narrowing.has('stack1.first')).toBe(true)
})

describe('integerRange', () => {
  it('has as many levels as the width allows, zero among them, in the smallest container', () => {
    for (let bits = 1; bits <= 8; bits++) {
      for (const signed of bits === 1 ? [false] : [false, true]) {
        const { containerBits, zeroPoint, min, max } = integerRange({ bits, signed })
        expect(max - min + 1).toBe(2 ** bits)
        expect(zeroPoint).toBe(signed ? (min + max + 1) / 2 : min)
        expect(containerBits).toBe([2, 2, 4, 4, 8, 8, 8, 8][bits - 1])
        expect(min >= -128 && max <= 127).toBe(true)
      }
    }
  })
})
