import { expect, test } from 'vitest'
import { staysIn } from './incumbent.ts'

test('stays until another is better by two standard errors of the difference', () => {
  // two shares of 400 samples near 0.8: one standard error of their difference is 2.8 points
  const at = (score: number) => staysIn({ score }, 0.84, 400)
  expect(at(0.84)).toBe(true)
  expect(at(0.79)).toBe(true)
  expect(at(0.78)).toBe(false)
  expect(staysIn({ score: 0.79 }, 0.84, 40_000)).toBe(false)
  expect(staysIn({ score: 0.79, dropped: 'its score is NaN' }, 0.1, 400)).toBe(false)
})
