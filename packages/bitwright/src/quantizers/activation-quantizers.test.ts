// One suite for the activation quantizers: the kernel they feed is written here in float64, and gradients are compared with those
// of a surrogate in which the rounding errors v/s -> round(v/s) are frozen, which is what "straight through" means.
import { describe, expect, it } from 'vitest'
import { finiteDifferences, normalWeights } from './conformance.ts'
import type { ActivationQuantizer, ActivationQuantizerOptions } from './activation-quantizer.ts'
import { ActivationStatistics } from './activation-statistics.ts'
import type { BitSharingActivation } from './bit-sharing.ts'
import { FixedBitsActivation } from './fixed-bits-activation.ts'
import { LatentBitsActivation } from './latent-bits-activation.ts'
import { LearnedRangeActivation } from './learned-range-activation.ts'
import { NestedBitsActivation } from './nested-bits-activation.ts'
import { TrainedBitsActivation } from './trained-bits-activation.ts'

const elements = 300
const sample = (signed: boolean, seed: string): number[] => {
  const values = normalWeights(elements, 1, seed)
  return Array.from(values, (value) => 30 * (signed ? value : Math.max(0, value)))
}
const statisticsOf = (values: readonly number[]): ActivationStatistics => {
  const statistics = new ActivationStatistics()
  statistics.observe(values)
  return statistics
}

interface Sums {
  inside: number
  low: number
  high: number
}
/** The kernel's three sums, from the slot alone. */
function kernelSums(quantizer: ActivationQuantizer, values: readonly number[], dOut: readonly number[]): Sums {
  const slot = new Float32Array(6)
  quantizer.writeSlot(slot, 1)
  const [, scale, inverse, minimum, maximum] = slot
  expect(scale * inverse).toBeCloseTo(1, 6)
  const sums = { inside: 0, low: 0, high: 0 }
  values.forEach((value, i) => {
    const ratio = value / scale
    if (ratio < minimum) sums.low += dOut[i]
    else if (ratio > maximum) sums.high += dOut[i]
    else sums.inside += (Math.round(ratio) - ratio) * dOut[i]
  })
  return sums
}
/** Loss sum(dOut * out) of the frozen surrogate, with scale and limits as functions of real-valued parameters. */
function surrogate(quantizer: ActivationQuantizer, values: readonly number[], dOut: readonly number[]) {
  const base = quantizer.grid()
  return (scale: number, minimum: number, maximum: number): number =>
    values.reduce((sum, value, i) => {
      const ratio = value / base.scale
      if (ratio < base.minimum) return sum + dOut[i] * scale * minimum
      if (ratio > base.maximum) return sum + dOut[i] * scale * maximum
      return sum + dOut[i] * scale * (value / scale + Math.round(ratio) - ratio)
    }, 0)
}

const shared =
  <Options extends ActivationQuantizerOptions>(make: (options: Options & { widths: number[] }) => BitSharingActivation, widths: number[]) =>
  (options: Options): ActivationQuantizer => {
    const quantizer = make({ ...options, widths })
    quantizer.select(options.bits)
    return quantizer
  }
const all = [2, 3, 4, 5, 6, 7, 8]
const kinds: [string, (options: ActivationQuantizerOptions) => ActivationQuantizer, widths?: number[]][] = [
  ['learned step', (options) => new FixedBitsActivation(options)],
  ['learned alpha', (options) => new FixedBitsActivation({ ...options, learn: 'range' })],
  ['trained bits', (options) => new TrainedBitsActivation(options)],
  ['learned range', (options) => new LearnedRangeActivation(options)],
]
const sharing: typeof kinds = [
  ['nested bits', shared((options) => new NestedBitsActivation(options), [2, 4, 8]), [2, 4, 8]],
  ['latent bits', shared((options) => new LatentBitsActivation(options), all)],
]

