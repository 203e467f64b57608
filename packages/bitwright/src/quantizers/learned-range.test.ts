import { expect, it } from 'vitest'
import { finiteDifferences, normalWeights, testWeightQuantizer } from './conformance.ts'
import { LearnedRange, StepAndRange } from './learned-range.ts'

testWeightQuantizer('learned range', {
  make: (size, channels, options) => new LearnedRange(size, channels, options),
  leastBits: 2,
  granularities: ['tensor'], // the paper has one step and range per tensor
  learnsBits: true,
})

it('uses power-of-two steps only', () => {
  const weights = normalWeights(300, 3, 'power')
  const quantizer = new LearnedRange(300, 3, { bits: 4, granularity: 'tensor' })
  quantizer.initialize(weights)
  const [step] = quantizer.parameters()
  for (const factor of [1, 1.3, 1.5, 0.8, 0.6]) {
    const value = step.values[0]
    step.values[0] *= factor
    const { scale } = quantizer.toIntegers(weights)
    expect(Number.isInteger(Math.log2(scale[0]))).toBe(true)
    expect(Math.abs(Math.log2(scale[0]) - Math.log2(step.values[0]))).toBeLessThanOrEqual(0.5)
    step.values[0] = value
  }
  expect(() => new LearnedRange(6, 3, { bits: 4, granularity: 'channel' })).toThrow(/one step per tensor/)
})

it('has the gradients of the paper: inside to the step, outside to the range, clipped to the step', () => {
  const weights = Float32Array.of(0.1, -0.2, 0.9, -1.7, 0.3)
  const run = (dOut: number[]): { step: number; range: number; dWeights: number[] } => {
    const quantizer = new LearnedRange(5, 1, { bits: 3, granularity: 'tensor' })
    const [step, range] = quantizer.parameters()
    step.values[0] = 0.25
    range.values[0] = 0.75
    const dWeights = new Float32Array(5)
    quantizer.backward(weights, Float32Array.from(dOut), dWeights)
    return { step: step.gradients[0], range: range.gradients[0], dWeights: [...dWeights] }
  }
  const small = run([0.01, 0.02, 0.03, 0.05, 0.04])
  expect(small.dWeights.map((value) => Math.round(1e6 * value) / 1e6)).toEqual([0.01, 0.02, 0, 0, 0.04])
  expect(small.step).toBeCloseTo(0.01 * (0 - 0.4) + 0.02 * (-1 + 0.8) + 0.04 * (1 - 1.2), 6)
  expect(small.range).toBeCloseTo(0.03 - 0.05, 6)
  const large = run([10, 0, 20, 0, 0])
  expect([large.step, large.range]).toEqual([-0.25, 0.25])
})

it.each([true, false])('infers the width, signed %s, and its penalty has the slope of log2(x_max / d + 1)', (signed) => {
  const grid = new StepAndRange(signed)
  for (const [limit, bits] of signed
    ? [
        [1, 2],
        [3, 3],
        [7, 4],
        [127, 8],
      ]
    : [
        [1, 1],
        [3, 2],
        [4, 3],
        [15, 4],
        [255, 8],
      ]) {
    grid.start(2 ** -4, limit)
    expect([grid.bits(), grid.limit(), grid.scale()]).toEqual([bits, limit, 2 ** -4])
    expect(grid.limit()).toBeLessThanOrEqual(2 ** (signed ? bits - 1 : bits) - 1)
  }
  grid.start(0.25, 7)
  grid.penalty(0.01)
  const [dStep, dRange] = finiteDifferences(([d, x]) => 0.01 * Math.log2(x / d + 1), [0.25, 1.75])
  expect(grid.step.gradients[0]).toBeCloseTo(dStep, 6)
  expect(grid.range.gradients[0]).toBeCloseTo(dRange, 6)
})

it('never holds an integer that its width cannot, whatever the optimiser did', () => {
  for (const signed of [true, false]) {
    const grid = new StepAndRange(signed)
    const draws = normalWeights(400, 1, 'wild', String(signed))
    for (let i = 0; i < 400; i += 2) {
      grid.step.values[0] = draws[i] * 10 ** (i % 5)
      grid.range.values[0] = draws[i + 1] * 100
      grid.constrain()
      expect(grid.limit()).toBeLessThanOrEqual(2 ** (grid.bits() - (signed ? 1 : 0)) - 1)
      expect(grid.step.values[0]).toBeLessThanOrEqual(grid.range.values[0])
      expect(grid.range.values[0] / grid.scale()).toBeLessThanOrEqual(signed ? 127.001 : 255.001)
    }
  }
})
