import { describe, expect, it } from 'vitest'
import { finiteDifferences, normalWeights, testWeightQuantizer } from './conformance.ts'
import { LearnedStep } from './learned-step.ts'
import { areOdd, ternaryBits, weightLimit } from './uniform.ts'

testWeightQuantizer('learned step', {
  make: (size, channels, options) => new LearnedStep(size, channels, options),
  leastBits: 1,
  widths: [1, ternaryBits, 2, 3, 4, 5, 6, 7, 8],
  granularities: ['tensor', 'channel'],
  learnsBits: false,
})

describe.each(['tensor', 'channel'] as const)('gradients, one step per %s', (granularity) => {
  it.each([1, ternaryBits, 2, 3, 4, 8])('are those of the surrogate whose rounding errors are frozen, at %i bits', (bits) => {
    const channels = 5
    const size = 60
    const weights = normalWeights(size, channels, 'lsq', bits)
    const dOut = normalWeights(size, channels, 'lsq dOut', bits)
    const quantizer = new LearnedStep(size, channels, { bits, granularity })
    quantizer.initialize(weights)
    const limit = weightLimit(bits)
    const nearest = (ratio: number) => (areOdd(bits) ? 2 * Math.floor(ratio / 2) + 1 : Math.round(ratio))
    const [{ values, gradients }] = quantizer.parameters()
    values.forEach((value, i) => (values[i] = 0.8 * value)) // so that some weights are clipped
    const groups = values.length
    const steps = [...values]
    const errors = Array.from(weights, (w, i) => nearest(w / steps[i % groups]) - w / steps[i % groups])
    const inside = Array.from(weights, (w, i) => Math.abs(w / steps[i % groups]) <= limit)
    expect(inside).toContain(true)
    expect(inside).toContain(false)
    const loss = (w: readonly number[], s: readonly number[]): number =>
      w.reduce((sum, value, i) => {
        const step = s[i % groups]
        return sum + dOut[i] * step * (inside[i] ? value / step + errors[i] : Math.sign(value) * limit)
      }, 0)

    const dWeights = new Float32Array(size)
    quantizer.backward(weights, dOut, dWeights)
    const expected = finiteDifferences((w) => loss(w, steps), [...weights])
    dWeights.forEach((value, i) => expect(value).toBeCloseTo(expected[i], 5))
    const factor = 1 / Math.sqrt((size / groups) * limit)
    finiteDifferences((s) => loss([...weights], s), steps).forEach((value, i) => expect(gradients[i]).toBeCloseTo(factor * value, 5))
  })
})

it('starts at the step of least squared error', () => {
  const weights = normalWeights(2000, 1, 'mse')
  const levels = (bits: number) =>
    bits === 2 ? [-3, -1, 1, 3] : bits === 3 ? [-7, -5, -3, -1, 1, 3, 5, 7] : [...Array(15)].map((_, i) => i - 7)
  const error = (step: number, bits: number): number =>
    weights.reduce((sum, w) => sum + Math.min(...levels(bits).map((level) => (w - step * level) ** 2)), 0)
  for (const bits of [2, 3, 4]) {
    const quantizer = new LearnedStep(2000, 1, { bits, granularity: 'tensor' })
    quantizer.initialize(weights)
    const step = quantizer.parameters()[0].values[0]
    let best = Infinity
    for (let candidate = 0.0005; candidate < 0.5; candidate += 0.0005) best = Math.min(best, error(candidate, bits))
    expect(error(step, bits)).toBeLessThan(1.005 * best)
  }
})