describe.each([...kinds, ...sharing])('%s', (name, make, widths = all) => {
  it.each([true, false])('has the limits of its width, signed %s', (signed) => {
    for (const bits of widths) {
      const quantizer = make({ bits, signed, elements })
      quantizer.initialize(statisticsOf(sample(signed, name)))
      const maximum = signed ? 2 ** (bits - 1) - 1 : 2 ** bits - 1
      expect(quantizer.grid()).toMatchObject({ minimum: signed ? -maximum - 1 : 0, maximum })
      expect(quantizer.bits()).toBe(bits)
      expect(quantizer.sizeBits()).toBe(bits * elements)
      const copy = make({ bits, signed, elements })
      copy.restore(quantizer.state())
      expect(copy.grid()).toEqual(quantizer.grid())
    }
    expect(() => make({ bits: 1, signed: true, elements })).toThrow(
      widths === all && kinds.some(([own]) => own === name)
        ? /signed activation: bits .* 2 to 8/
        : /1 bits are not among the shared widths/,
    )
    expect(() => make({ bits: 9, signed, elements })).toThrow(/got 9|9 bits are not among/)
  })

  it('stretches at its width', () => {
    for (const bits of widths) {
      const quantizer = make({ bits, signed: false, elements })
      quantizer.initialize(statisticsOf(sample(false, name)))
      const { scale, ...limits } = quantizer.grid()
      quantizer.rescale(4)
      expect(quantizer.grid()).toEqual({ scale: 4 * scale, ...limits })
      expect(quantizer.bits()).toBe(bits)
    }
  })

  it('learns nothing from what an unsigned grid maps to zero', () => {
    const quantizer = make({ bits: 4, signed: false, elements })
    quantizer.initialize(statisticsOf(sample(false, name)))
    quantizer.backward(0, 5, 0)
    for (const { gradients } of quantizer.parameters()) expect(gradients.every((value) => value === 0)).toBe(true)
  })

  it('accumulates, and is harmless on a value that is always zero', () => {
    const quantizer = make({ bits: 4, signed: false, elements })
    quantizer.initialize(statisticsOf(Array.from({ length: elements }, () => 0)))
    quantizer.backward(0.001, 0.002, 0.003)
    const once = quantizer.parameters().map(({ gradients }) => [...gradients])
    quantizer.backward(0.001, 0.002, 0.003)
    quantizer
      .parameters()
      .forEach(({ gradients }, group) => gradients.forEach((value, i) => expect(value).toBeCloseTo(2 * once[group][i], 9)))
    quantizer.constrain()
    expect(quantizer.grid().scale).toBeGreaterThan(0)
    expect(Number.isFinite(1 / quantizer.grid().scale)).toBe(true)
    for (const { values } of quantizer.parameters()) values.fill(-1)
    quantizer.constrain()
    expect(quantizer.grid().scale).toBeGreaterThan(0)
  })
})

