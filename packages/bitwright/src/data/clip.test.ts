import { describe, expect, it } from 'vitest'
import { Random } from '@bitwright/engine'
import { fitClip, toPcm } from './clip.ts'

const fit = (values: readonly number[], length: number) => {
  const out = new Int16Array(length).fill(99)
  fitClip(Int16Array.from(values), out)
  return [...out]
}

describe('fitClip', () => {
  it('puts a short recording in the middle', () => {
    expect(fit([1, 2, 3], 8)).toEqual([0, 0, 1, 2, 3, 0, 0, 0])
    expect(fit([1, 2], 2)).toEqual([1, 2])
  })

  it('takes the stretch with the most energy of a long one, the earliest of equals', () => {
    expect(fit([5, 0, 0, -4, 6, 1, 0], 3)).toEqual([-4, 6, 1])
    expect(fit([3, 0, 3, 0, 3], 2)).toEqual([3, 0])
    const random = new Random(5, 'fit')
    for (let round = 0; round < 50; round++) {
      const values = Array.from({ length: 20 + random.integer(40) }, () => random.integer(65536) - 32768)
      const length = 1 + random.integer(19)
      const energies = values.slice(0, values.length - length + 1).map((_, i) => values.slice(i, i + length).reduce((s, v) => s + v * v, 0))
      const start = energies.indexOf(Math.max(...energies))
      expect(fit(values, length)).toEqual(values.slice(start, start + length))
    }
  })
})

describe('toPcm', () => {
  it('keeps every 16-bit value, rounds to the nearest and clips', () => {
    const all = Int16Array.from({ length: 65536 }, (_, i) => i - 32768)
    expect(toPcm(Float32Array.from(all, (v) => v / 32768))).toEqual(all)
    expect([...toPcm(Float32Array.of(1, -1.5, 0.6 / 32768, 0.4 / 32768, -0.6 / 32768))]).toEqual([32767, -32768, 1, 0, -1])
  })
})
