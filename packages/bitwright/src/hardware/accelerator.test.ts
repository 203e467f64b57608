// Cycles and energy by hand, with the arithmetic written out.
import { describe, expect, it } from 'vitest'
import { builtinNetwork } from '../network/builtins.ts'
import { withBits } from '../network/transform.ts'
import { layerCycles, layerPicojoules } from './accelerator.ts'
import { bitFusion, bitFusionKind } from './bit-fusion.ts'
import { bitSerial, bitSerialKind } from './bit-serial.ts'
import { networkLayers, parseLayer } from './layer-shape.ts'
import { timeModel } from './targets.ts'

const dense = 'convolution 3x3 stride 1x1 pad 1,1,1,1 map 32x32x16 to 32 w4 a8>8'
const depthwise = 'depthwise 3x3 stride 1x1 pad 1,1,1,1 map 25x5x64 to 64 w8 a8>8'
const attention = 'attend map 25x10x8 to 32 a8>8'
const linear = 'convolution 1x1 stride 1x1 pad 0,0,0,0 map 1x1x64 to 12 w2 a4>16'

describe('bit-serial: 64 rows, 32 columns, one bit by one bit a cycle, 96 cycles to fill', () => {
  it.each([
    // 3 x 3 x 16 = 144 inputs: 3 tiles of 64; 32 outputs: 1 tile; 1024 pixels; 4 x 8 = 32 cycles a product
    [dense, 1024 * 3 * 1 * 32 + 96],
    // 9 inputs: 1 tile; 64 channels on one column: 64 tiles; 125 pixels; 8 x 8 cycles
    [depthwise, 125 * 1 * 64 * 64 + 96],
    // 64 inputs: 1 tile; 12 outputs: 1 tile; 2 x 4 = 8 cycles; its 64 x 12 x 2 = 1536 bits of weights come in 6
    [linear, 8 + 96],
    // 250 queries of 8 values with 250 keys: 8 tiles of 32, 8 x 8 cycles; 250^2 values, 32 at a time; 250 probabilities of 16 bits: 4 tiles
    [attention, 250 * 8 * 64 + 96 + 1954 + 250 * 4 * 128 + 96],
  ])('%s: %d cycles', (text, cycles) => {
    expect(layerCycles(bitSerial, bitSerialKind(bitSerial), parseLayer(text)!)).toBe(cycles)
  })

  it('energy: products, bits from memory, and what passes with time', () => {
    const products = 64 * 12 * (2 * 4) * 0.012
    const bits = (64 * 12 * 2 + 64 * 4 + 12 * 16) * 0.08
    expect(layerPicojoules(bitSerial, bitSerialKind(bitSerial), parseLayer(linear)!)).toBeCloseTo(products + bits + 104 * 5, 9)
    const pairs = 250 ** 2 * (8 * 8 * 8 + 32 * 8 * 16) * 0.012
    const moved = 250 * (8 + 8 + 32 + 32) * 8 * 0.08
    const all = layerPicojoules(bitSerial, bitSerialKind(bitSerial), parseLayer(attention)!)
    expect(all).toBeCloseTo(pairs + moved + (250 * 8 * 64 + 96 + 1954 + 250 * 4 * 128 + 96) * 5, 4)
  })
})

describe('bit-fusion: 16 x 16 units of 16 bricks, 32 cycles to fill', () => {
  it.each([
    // 4 by 8 bits: 2 x 4 = 8 bricks, so 2 products a unit; 144 inputs in tiles of 16 x 2: 5; 32 outputs in tiles of 16: 2; 1024 pixels
    [dense, 1024 * 5 * 2 * 1 + 32],
    // 8 by 8 bits: all 16 bricks; 9 inputs: 1 tile; 64 channels on one column; 125 pixels
    [depthwise, 125 * 1 * 64 * 1 + 32],
    // 2 by 4 bits: 2 bricks, 8 products a unit; 64 inputs in tiles of 128: 1; 12 outputs: 1. The weights' 1536 bits take 6 cycles, the products 1
    [linear, 6 + 32],
    // 8 by 16 bits: 4 x 8 = 32 bricks, 2 cycles a product; 400 inputs in tiles of 16: 25; 60 outputs: 4; 98 pixels
    ['convolution 400x1 stride 160x1 pad 0,0,0,0 map 16000x1x1 to 60 w8 a16>8', 98 * 25 * 4 * 2 + 32],
    // 3 bits by 5 count as 4 by 8
    [dense.replace('w4 a8', 'w3 a5'), 1024 * 5 * 2 + 32],
    // 16 bricks a product of queries and keys: 250 keys in 16 tiles; 250^2 / 16 values; 32 bricks for 16 bits: 16 x 2 tiles of 2 cycles
    [attention, 250 * 16 + 32 + 3907 + 250 * 16 * 2 * 2 + 32],
    // no products: 25 x 5 x 64 sums, 16 at a time; a mean of 125 values for each of 64
    ['add map 25x5x64 a8>8', 500],
    ['pool 25x5 stride 1x1 map 25x5x64 a8>8', 500],
    ['reshape map 25x5x64 a8>8', 0],
  ])('%s: %d cycles', (text, cycles) => {
    expect(layerCycles(bitFusion, bitFusionKind(bitFusion), parseLayer(text)!)).toBe(cycles)
  })

  it('energy: bricks, bits from memory, and what passes with time', () => {
    const products = 64 * 12 * 2 * 0.05
    const bits = (64 * 12 * 2 + 64 * 4 + 12 * 16) * 0.08
    expect(layerPicojoules(bitFusion, bitFusionKind(bitFusion), parseLayer(linear)!)).toBeCloseTo(products + bits + 38 * 10, 9)
  })
})

it.each([bitSerial, bitFusion])('$name: a network is the sum of its nodes, and narrower is faster and takes less', (array) => {
  const float = builtinNetwork('resnet8', { classes: ['a', 'b'] })
  const timed = (network: typeof float, clockHz?: number) => timeModel(array, clockHz).time(networkLayers(network), network.frontEnd)
  const [eight, four, two] = [8, 4, 2].map((bits) => timed(withBits(float, { weightBits: bits, activationBits: bits }, { edges: 'same' })))
  for (const time of [eight, four, two]) {
    for (const key of ['cycles', 'latencyMs', 'energyUj'] as const) {
      expect(time.nodes.reduce((sum, node) => sum + node[key]!, 0) / time[key]!).toBeCloseTo(1, 9)
    }
  }
  expect(four.cycles! / eight.cycles!).toBeLessThan(0.5)
  expect(two.cycles!).toBeLessThan(four.cycles!)
  expect(two.energyUj!).toBeLessThan(four.energyUj!)
  expect(timed(float, 2 * array.clockHz).latencyMs).toBeCloseTo(timed(float).latencyMs / 2, 9)
})
