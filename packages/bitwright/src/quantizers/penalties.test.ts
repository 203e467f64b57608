import { expect, it } from 'vitest'
import { finiteDifferences } from './conformance.ts'
import { averageBits, averageBitsPenalty, sizePenalty } from './penalties.ts'

const counts = [100, 2400, 33]
const items = (bits: number[]) => bits.map((each, i) => ({ bits: each, count: counts[i] }))

it('averages over numbers, not over layers', () => {
  expect(averageBits(items([8, 2, 4]))).toBeCloseTo((800 + 4800 + 132) / 2533, 12)
})

it.each([
  ['average', (bits: number[]) => averageBitsPenalty(items(bits), 0.04)],
  ['sum', (bits: number[]) => sizePenalty(items(bits), 300, 0.1)],
  ['max', (bits: number[]) => sizePenalty(items(bits), 300, 0.1, 'max')],
] as const)('has the gradient of its value: %s', (_, penalty) => {
  const slopes = finiteDifferences((bits) => penalty(bits).value, [8, 3, 4])
  expect(slopes.some((slope) => slope > 0)).toBe(true)
  penalty([8, 3, 4]).dBits.forEach((slope, i) => expect(slope).toBeCloseTo(slopes[i], 6))
})

it('is silent below the byte target', () => {
  expect(sizePenalty(items([8, 2, 4]), 717, 0.1)).toEqual({ value: 0, dBits: [0, 0, 0] })
  expect(sizePenalty(items([8, 2, 4]), 716, 0.1).value).toBeGreaterThan(0)
})
