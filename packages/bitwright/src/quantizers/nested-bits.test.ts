import { Random } from '@bitwright/engine'
import { describe, expect, it } from 'vitest'
import { UsageError } from '../errors.ts'
import { finiteDifferences, normalWeights, testWeightQuantizer } from './conformance.ts'
import { isOpen, openProbability, sampleGate } from './hard-concrete.ts'
import { LatentBits, NestedBits } from './index.ts'
import { ternaryBits } from './uniform.ts'
import type { BitSharingOptions } from './bit-sharing.ts'

const widths = [2, 4, 8]
const everyWidth = [1, ternaryBits, 2, 3, 4, 5, 6, 7, 8]
/** Of a fixed width, as the suite asks for one. */
const at = (make: (options: BitSharingOptions) => NestedBits | LatentBits, bits: number): NestedBits | LatentBits => {
  const quantizer = make({ widths, granularity: 'channel' })
  quantizer.select(bits)
  return quantizer
}

testWeightQuantizer('nested bits', {
  make: (size, channels, { bits, granularity }) =>
    at((options) => new NestedBits(size, channels, { ...options, granularity }), bits) as NestedBits,
  leastBits: 2,
  widths,
  granularities: ['tensor', 'channel'],
  learnsBits: false,
})
testWeightQuantizer('latent bits', {
  make: (size, channels, { bits, granularity }) => {
    const quantizer = new LatentBits(size, channels, { widths: everyWidth, granularity })
    quantizer.select(bits)
    return quantizer
  },
  leastBits: 1,
  widths: everyWidth,
  granularities: ['tensor', 'channel'],
  learnsBits: false,
})

/** All numbers that a quantizer can give, by trying very many. */
function levels(quantizer: NestedBits, bits: number): number[] {
  quantizer.select(bits)
  const weights = Float32Array.from({ length: quantizer.size }, (_, i) => ((i / quantizer.size) * 2 - 1) * 40)
  const out = new Float32Array(weights.length)
  quantizer.forward(weights, out)
  return [...new Set(out)].map((value) => value + 0)
}

describe('nested grids', () => {
  it.each([0.1, 1, 2 ** -7, 3.3333, 0.713])('contain the narrower ones bit for bit, h = %f', (h) => {
    const quantizer = new NestedBits(400_001, 1, { widths, granularity: 'tensor' })
    quantizer.parameters()[0].values[0] = h
    const [two, four, eight] = widths.map((bits) => levels(quantizer, bits))
    if (h < 2) expect([two.length, four.length, eight.length]).toEqual([4, 15, 255])
    expect(two.every((value) => four.includes(value))).toBe(true)
    const all = new Set(eight)
    expect(four.every((value) => all.has(value))).toBe(true)
    expect(Math.max(...two)).toBeCloseTo(3 * h, 3)
    expect(Math.max(...four)).toBeCloseTo(7 * h, 3)
  })

  it('make the sum of residuals the nearest number of the grid', () => {
    const weights = normalWeights(3000, 1, 'residuals')
    const quantizer = new NestedBits(3000, 1, { widths, granularity: 'tensor' })
    quantizer.initialize(weights)
    const forward = (bits: number): Float32Array => {
      quantizer.select(bits)
      const out = new Float32Array(3000)
      quantizer.forward(weights, out)
      return out
    }
    const [x2, x4, x8] = widths.map(forward)
    const [, s4, s8] = widths.map((bits) => (quantizer.select(bits), quantizer.toIntegers(weights).scale[0]))
    let compared = 0
    for (let i = 0; i < 3000; i++) {
      // beyond the largest level there is no residual to add
      if (Math.abs(weights[i]) > 6.9 * s4) continue
      compared++
      expect(x2[i] + s4 * Math.round((weights[i] - x2[i]) / s4)).toBeCloseTo(x4[i], 5)
      expect(x4[i] + s8 * Math.round((weights[i] - x4[i]) / s8)).toBeCloseTo(x8[i], 5)
    }
    expect(compared).toBeGreaterThan(2900)
  })

  it('begin near what a step of its own would give each width', () => {
    const weights = normalWeights(4000, 1, 'start')
    const error = (quantizer: NestedBits | LatentBits, bits: number): number => {
      quantizer.initialize(weights)
      quantizer.select(bits)
      const out = new Float32Array(4000)
      quantizer.forward(weights, out)
      return out.reduce((sum, value, i) => sum + (value - weights[i]) ** 2, 0)
    }
    const options = { widths, granularity: 'tensor' } as const
    for (const [bits, factor] of [
      [2, 1.1],
      [4, 1.7],
      [8, 3],
    ])
      expect(error(new NestedBits(4000, 1, options), bits)).toBeLessThan(factor * error(new LatentBits(4000, 1, options), bits))
  })

  it('are for 2, 4 and 8 bits, rising', () => {
    const make = (its: number[]) => () => new NestedBits(6, 3, { widths: its, granularity: 'tensor' })
    expect(make([2, 3])).toThrow(/widths are some of 2, 4, 8, got 3/)
    expect(make([4, 2])).toThrow(/widths must rise/)
    expect(make([])).toThrow(UsageError)
    expect(() => make([4, 8])().select(2)).toThrow(/2 bits are not among the shared widths 4, 8/)
  })
})

