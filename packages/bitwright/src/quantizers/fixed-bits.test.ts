import { expect, it } from 'vitest'
import { normalWeights, testWeightQuantizer } from './conformance.ts'
import { FixedBits } from './fixed-bits.ts'

testWeightQuantizer('fixed bits', {
  make: (size, channels, options) => new FixedBits(size, channels, options),
  leastBits: 1,
  granularities: ['tensor', 'channel'],
  learnsBits: false,
})

it('puts the largest weight on the largest integer', () => {
  const weights = Float32Array.of(0.125, -0.875, 0.3, 0.4375)
  const { values, scale } = new FixedBits(4, 1, { bits: 4, granularity: 'tensor' }).toIntegers(weights)
  expect([...values]).toEqual([1, -7, 2, 4]) // 0.4375 / 0.125 = 3.5, away from zero
  expect(scale[0]).toBe(0.125)
  const channels = new FixedBits(4, 2, { bits: 2, granularity: 'channel' }).toIntegers(weights)
  expect([...channels.values]).toEqual([1, -3, 3, 1]) // odd below 4 bits: steps of a third of the largest
  expect([...channels.scale]).toEqual([Math.fround(Math.fround(0.3) / 3), Math.fround(0.875 / 3)])
})

it('at one bit is the sign times the mean magnitude, with a clipped gradient', () => {
  const weights = Float32Array.of(0.5, -0.25, 0, -3)
  const quantizer = new FixedBits(4, 1, { bits: 1, granularity: 'tensor' })
  const out = new Float32Array(4)
  quantizer.forward(weights, out)
  expect([...out]).toEqual([0.9375, -0.9375, 0.9375, -0.9375])
  const dWeights = new Float32Array(4)
  quantizer.backward(weights, Float32Array.of(1, 2, 3, 4), dWeights)
  expect([...dWeights]).toEqual([1, 2, 3, 0])
})

it('passes gradients straight through from two bits on', () => {
  const weights = normalWeights(30, 3, 'straight')
  const dOut = normalWeights(30, 3, 'dOut')
  const dWeights = new Float32Array(30)
  new FixedBits(30, 3, { bits: 2, granularity: 'channel' }).backward(weights, dOut, dWeights)
  expect(dWeights).toEqual(dOut)
})