describe.each([true, false])('gradients, signed %s', (signed) => {
  const values = sample(signed, 'values')
  const dOut = sample(true, 'dOut').map((value) => value / 100)
  const limitOf = (bits: number): number => 2 ** (signed ? bits - 1 : bits) - 1

  it.each(['step', 'range'] as const)('of the learned %s', (learn) => {
    for (const bits of signed ? [2, 4, 8] : [1, 2, 4, 8]) {
      const quantizer = new FixedBitsActivation({ bits, signed, elements, learn })
      quantizer.initialize(statisticsOf(values))
      const [{ values: learned, gradients }] = quantizer.parameters()
      learned[0] *= 0.7
      const loss = surrogate(quantizer, values, dOut)
      const sums = kernelSums(quantizer, values, dOut)
      expect(sums.high).not.toBe(0)
      quantizer.backward(sums.inside, sums.low, sums.high)
      const limit = limitOf(bits)
      const unit = learn === 'step' ? 1 : limit
      const [slope] = finiteDifferences(([p]) => loss(p / unit, signed ? -limit - 1 : 0, limit), [learned[0]])
      expect(gradients[0]).toBeCloseTo(learn === 'step' ? slope / Math.sqrt(elements * limit) : slope, 4)
    }
  })

  it.each([2, 4, 8])('of what shared widths learn, at %i bits', (bits) => {
    const nested = new NestedBitsActivation({ widths: [2, 4, 8], signed, elements })
    const latent = new LatentBitsActivation({ widths: [2, 4, 8], signed, elements })
    const limit = limitOf(bits)
    for (const quantizer of [nested, latent]) {
      quantizer.initialize(statisticsOf(values))
      for (const { values: learned } of quantizer.parameters()) learned[0] *= 0.7
      quantizer.select(bits)
      const loss = surrogate(quantizer, values, dOut)
      const sums = kernelSums(quantizer, values, dOut)
      quantizer.backward(sums.inside, sums.low, sums.high)
      const { scale } = quantizer.grid()
      const [dStep] = finiteDifferences(([p]) => loss(p, signed ? -limit - 1 : 0, limit), [scale])
      const learned = quantizer === nested ? nested.parameters()[0] : latent.parameters()[[2, 4, 8].indexOf(bits)]
      expect(learned.gradients[0]).toBeCloseTo((dStep * scale) / learned.values[0], 3)
      for (const other of quantizer.parameters()) if (other !== learned) expect(other.gradients[0]).toBe(0)
    }
  })

  it('of nested widths reach the same numbers, bit for bit', () => {
    for (const range of [0.1, 1, 3.3333, 77]) {
      const quantizer = new NestedBitsActivation({ widths: [2, 4, 8], signed, elements })
      quantizer.parameters()[0].values[0] = range
      const [two, four, eight] = [2, 4, 8].map((bits) => {
        quantizer.select(bits)
        const { scale, minimum, maximum } = quantizer.grid()
        return Array.from({ length: maximum - minimum + 1 }, (_, i) => Math.fround(scale * (minimum + i)))
      })
      expect([two.length, four.length, eight.length]).toEqual([4, 16, 256])
      expect(two.every((value) => four.includes(value))).toBe(true)
      expect(four.every((value) => eight.includes(value))).toBe(true)
      expect(signed ? Math.min(...two) : Math.max(...two)).toBeCloseTo(signed ? -range : range, 2)
    }
  })

  it.each([0.2, 1.4, -2.3, 5.9])('of alpha and of the trained width, offset %f', (offset) => {
    const quantizer = new TrainedBitsActivation({ bits: 4, signed, elements })
    quantizer.initialize(statisticsOf(values))
    const [alpha, width] = quantizer.parameters()
    alpha.values[0] *= 0.6
    width.values[0] = offset
    const bits = quantizer.bits()
    expect(bits).toBe(Math.round(Math.abs(offset) + 2))
    const loss = surrogate(quantizer, values, dOut)
    const sums = kernelSums(quantizer, values, dOut)
    quantizer.backward(sums.inside, sums.low, sums.high)
    const rounding = bits - Math.abs(offset) - 2
    const [dAlpha, dOffset] = finiteDifferences(
      ([a, o]) => {
        const limit = limitOf(Math.abs(o) + 2 + rounding)
        return loss(a / limit, signed ? -limit - 1 : 0, limit)
      },
      [alpha.values[0], offset],
    )
    expect(alpha.gradients[0]).toBeCloseTo(dAlpha, 4)
    expect(width.gradients[0]).toBeCloseTo(dOffset, 4)
    quantizer.penaltyGradient(2)
    expect(width.gradients[0]).toBeCloseTo(dOffset + 2 * Math.sign(offset), 4)
  })

  it('of power-of-two step and range', () => {
    const quantizer = new LearnedRangeActivation({ bits: 3, signed, elements })
    quantizer.initialize(statisticsOf(values))
    const [step, range] = quantizer.parameters()
    const small = dOut.map((value) => value / 1000) // below the clip of +-d
    const { inside, low, high } = kernelSums(quantizer, values, small)
    quantizer.backward(inside, low, high)
    // Case (d, x_max): inside Q = d * round, outside Q = x_max or -x_max - d.
    const { scale, minimum, maximum } = quantizer.grid()
    const loss = ([d, x]: number[]): number =>
      values.reduce((sum, value, i) => {
        const ratio = value / scale
        const out = ratio < minimum ? (signed ? -x - d : 0) : ratio > maximum ? x : value + d * (Math.round(ratio) - ratio)
        return sum + small[i] * out
      }, 0)
    const [dStep, dRange] = finiteDifferences(loss, [scale, range.values[0]])
    expect(step.gradients[0]).toBeCloseTo(dStep, 6)
    expect(range.gradients[0]).toBeCloseTo(dRange, 6)
    quantizer.backward(1e6, 0, -1e6)
    expect(step.gradients[0]).toBeCloseTo(dStep + scale, 3)
    expect(range.gradients[0]).toBeCloseTo(dRange - scale, 3)
  })
})

describe('ActivationStatistics', () => {
  it('does not depend on how the values were cut into batches or ordered', () => {
    const values = sample(true, 'batches')
    const whole = statisticsOf(values)
    const parts = new ActivationStatistics()
    for (let i = values.length - 1; i >= 0; i--) parts.observe([values[i]])
    expect(parts.maxAbs()).toBe(Math.max(...values.map(Math.abs)))
    expect(parts.maxAbs()).toBe(whole.maxAbs())
    expect(parts.meanAbs()).toBeCloseTo(whole.meanAbs(), 9)
    expect(parts.optimalStep(7)).toBe(whole.optimalStep(7))
    expect(() => parts.observe([0, Number.NaN])).toThrow(/value 1 is NaN/)
  })

  it('finds the step of least squared error from its histogram', () => {
    const values = sample(false, 'histogram')
    const error = (step: number, limit: number): number =>
      values.reduce((sum, value) => sum + (value - step * Math.min(limit, Math.round(value / step))) ** 2, 0)
    for (const bits of [1, 2, 3, 4, 8]) {
      const limit = 2 ** bits - 1
      const step = statisticsOf(values).optimalStep(limit)
      let best = Infinity
      for (let candidate = 0.002; candidate < 10; candidate += 0.002) best = Math.min(best, error(candidate, limit))
      expect(error(step, limit)).toBeLessThan((bits === 8 ? 1.5 : 1.02) * best + 1e-9)
    }
  })
})
