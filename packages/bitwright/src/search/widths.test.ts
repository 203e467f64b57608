// Widths within a budget, on made-up spaces where every member's cost is known.
import { Random } from '@bitwright/engine'
import { expect, test } from 'vitest'
import type { Space } from '../spaces/space.ts'
import { widestWithin, widthsWithin } from './widths.ts'

interface Case {
  readonly space: Space
  readonly decisions: number[]
  readonly isBits: readonly boolean[]
  readonly cost: (decisions: readonly number[]) => number
}

/** Choices of either kind, each option dearer than the one before it. */
function made(random: Random): Case {
  const isBits = Array.from({ length: 2 + random.integer(6) }, () => random.integer(3) > 0)
  const prices = isBits.map(() => {
    let price = 0
    return Array.from({ length: 1 + random.integer(4) }, () => (price += random.uniform(0.1, 2)))
  })
  const choices = prices.map((row, i) => ({ name: `c${i}`, kind: isBits[i] ? 'bits' : 'path', options: row.map(String) }))
  return {
    space: { name: 'made up', choices } as unknown as Space,
    decisions: prices.map((row) => random.integer(row.length)),
    isBits,
    cost: (decisions) => decisions.reduce((sum, option, i) => sum + prices[i][option], 0),
  }
}

test('widths are no narrower than the budget asks for, and nothing else is touched', () => {
  const random = new Random(3, 'cases')
  let [narrowed, impossible] = [0, 0]
  for (let i = 0; i < 300; i++) {
    const { space, decisions, isBits, cost } = made(random)
    const limit = cost(decisions) * random.uniform(0.4, 1.2)
    const fits = (tried: readonly number[]) => cost(tried) <= limit
    const found = widthsWithin(space, decisions, fits, random)
    const least = decisions.map((option, choice) => (isBits[choice] ? 0 : option))
    expect(found === undefined).toBe(!fits(least))
    if (!found) {
      impossible++
      continue
    }
    expect(fits(found)).toBe(true)
    if (fits(decisions)) expect(found).toEqual(decisions)
    else narrowed++
    for (const [choice, option] of found.entries()) {
      if (!isBits[choice]) expect(option).toBe(decisions[choice])
      expect(option).toBeLessThanOrEqual(decisions[choice])
      if (option < decisions[choice]) expect(fits(found.with(choice, option + 1))).toBe(false)
    }
  }
  expect(narrowed).toBeGreaterThan(50)
  expect(impossible).toBeGreaterThan(20)
})

test('at its widest no width can be raised within the budget', () => {
  const random = new Random(4, 'cases')
  let raised = 0
  for (let i = 0; i < 300; i++) {
    const { space, decisions, isBits, cost } = made(random)
    const limit = cost(decisions) * random.uniform(1, 2)
    const fits = (tried: readonly number[]) => cost(tried) <= limit
    const found = widestWithin(space, decisions, fits, cost, random)!
    expect(fits(found)).toBe(true)
    for (const [choice, option] of found.entries()) {
      if (!isBits[choice]) expect(option).toBe(decisions[choice])
      else if (option + 1 < space.choices[choice].options.length) expect(fits(found.with(choice, option + 1))).toBe(false)
    }
    if (cost(found) > cost(decisions)) raised++
  }
  expect(raised).toBeGreaterThan(100)
})

test('what is over by little is made up for where it costs least, and no width throughout is given away for it', () => {
  // the first layer has nearly all weights; one width throughout is over by what the others have beside
  const options = ['1', '2', '3', '4', '5', '6', '7', '8']
  const choices = ['features', 'logits', 'third'].map((name) => ({ name, kind: 'bits', options }))
  const space = { name: 'made up', choices } as unknown as Space
  const cost = ([features, logits, third]: readonly number[]) => 1000 * (features + 1) + 10 * (logits + 1) + 25 * (third + 1)
  const found = widestWithin(space, [0, 0, 0], (tried) => cost(tried) <= 4 * 1035 - 15, cost, new Random(1))!
  expect(found).toEqual([3, 1, 3])
})