describe.each(['tensor', 'channel'] as const)('gradients, one step per %s', (granularity) => {
  const [size, channels] = [40, 4]
  const weights = normalWeights(size, channels, 'weights')
  const dOut = normalWeights(size, channels, 'dOut')
  const groups = granularity === 'channel' ? channels : 1

  it.each(widths)('are those of the surrogate whose rounding errors are frozen, at %i bits', (bits) => {
    for (const quantizer of [
      new NestedBits(size, channels, { widths, granularity }),
      new LatentBits(size, channels, { widths, granularity }),
    ]) {
      quantizer.initialize(weights)
      for (const { values } of quantizer.parameters()) values.forEach((value, i) => (values[i] = 0.7 * value))
      quantizer.select(bits)
      const { values: integers, scale } = quantizer.toIntegers(weights)
      const limit = bits === 2 ? 3 : bits === 4 ? 7 : 127
      const isNested = quantizer instanceof NestedBits
      const perStep = isNested ? (bits === 8 ? 1 / 12 : 1) : 1
      const loss = (w: readonly number[], factors: readonly number[]): number =>
        w.reduce((sum, value, i) => {
          const s = scale[i % groups]
          const moved = s * factors[i % groups]
          const exact = weights[i] / s
          const out = Math.abs(exact) > limit ? moved * Math.sign(exact) * limit : moved * (value / moved + integers[i] - exact)
          return sum + dOut[i] * out
        }, 0)
      const ones = Array.from({ length: groups }, () => 1)
      const dWeights = new Float32Array(size)
      quantizer.backward(weights, dOut, dWeights)
      const expected = finiteDifferences((w) => loss(w, ones), [...weights])
      dWeights.forEach((value, i) => expect(value).toBeCloseTo(expected[i], 4))
      const dFactors = finiteDifferences((factors) => loss([...weights], factors), ones)
      const learned = quantizer.parameters()[isNested ? 0 : widths.indexOf(bits)]
      const gradientScale = isNested ? 1 : 1 / Math.sqrt((size / groups) * limit)
      dFactors.forEach((value, group) => expect(learned.gradients[group]).toBeCloseTo((gradientScale * value * perStep) / scale[group], 3))
      // nothing else learns
      for (const other of quantizer.parameters()) if (other !== learned) expect([...other.gradients].every((g) => g === 0)).toBe(true)
    }
  })

  it('go to the first channels of what a slice is of', () => {
    for (const whole of [
      new NestedBits(size, channels, { widths, granularity }),
      new LatentBits(size, channels, { widths, granularity }),
    ]) {
      whole.initialize(weights)
      whole.select(4)
      const slice = whole.slice(9, 3)
      expect(slice.bits()).toBe(4)
      slice.select(2)
      expect(whole.bits()).toBe(4)
      slice.backward(weights.subarray(0, 9), dOut.subarray(0, 9), new Float32Array(9))
      whole.parameters().forEach(({ values, gradients }, i) => {
        const its = slice.parameters()[i]
        expect([...its.values]).toEqual([...values.subarray(0, its.values.length)])
        expect([...its.gradients]).toEqual([...gradients.subarray(0, its.values.length)])
        expect(gradients.subarray(its.values.length).every((g) => g === 0)).toBe(true)
      })
      expect(whole.parameters()[0].gradients[0]).not.toBe(0)
    }
  })
})

