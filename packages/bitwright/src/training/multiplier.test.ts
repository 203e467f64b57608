import { Random } from '@bitwright/engine'
import { describe, expect, it } from 'vitest'
import { fixedPoint, realFactor, requantizer } from './multiplier.ts'

/** gemmlowp's requantization: doubling high multiply, ties up, then a rounding right shift, ties away from zero. */
function requantize(value: number, multiplier: number, shift: number): number {
  const high = (BigInt(value) * 2n ** BigInt(Math.max(0, shift)) * BigInt(multiplier) + 2n ** 30n) >> 31n
  const divisor = 2 ** Math.max(0, -shift)
  return Math.sign(Number(high)) * Math.floor((Math.abs(Number(high)) + divisor / 2) / divisor) + 0
}

describe('fixedPoint', () => {
  it('holds any factor to 2^-31 of itself, normalised', () => {
    const random = new Random(1, 'factors')
    for (let i = 0; i < 5000; i++) {
      const real = random.uniform(0.5, 1) * 2 ** (random.integer(62) - 31) * (random.integer(2) ? 1 : -1)
      const held = fixedPoint(real)
      expect(Math.abs(realFactor(held) / real - 1)).toBeLessThanOrEqual(2 ** -31)
      expect(Math.abs(held.multiplier)).toBeGreaterThanOrEqual(2 ** 30)
      expect(Math.abs(held.multiplier)).toBeLessThan(2 ** 31)
    }
  })

  it('holds powers of two exactly, and what rounds up to one', () => {
    for (const power of [-31, -20, -1, 0, 1, 29]) expect(realFactor(fixedPoint(2 ** power))).toBe(2 ** power)
    expect(fixedPoint(1 - 2 ** -40)).toEqual({ multiplier: 2 ** 30, shift: 1 })
    expect(fixedPoint(0)).toEqual({ multiplier: 0, shift: 0 })
  })

  it('goes on below 2^-32 with less precision, and refuses what is too large', () => {
    expect(Math.abs(realFactor(fixedPoint(1.7e-12)) - 1.7e-12)).toBeLessThanOrEqual(2 ** -63)
    expect(fixedPoint(1.7e-12).shift).toBe(-31)
    expect(fixedPoint(1e-25)).toEqual({ multiplier: 0, shift: -31 })
    for (const real of [2 ** 30, Infinity, NaN]) expect(() => fixedPoint(real)).toThrow(/below 2\^30/)
  })
})

describe('requantizer', () => {
  it('rounds like exact arithmetic, where normalised multipliers round twice', () => {
    const random = new Random(2, 'requantizer')
    let differs = 0
    for (let i = 0; i < 4000; i++) {
      const real = random.uniform(0.5, 1) * 2 ** -random.integer(16)
      const held = requantizer(real, 256)
      const value = Math.round(random.uniform(-256, 256) / real)
      const exact = value * real
      const distance = Math.abs(exact - Math.floor(exact) - 0.5)
      if (distance > 2 ** -9) expect(requantize(value, held.multiplier, held.shift)).toBe(Math.round(exact) + 0)
      const twice = fixedPoint(real)
      if (requantize(value, twice.multiplier, twice.shift) !== Math.round(exact)) differs++
    }
    expect(differs).toBeGreaterThan(100)
  })
})
