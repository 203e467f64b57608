// What every weight quantizer must satisfy; the test of a quantizer calls this with a factory and adds its own gradients.
import { Random } from '@bitwright/engine'
import { describe, expect, it } from 'vitest'
import { UsageError } from '../errors.ts'
import { ternaryBits } from './uniform.ts'
import type { Granularity, WeightQuantizer, WeightQuantizerOptions } from './weight-quantizer.ts'

export interface QuantizerCase {
  readonly make: (size: number, channels: number, options: WeightQuantizerOptions) => WeightQuantizer
  readonly leastBits: number
  /** Default: all from `leastBits` to 8. */
  readonly widths?: readonly number[]
  readonly granularities: readonly Granularity[]
  /** Whether a penalty on the width can move it. */
  readonly learnsBits: boolean
}

/** Normal weights [size / channels, channels], channel c about (1 + c) / 10 wide. */
export function normalWeights(size: number, channels: number, ...path: (string | number)[]): Float32Array {
  const random = new Random(3, ...path)
  return Float32Array.from({ length: size }, (_, i) => (random.normal() * (1 + (i % channels))) / 10)
}

// Awkward sizes on purpose: one weight, one channel, odd counts.
const sizes = [
  [1, 1],
  [3, 3],
  [27, 1],
  [105, 7],
  [1023, 33],
] as const

const error = (a: Float32Array, b: Float32Array): number => a.reduce((sum, value, i) => sum + (value - b[i]) ** 2, 0)
const forward = (quantizer: WeightQuantizer, weights: Float32Array): Float32Array => {
  const out = new Float32Array(weights.length)
  quantizer.forward(weights, out)
  return out
}