describe('gates', () => {
  const [size, channels] = [40, 4]
  const weights = normalWeights(size, channels, 'weights')
  const dOut = normalWeights(size, channels, 'dOut')
  const open = (): NestedBits => {
    const quantizer = new NestedBits(size, channels, { widths, granularity: 'channel', gated: true })
    quantizer.initialize(weights)
    return quantizer
  }

  it('of hard concrete have mass at both ends, and a slope in between', () => {
    const random = new Random(1, 'gates')
    for (const logAlpha of [-2, 0, 1.5]) {
      const samples = Array.from({ length: 20_000 }, () => sampleGate(logAlpha, random.uniform()))
      const share = samples.filter(({ value }) => value > 0).length / samples.length
      expect(share).toBeCloseTo(openProbability(logAlpha), 1.7)
      expect(samples.some(({ value }) => value === 1)).toBe(true)
      for (const u of [0.3, 0.5, 0.6]) {
        const [slope] = finiteDifferences(([a]) => sampleGate(a, u).value, [logAlpha])
        expect(sampleGate(logAlpha, u).slope).toBeCloseTo(slope, 5)
      }
    }
    expect([isOpen(3), isOpen(-3)]).toEqual([true, false])
  })

  it('that are sampled mix widths and channels, with exact gradients', () => {
    const quantizer = open()
    const [step, channelGates, widthGates] = quantizer.parameters()
    channelGates.values.set([0.3, 0.6, -0.2, 0.1])
    widthGates.values.set([0.2, -0.1])
    const draws = Array.from({ length: 6 }, (_, i) => 0.35 + 0.05 * i)
    const drawn = (): NestedBits => {
      let next = 0
      quantizer.draw(() => draws[next++])
      return quantizer
    }
    const loss = (): number => {
      const out = new Float32Array(size)
      drawn().forward(weights, out)
      return out.reduce((sum, value, i) => sum + value * dOut[i], 0)
    }
    drawn().backward(weights, dOut, new Float32Array(size))
    for (const gates of [channelGates, widthGates]) {
      gates.values.forEach((value, i) => {
        const moved = (by: number): number => {
          gates.values[i] = value + by
          const result = loss()
          gates.values[i] = value
          return result
        }
        expect(gates.gradients[i]).toBeCloseTo((moved(1e-2) - moved(-1e-2)) / 2e-2, 3)
      })
    }
    expect([...widthGates.gradients, ...channelGates.gradients].every((g) => Math.abs(g) > 1e-4)).toBe(true)
    expect([...step.gradients].every((g) => g !== 0)).toBe(true)
  })

  it('are decided: the width as far as they are open, shut channels zero', () => {
    const quantizer = open()
    const [, channelGates, widthGates] = quantizer.parameters()
    expect(quantizer.decidedBits()).toBe(8)
    widthGates.values[1] = -4
    expect(quantizer.decidedBits()).toBe(4)
    widthGates.values.set([-4, 4])
    expect(quantizer.decidedBits()).toBe(2)
    channelGates.values[2] = -4
    for (const bits of widths) {
      quantizer.select(bits)
      const out = new Float32Array(size)
      quantizer.forward(weights, out)
      expect([...out].every((value, i) => (value === 0) === (i % channels === 2 || (bits > 2 && value === 0)))).toBe(true)
      const dWeights = new Float32Array(size)
      quantizer.backward(weights, dOut, dWeights)
      expect(dWeights.every((value, i) => i % channels !== 2 || value === 0)).toBe(true)
      if (bits === 2) {
        expect(quantizer.toIntegers(weights).scale[2]).toBe(0)
        const one = new NestedBits(size, channels, { widths, granularity: 'tensor', gated: true })
        one.parameters()[1].values[2] = -4
        one.select(2)
        expect(() => one.toIntegers(weights)).toThrow(/channel 2 is pruned/)
      } else expect(quantizer.toIntegers(weights).values.every((value, i) => i % channels !== 2 || value === 0)).toBe(true)
    }
  })

  it('of channels alone are sampled at the selected width', () => {
    const quantizer = open()
    quantizer.parameters()[1].values.set([30, 0, -30, 30])
    for (const bits of widths) {
      quantizer.select(bits)
      const whole = new Float32Array(size)
      quantizer.slice(size, channels, false).forward(weights, whole)
      quantizer.drawChannels(() => 0.5)
      const out = new Float32Array(size)
      quantizer.forward(weights, out)
      out.forEach((value, i) => expect(value).toBeCloseTo(whole[i] * [1, 0.5, 0, 1][i % channels], 6))
      quantizer.backward(weights, dOut, new Float32Array(size))
      expect([...quantizer.parameters()[2].gradients]).toEqual([0, 0])
      expect(quantizer.parameters()[1].gradients[1]).not.toBe(0)
      quantizer.parameters()[1].gradients.fill(0)
      quantizer.channelPenaltyGradient(4)
      const [slope] = finiteDifferences(([logAlpha]) => openProbability(logAlpha), [0])
      expect(quantizer.parameters()[1].gradients[1]).toBeCloseTo(4 * slope * (bits / channels), 5)
    }
  })

  it('lose expected bits under a penalty, with its exact gradient', () => {
    const quantizer = open()
    const [, channelGates, widthGates] = quantizer.parameters()
    channelGates.values.set([0.3, 3, -2, 0.1])
    widthGates.values.set([0.5, -0.7])
    quantizer.penaltyGradient(2)
    for (const gates of [channelGates, widthGates]) {
      gates.values.forEach((value, i) => {
        const moved = (by: number): number => {
          gates.values[i] = value + by
          const bits = quantizer.expectedBits()
          gates.values[i] = value
          return bits
        }
        expect(gates.gradients[i]).toBeCloseTo((2 * (moved(1e-2) - moved(-1e-2))) / 2e-2, 4)
      })
    }
    for (const { values } of [channelGates, widthGates]) values.fill(30)
    expect(quantizer.expectedBits()).toBeCloseTo(8, 6)
    for (const { values } of [channelGates, widthGates]) values.fill(-30)
    expect(quantizer.expectedBits()).toBeCloseTo(0, 6)
  })
})
