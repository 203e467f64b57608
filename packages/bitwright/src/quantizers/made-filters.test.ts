// SincConv's filters in training: the taps of the device, near those of the formula, with gradients straight through.
import { sincFilters } from '@bitwright/runtime'
import { describe, expect, it } from 'vitest'
import { cutoffsOf, MadeFilters } from './made-filters.ts'

const rate = 16000
const bands = { lowHz: Float32Array.of(0, -250, 3000, 7990), bandHz: Float32Array.of(10, -300, 9000, 5) }
const filters = () => new MadeFilters(101, 4, rate, () => bands)

describe('cutoffsOf', () => {
  it('is 50 Hz and more apart, sign or not, and never above half the rate', () => {
    const hz = Array.from(cutoffsOf(bands, rate), (cutoff) => (cutoff / 65536) * rate)
    const expected = [50, 110, 300, 650, 3050, 8000, 8000, 8000]
    hz.forEach((value, i) => expect(Math.abs(value - expected[i])).toBeLessThan(rate / 65536))
  })
})

describe('MadeFilters', () => {
  it("is the device's taps, channel last, in units of 1 / 127", () => {
    const quantizer = filters()
    const rows = sincFilters(cutoffsOf(bands, rate), 101)
    const out = new Float32Array(404)
    quantizer.forward(out, out)
    const { values, scale } = quantizer.toIntegers()
    for (let c = 0; c < 4; c++) {
      for (let tap = 0; tap < 101; tap++) {
        expect(values[tap * 4 + c]).toBe(rows[c * 101 + tap])
        expect(out[tap * 4 + c]).toBe(Math.fround(scale[0] * values[tap * 4 + c]))
      }
    }
    expect(values.subarray(50 * 4, 50 * 4 + 4)).toEqual(Int8Array.of(127, 127, 127, 0))
  })

  it('follows its bands from one pass to the next', () => {
    const moving = { lowHz: Float32Array.of(100), bandHz: Float32Array.of(100) }
    const quantizer = new MadeFilters(51, 1, rate, () => moving)
    const before = quantizer.toIntegers().values
    moving.lowHz[0] = 900
    expect(quantizer.toIntegers().values).not.toEqual(before)
  })

  it('passes gradients through as they are, added to what is there', () => {
    const dWeights = new Float32Array(404).fill(1)
    filters().backward(
      new Float32Array(404),
      Float32Array.from({ length: 404 }, (_, i) => i),
      dWeights,
    )
    expect(dWeights).toEqual(Float32Array.from({ length: 404 }, (_, i) => i + 1))
  })

  it('counts two cut-offs of 16 bits a filter', () => {
    expect(filters().sizeBits()).toBe(4 * 32)
  })
})
