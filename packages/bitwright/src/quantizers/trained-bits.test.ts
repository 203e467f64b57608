import { describe, expect, it } from 'vitest'
import { finiteDifferences, normalWeights, testWeightQuantizer } from './conformance.ts'
import { TrainedBits } from './trained-bits.ts'
import { areOdd, weightLimit } from './uniform.ts'

testWeightQuantizer('trained bits', {
  make: (size, channels, options) => new TrainedBits(size, channels, options),
  leastBits: 2,
  granularities: ['tensor', 'channel'],
  learnsBits: true,
})

describe.each(['tensor', 'channel'] as const)('gradients, one scale per %s', (granularity) => {
  it.each([0.3, 1.2, 2.4, -3.3, 5.7])('are those of the surrogate whose rounding errors are frozen, at offset %f', (offset) => {
    const channels = 4
    const size = 40
    const groups = granularity === 'channel' ? channels : 1
    const weights = normalWeights(size, channels, 'trained', offset)
    const dOut = normalWeights(size, channels, 'trained dOut', offset)
    const quantizer = new TrainedBits(size, channels, { bits: 4, granularity })
    quantizer.initialize(weights)
    const [{ values, gradients }] = quantizer.parameters()
    values[0] = offset
    const bits = Math.round(Math.abs(offset) + 2)
    expect(quantizer.bits()).toBe(bits)
    const bitsError = bits - (Math.abs(offset) + 2)
    const scales = (w: readonly number[], o: number): number[] =>
      Array.from({ length: groups }, (_, group) => {
        const largest = Math.max(...w.filter((_value, i) => i % groups === group).map(Math.abs))
        return largest / (2 ** (Math.abs(o) + 2 + bitsError - (areOdd(bits) ? 0 : 1)) - 1)
      })
    const base = scales([...weights], offset)
    const errors = Array.from(weights, (w, i) => {
      const ratio = w / base[i % groups]
      const nearest = areOdd(bits) ? 2 * Math.floor(ratio / 2) + 1 : Math.round(ratio)
      // the largest is on its level or next to the edge
      return Math.max(-weightLimit(bits), Math.min(weightLimit(bits), nearest)) - ratio
    })
    const loss = (w: readonly number[], o: number): number => {
      const s = scales(w, o)
      return w.reduce((sum, value, i) => sum + dOut[i] * s[i % groups] * (value / s[i % groups] + errors[i]), 0)
    }

    const dWeights = new Float32Array(size)
    quantizer.backward(weights, dOut, dWeights)
    const expected = finiteDifferences((w) => loss(w, offset), [...weights])
    dWeights.forEach((value, i) => expect(value).toBeCloseTo(expected[i], 4))
    const [dOffset] = finiteDifferences(([o]) => loss([...weights], o), [offset])
    expect(gradients[0]).toBeCloseTo(dOffset, 4)
  })
})

it('has slope one at offset zero, so that a width can grow again', () => {
  const quantizer = new TrainedBits(4, 1, { bits: 2, granularity: 'tensor' })
  quantizer.penaltyGradient(-0.5)
  expect(quantizer.parameters()[0].gradients[0]).toBe(-0.5)
})

it('keeps the width in 2 to 8', () => {
  const quantizer = new TrainedBits(4, 1, { bits: 8, granularity: 'tensor' })
  const [{ values }] = quantizer.parameters()
  values[0] = -9
  expect(quantizer.bits()).toBe(8)
  quantizer.constrain()
  expect(values[0]).toBe(-6)
})