export function testWeightQuantizer(name: string, { make, leastBits, granularities, learnsBits, ...given }: QuantizerCase): void {
  const widths = given.widths ?? Array.from({ length: 9 - leastBits }, (_, i) => leastBits + i)
  /** The width itself, or the next one that there is. */
  const from = (bits: number): number => widths.find((width) => width >= bits)!

  describe.each(granularities)(`${name}, one scale per %s`, (granularity) => {
    const started = (weights: Float32Array, channels: number, bits: number): WeightQuantizer => {
      const quantizer = make(weights.length, channels, { bits, granularity })
      quantizer.initialize(weights)
      return quantizer
    }

    it.each(sizes)('gives integers that are its forward pass, bit for bit: %i weights, %i channels', (size, channels) => {
      for (const bits of widths) {
        const weights = normalWeights(size, channels, name, size, bits)
        const quantizer = started(weights, channels, bits)
        const out = forward(quantizer, weights)
        const { values, scale, isOdd } = quantizer.toIntegers(weights)
        expect(scale).toHaveLength(granularity === 'channel' ? channels : 1)
        expect([...scale].every((each) => each > 0 && Number.isFinite(each))).toBe(true)
        expect(out).toEqual(Float32Array.from(values, (value, i) => Math.fround(scale[i % scale.length] * value)))
        const limit = bits === ternaryBits ? 1 : isOdd ? 2 ** bits - 1 : 2 ** (bits - 1) - 1
        expect(values.every((value) => Math.abs(value) <= limit && (!isOdd || value % 2 !== 0))).toBe(true)
        if (bits === 1) expect(isOdd).toBe(true)
        if (bits === ternaryBits) expect(isOdd).toBe(false)
        expect(quantizer.bits()).toBe(bits)
        expect(quantizer.sizeBits()).toBe(bits * size)
        const inPlace = weights.slice()
        quantizer.forward(inPlace, inPlace)
        expect(inPlace).toEqual(out)
      }
    })

    it('is closer with more bits (from 2 on), odd, and leaves its own output alone', () => {
      const weights = normalWeights(462, 7, name, 'error')
      let previous = Infinity
      for (const bits of widths) {
        const quantizer = started(weights, 7, bits)
        const out = forward(quantizer, weights)
        if (bits > 1) expect(error(weights, out)).toBeLessThan(previous)
        if (bits > 1) previous = error(weights, out)
        const negated = weights.map((value) => -value)
        expect(forward(quantizer, negated).every((value, i) => value === -out[i])).toBe(true)
        forward(quantizer, out).forEach((value, i) => expect(value).toBeCloseTo(out[i], 5))
      }
      expect(previous).toBeLessThan(1e-3 * error(weights, new Float32Array(weights.length)))
    })

    it('accumulates gradients and changes nothing else', () => {
      const weights = normalWeights(105, 7, name, 'gradients')
      const dOut = normalWeights(105, 7, name, 'dOut')
      const quantizer = started(weights, 7, from(3))
      const before = [weights.slice(), dOut.slice(), quantizer.state()]
      const once = new Float32Array(105)
      quantizer.backward(weights, dOut, once)
      const learned = quantizer.parameters().map(({ gradients }) => gradients.slice())
      const twice = once.slice()
      quantizer.backward(weights, dOut, twice)
      twice.forEach((value, i) => expect(value).toBeCloseTo(2 * once[i], 5))
      quantizer
        .parameters()
        .forEach(({ gradients }, group) => gradients.forEach((value, i) => expect(value).toBeCloseTo(2 * learned[group][i], 5)))
      expect([weights, dOut, quantizer.state()]).toEqual(before)
      expect(once.some((value) => value !== 0)).toBe(true)
    })

    it('survives all-zero weights', () => {
      const zeros = new Float32Array(21)
      for (const bits of widths) {
        const quantizer = started(zeros, 7, bits)
        const dWeights = new Float32Array(21)
        quantizer.backward(zeros, new Float32Array(21).fill(1), dWeights)
        quantizer.constrain()
        expect(forward(quantizer, zeros).every((value) => Math.abs(value) < 1e-6)).toBe(true)
        expect(dWeights.every(Number.isFinite)).toBe(true)
        expect(quantizer.parameters().every(({ gradients }) => gradients.every(Number.isFinite))).toBe(true)
      }
    })

    it('goes on from a saved state with the same bits', () => {
      const weights = normalWeights(105, 7, name, 'state')
      const quantizer = started(weights, 7, from(4))
      for (const { values } of quantizer.parameters()) values.forEach((value, i) => (values[i] = value * 0.9))
      quantizer.constrain()
      const copy = make(105, 7, { bits: 4, granularity })
      copy.restore(quantizer.state())
      expect(forward(copy, weights)).toEqual(forward(quantizer, weights))
      expect(copy.parameters()).toEqual(quantizer.parameters())
      expect(() => copy.restore(new Float32Array(99))).toThrow(/state/)
    })

    it(learnsBits ? 'loses bits, down to two, under a penalty' : 'has no width that a penalty could move', () => {
      const weights = normalWeights(105, 7, name, 'penalty')
      const quantizer = started(weights, 7, from(6))
      let previous = quantizer.bits()
      for (let step = 0; step < 400; step++) {
        quantizer.penaltyGradient(1)
        for (const { values, gradients, learningRateScale } of quantizer.parameters()) {
          // Sign descent: what Adam does with a steady gradient.
          values.forEach((value, i) => (values[i] = value - 0.02 * learningRateScale * Math.sign(gradients[i])))
          gradients.fill(0)
        }
        quantizer.constrain()
        if (learnsBits && step < 20) expect(quantizer.bits()).toBeLessThanOrEqual(previous)
        previous = quantizer.bits()
        expect(previous).toBeGreaterThanOrEqual(2)
        if (learnsBits && previous === 2) break
      }
      expect(previous).toBe(learnsBits ? 2 : from(6))
    })

    if (granularity === 'channel') {
      it('treats each channel by itself', () => {
        const weights = normalWeights(105, 7, name, 'channels')
        const louder = weights.map((value, i) => (i % 7 === 2 ? 64 * value : value))
        const plain = forward(started(weights, 7, 4), weights)
        const other = forward(started(louder, 7, 4), louder)
        plain.forEach((value, i) => expect(other[i]).toBeCloseTo(i % 7 === 2 ? 64 * value : value, 4))
      })
    }

    it('refuses widths and sizes that cannot be', () => {
      for (const bits of [leastBits - 1, 9, 2.5, Number.NaN]) expect(() => make(6, 3, { bits, granularity })).toThrow(UsageError)
      expect(() => make(7, 3, { bits: 4, granularity })).toThrow(/7 weights.*3 channels/)
    })
  })
}

/** Central difference of `loss` along each coordinate of `at`, in float64. */
export function finiteDifferences(loss: (at: number[]) => number, at: readonly number[], width = 1e-6): number[] {
  return at.map((_, i) => {
    const moved = (by: number): number[] => at.map((value, j) => (i === j ? value + by : value))
    return (loss(moved(width)) - loss(moved(-width))) / (2 * width)
  })
}
