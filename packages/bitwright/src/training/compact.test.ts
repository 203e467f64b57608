// Compact parameters of a layer against the real numbers they stand for, channels of all kinds side by side.
import { Random } from '@bitwright/engine'
import { compactChannel } from '@bitwright/runtime'
import { describe, expect, it } from 'vitest'
import { compactParameters, type RealChannel } from './compact.ts'
import { realFactor } from './multiplier.ts'

const eightBits = [-128, 127] as const
const int32Max = 2 ** 31 - 1

/** Largest |held - real| of values within the limits, in steps, over sums of all sizes. */
function worstError(channels: readonly RealChannel[], limits: readonly [number, number]): number {
  const { form, channels: held } = compactParameters(channels, limits)
  let worst = 0
  for (const [c, { factor, offset, largest }] of channels.entries()) {
    const { bias, ...multiplier } = held[c]
    expect(compactChannel(form, held[c])).toBeDefined()
    expect(Math.abs(bias) + largest).toBeLessThanOrEqual(int32Max)
    for (let i = -200; i <= 200; i++) {
      const sum = Math.round((largest * i) / 200)
      const clamped = [factor * sum + offset, realFactor(multiplier) * (sum + bias)].map((v) => Math.max(limits[0], Math.min(limits[1], v)))
      worst = Math.max(worst, Math.abs(clamped[0] - clamped[1]))
    }
  }
  return worst
}

/** A channel whose values spread over `steps` steps around an offset. */
const channel = (largest: number, steps: number, offset: number): RealChannel => ({ factor: steps / largest, offset, largest })

describe('compactParameters', () => {
  it('keeps random layers within what factors and biases are rounded to', () => {
    const bound = 2 ** -14 * 128 + 2 ** -13 * 300
    const random = new Random(1, 'compact')
    for (let i = 0; i < 300; i++) {
      const channels = Array.from({ length: 1 + random.integer(20) }, () => {
        const { factor, largest } = channel(Math.floor(2 ** random.uniform(20, 30)), 2 ** random.uniform(-2, 12), 0)
        return { factor, largest, offset: random.uniform(-1, 1) * Math.min(300, factor * 2 ** 30) }
      })
      expect(worstError(channels, random.integer(2) ? eightBits : [0, 255])).toBeLessThan(bound)
      expect(worstError(channels, [0, 3])).toBeLessThan(bound)
    }
  })

  it('keeps channels of little beside one of much: whatever they can add is exact to a small part of a step', () => {
    const strong = channel(2 ** 30, 2 ** 11, 20)
    for (let octaves = 0; octaves <= 60; octaves += 4) {
      const weak = { factor: strong.factor / 2 ** octaves, offset: -30.3, largest: 2 ** 12 }
      expect(worstError([strong, weak], eightBits)).toBeLessThan(1 / 32)
    }
  })

  it('gives channels without sums their offset, whatever the others are', () => {
    for (const offset of [0, 0.3, -77.7, 126.9, 5000]) {
      const silent = { factor: 0, offset, largest: 0 }
      expect(worstError([silent], eightBits)).toBeLessThan(1 / 64)
      expect(worstError([silent, channel(2 ** 28, 300, -3)], eightBits)).toBeLessThan(1 / 64)
      expect(worstError([silent, channel(2 ** 15, 300, -3)], eightBits)).toBeLessThan(1 / 64)
    }
  })

  it('lets an offset beyond the limits cost the others nothing', () => {
    const others = [channel(2 ** 25, 300, 12.34), channel(2 ** 20, 200, -40.02)]
    const alone = worstError(others, eightBits)
    expect(worstError([...others, channel(2 ** 25, 100, 1e6)], eightBits)).toBeLessThan(2 * alone + 1 / 128)
    expect(worstError([...others, channel(2 ** 25, 100, -1e9)], eightBits)).toBeLessThan(2 * alone + 1 / 128)
  })

  it('refuses factors without a form', () => {
    for (const factor of [2 ** 30, Infinity, NaN])
      expect(() => compactParameters([{ factor, offset: 0, largest: 1 }], eightBits)).toThrow(/2\^30/)
  })
})
