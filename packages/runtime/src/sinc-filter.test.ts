// Filters made from cut-offs, against the formula in float64 and through the file.

import { describe, expect, test } from 'vitest'
import { decodeModel, encodeModel, type IntegerModel, modelInfo } from './index.ts'
import { cutoffsPerRate, sincFilters, sincTapUnit } from './sinc-filter.ts'
import { seededDraw } from './testing/random-model.ts'

/** Ravanelli & Bengio's filter with its window, divided by twice the band. */
function realTap(low: number, high: number, taps: number, i: number): number {
  const [f1, f2] = [low / cutoffsPerRate, high / cutoffsPerRate]
  const n = i - (taps - 1) / 2
  const response = n === 0 ? 2 * (f2 - f1) : (Math.sin(2 * Math.PI * f2 * n) - Math.sin(2 * Math.PI * f1 * n)) / (Math.PI * n)
  return (response / (2 * (f2 - f1))) * (0.54 - 0.46 * Math.cos((2 * Math.PI * i) / (taps - 1)))
}

describe('filters made from cut-offs', () => {
  test('are the formula rounded to 1 / 127', () => {
    const draw = seededDraw(3)
    let worst = 0
    for (let round = 0; round < 200; round++) {
      const taps = 2 + draw(510)
      const low = draw(32700)
      const high = low + 1 + draw(32768 - low)
      const filter = sincFilters(Uint16Array.of(low, high), taps)
      for (let i = 0; i < taps; i++) worst = Math.max(worst, Math.abs(filter[i] - sincTapUnit * realTap(low, high, taps, i)))
    }
    expect(worst).toBeGreaterThan(0.49)
    expect(worst).toBeLessThan(0.55)
  })

  test('are the same from both ends and 127 in the middle', () => {
    for (const taps of [399, 400]) {
      const filter = sincFilters(Uint16Array.of(1000, 1400), taps)
      expect([...filter].toReversed()).toEqual([...filter])
      expect(filter[199]).toBeGreaterThanOrEqual(126)
    }
  })

  test('pass nothing where the upper cut-off is not above the lower', () => {
    expect(sincFilters(Uint16Array.of(500, 500, 600, 500), 9)).toEqual(new Int8Array(18))
  })
})

describe('a layer of them in a file', () => {
  const cutoffs = Uint16Array.of(200, 900, 900, 4000)
  const range = { containerBits: 16, bits: 16, zeroPoint: 0, min: -32768, max: 32767 } as const
  const model: IntegerModel = {
    name: 'bands',
    classes: ['a', 'b'],
    frontEnd: { kind: 'raw', sampleRate: 16000, samples: 101 },
    tensors: [
      { name: 'input', shape: [101, 1, 1], scale: 2 ** -15, ...range },
      { name: 'filters', shape: [1, 1, 2], scale: 1, ...range },
    ],
    layers: [
      {
        name: 'filters',
        op: 'convolution',
        input: 0,
        output: 1,
        kernelSize: [101, 1],
        stride: [1, 1],
        padding: [0, 0, 0, 0],
        groups: 1,
        weightBits: 8,
        weights: sincFilters(cutoffs, 101),
        cutoffs,
        bias: new Int32Array(2),
        multiplier: new Int32Array(2).fill(2 ** 30),
        shift: new Int8Array(2).fill(-15),
      },
    ],
  }

  test('takes four bytes a filter and comes back with its taps', () => {
    const bytes = encodeModel(model)
    expect(decodeModel(bytes)).toEqual(model)
    expect(modelInfo(model).layers[0]).toMatchObject({ params: 6, weightBytes: 8, macs: 202 })
  })

  test('is refused when its weights are not what its cut-offs make', () => {
    const weights = sincFilters(cutoffs, 101)
    weights[7] += 1
    const altered = { ...model, layers: [{ ...model.layers[0], weights }] } as IntegerModel
    expect(() => encodeModel(altered)).toThrow(/layer filters: weight 7 is -?\d+, its cut-offs make -?\d+/)
  })
})
