import { Random } from '@bitwright/engine'
import { describe, expect, it } from 'vitest'
import { memory } from '../hardware/index.ts'
import { targetModel } from '../hardware/targets.ts'
import { withBits } from '../network/transform.ts'
import { extremes, randomDecisions } from '../spaces/decisions.ts'
import { jointSpace, kwsE2e, kwsMfcc } from '../spaces/index.ts'
import type { BudgetSpec } from '../study/api.ts'
import { bestFirst, Budget, type BudgetOptions, probableWithin } from './budget.ts'
import { drawWithin } from './random.ts'

const classes = ['yes', 'no', 'up', 'down']
const spaces = [kwsE2e({ classes, samples: 4000 }), kwsMfcc({ classes, samples: 8000 })]
const make = (budget: BudgetSpec, widths: Partial<BudgetOptions> = {}) =>
  new Budget({ budget, hardware: memory, weightBits: 8, activationBits: 8, ...widths })

describe('Budget', () => {
  it('admits exactly what fits every limit', () => {
    const random = new Random(3, 'budgets')
    let [admitted, refused] = [0, 0]
    for (let round = 0; round < 120; round++) {
      const space = spaces[round % 2]
      const decisions = randomDecisions(space, random)
      const weightBits = ([1, 2, 4, 8, 'trained'] as const)[random.integer(5)]
      const activationBits = ([1, 2, 4, 8, 'trained'] as const)[random.integer(5)]
      const bits = (width: number | 'trained') => (width === 'trained' ? 8 : width)
      const network = withBits(
        space.build(decisions),
        { weightBits: bits(weightBits), activationBits: bits(activationBits) },
        { edges: 'same' },
      )
      const price = memory.price(network)
      const limit = (value: number) => (random.uniform() < 0.4 ? {} : { value: Math.floor(value * random.uniform(0.9, 1.3)) }).value
      const limits = { macs: limit(price.macs), flashBytes: limit(price.flashBytes), ramBytes: limit(price.ramBytes) }
      const fits = (['macs', 'flashBytes', 'ramBytes'] as const).every((key) => price[key] <= (limits[key] ?? Infinity))
      const result = make(limits, { weightBits, activationBits }).admit(space, decisions)
      expect(result !== undefined).toBe(fits)
      if (result) {
        expect(result.network).toEqual(space.build(decisions))
        expect(result.cost).toEqual({ params: price.params, macs: price.macs, flashBytes: price.flashBytes, ramBytes: price.ramBytes })
      }
      if (fits) admitted++
      else refused++
    }
    expect(admitted).toBeGreaterThan(20)
    expect(refused).toBeGreaterThan(20)
  })

  it('lets a network through that meets its limits exactly, and names the one a byte short', () => {
    const [space] = spaces
    const decisions = space.choices.map(() => 0)
    const { macs, flashBytes, ramBytes } = make({}).price(space.build(decisions))
    const exact = { macs, flashBytes, ramBytes }
    expect(make(exact).admit(space, decisions)).toBeDefined()
    for (const key of ['macs', 'flashBytes', 'ramBytes'] as const) {
      const short = { ...exact, [key]: exact[key] - 1 }
      expect(make(short).admit(space, decisions)).toBeUndefined()
      expect(make(short).excess({ params: 0, ...exact })).toBe(`${key} ${exact[key]} exceeds ${exact[key] - 1}`)
    }
  })

  it('bounds the latency on a target like any other cost, and what a target does not tell not at all', () => {
    const [space] = spaces
    const network = space.build(space.choices.map(() => 1))
    const hardware = targetModel('bit-fusion@100MHz')
    const { latencyMs, cycles, energyUj } = make({}, { hardware }).price(network)
    const priced = hardware.price(withBits(network, { weightBits: 8, activationBits: 8 }, { edges: 'same' }))
    expect({ latencyMs, cycles, energyUj }).toEqual({ latencyMs: priced.latencyMs, cycles: priced.cycles, energyUj: priced.energyUj })
    const decisions = space.choices.map(() => 1)
    expect(make({ latencyMs: latencyMs! }, { hardware }).admit(space, decisions)).toBeDefined()
    const short = make({ latencyMs: latencyMs! * 0.999 }, { hardware })
    expect(short.admit(space, decisions)).toBeUndefined()
    expect(short.excess(short.price(network))).toMatch(/^latencyMs \d+\.\d+ exceeds /)
    expect(short.violation(short.price(network))).toBeCloseTo(1 / 0.999 - 1, 9)
    expect(make({ latencyMs: 1e9 }).admit(space, decisions)).toBeUndefined()
    expect(() => make({ latencyMs: 1e-6 }, { hardware }).requireFeasible(space)).toThrow(/latencyMs \S+ exceeds 0\.000001\); raise/)
  })

  it('knows that few bits can take longer than many', () => {
    const space = jointSpace(spaces[1])
    const { smallest } = extremes(space)
    const hardware = targetModel('cortex-m4')
    const searched = { hardware, weightBits: 'searched', activationBits: 'searched' } as const
    const price = (activations: number) =>
      hardware.price(space.build(smallest.map((option, i) => (space.choices[i].name.endsWith('.activationBits') ? activations : option))))
    const [narrow, wide] = [price(0), price(2)]
    expect(wide.latencyMs!).toBeLessThan(narrow.latencyMs!)
    const limits = { latencyMs: wide.latencyMs!, flashBytes: wide.flashBytes }
    expect(() => make(limits, searched).requireFeasible(space)).not.toThrow()
    expect(() => make({ ...limits, latencyMs: 0.99 * wide.latencyMs! }, searched).requireFeasible(space)).toThrow(/latencyMs \S+ exceeds/)
  })

  it('prices fixed widths as they are and trained ones at 8 bits', () => {
    const network = spaces[0].build(spaces[0].choices.map(() => 1))
    const flash = ([1, 4, 8, 'trained'] as const).map((weightBits) => make({}, { weightBits }).price(network).flashBytes)
    expect(flash[0]).toBeLessThan(flash[1])
    expect(flash[1]).toBeLessThan(flash[2])
    expect(flash[3]).toBe(flash[2])
  })

  it('refuses a budget that nothing can meet, with what to do', () => {
    expect(() => make({ macs: 1e9, flashBytes: 1e9 }).requireFeasible(spaces[0])).not.toThrow()
    expect(() => make({}).requireFeasible(spaces[1])).not.toThrow()
    expect(() => make({ macs: 1000 }).requireFeasible(spaces[0])).toThrow(
      /^the budget cannot be met: the smallest member of kws-e2e-sinc60 is over it \(macs \d+ exceeds 1000\); raise the limit \(--macs, --flash, --ram, --latency\) or choose another space$/,
    )
    expect(() => make({ ramBytes: 10 }).requireFeasible(spaces[1])).toThrow(/kws-mfcc-10 .*\(ramBytes \d+ exceeds 10\);/)
  })
})

/** Sum of the chosen options' scores. */
const score = (scores: readonly (readonly number[])[], decisions: readonly number[]) =>
  decisions.reduce((sum, option, choice) => sum + scores[choice][option], 0)

describe('bestFirst', () => {
  it('gives all decisions once, in order of falling score', () => {
    const random = new Random(11, 'scores')
    for (let round = 0; round < 60; round++) {
      // coarse scores, so that there are ties
      const scores = Array.from({ length: 1 + random.integer(4) }, () =>
        Array.from({ length: 1 + random.integer(5) }, () => (round % 2 ? random.normal() : random.integer(4))),
      )
      const all = scores.reduce<number[][]>((lists, row) => lists.flatMap((list) => row.map((_, option) => [...list, option])), [[]])
      const given = [...bestFirst(scores)]
      expect(new Set(given.map(String))).toEqual(new Set(all.map(String)))
      expect(given).toHaveLength(all.length)
      const expected = all.map((decisions) => score(scores, decisions)).toSorted((a, b) => b - a)
      given.forEach((decisions, i) => expect(score(scores, decisions)).toBeCloseTo(expected[i], 12))
    }
  })

  it('takes options that are impossible last', () => {
    const scores = [
      [-Infinity, Math.log(0.3), Math.log(0.7)],
      [0, -Infinity],
    ]
    expect([...bestFirst(scores)].slice(0, 2)).toEqual([
      [2, 0],
      [1, 0],
    ])
    expect([...bestFirst(scores)]).toHaveLength(6)
  })

  it('is lazy: the best of 19^6 come at once', () => {
    const random = new Random(4)
    const scores = Array.from({ length: 6 }, () => Array.from({ length: 19 }, () => random.normal()))
    const [first, second] = bestFirst(scores)
    expect(first).toEqual(scores.map((row) => row.indexOf(Math.max(...row))))
    expect(score(scores, second)).toBeLessThan(score(scores, first))
    const taken: number[] = []
    for (const decisions of bestFirst(scores)) if (taken.push(score(scores, decisions)) === 3000) break
    for (let i = 1; i < taken.length; i++) expect(taken[i]).toBeLessThanOrEqual(taken[i - 1] + 1e-12)
  })
})

describe('drawWithin', () => {
  it('draws different networks that fit and use most of the MACs allowed', () => {
    const [space] = spaces
    const macs = space.fixedMacs + space.optionMacs.reduce((sum, row) => sum + 0.5 * Math.max(...row), 0)
    const budget = make({ macs, flashBytes: 120_000 })
    const seen = new Set<string>()
    for (let i = 0; i < 10; i++) {
      const { decisions, network, cost } = drawWithin(space, budget, new Random(0, i))
      expect(network).toEqual(space.build(decisions))
      expect(budget.excess(cost)).toBeUndefined()
      expect(cost.macs).toBeGreaterThanOrEqual(0.8 * macs)
      seen.add(decisions.join())
    }
    expect(seen.size).toBe(10)
    expect(drawWithin(space, budget, new Random(0, 3)).decisions).toEqual(drawWithin(space, budget, new Random(0, 3)).decisions)
  })

  it('finds a network in every space that has one', () => {
    for (const space of spaces) {
      const smallest = space.optionMacs.map((row) => row.indexOf(Math.min(...row)))
      const { macs, flashBytes } = make({}).price(space.build(smallest))
      expect(drawWithin(space, make({ macs }), new Random(1)).decisions).toEqual(smallest)
      expect(drawWithin(space, make({ flashBytes }), new Random(1)).cost.flashBytes).toBeLessThanOrEqual(flashBytes)
      expect(() => drawWithin(space, make({ macs: macs - 1 }), new Random(1))).toThrow(
        /^random search: no member of kws-\S+ fits the budget; raise/,
      )
    }
  })
})

describe('probableWithin', () => {
  const [space] = spaces
  const random = new Random(8)
  const probabilities = space.choices.map(({ options }) => {
    const weights = options.map(() => Math.exp(2 * random.normal()))
    const sum = weights.reduce((a, b) => a + b, 0)
    return weights.map((weight) => weight / sum)
  })
  const logarithms = probabilities.map((row) => row.map((p) => Math.log(p)))
  const take = (budget: Budget, count: number) => {
    const taken = []
    for (const admitted of probableWithin(space, budget, probabilities)) if (taken.push(admitted) === count) break
    return taken
  }

  it('gives the most probable members that fit, in order', () => {
    const macs =
      space.fixedMacs +
      space.optionMacs.reduce((sum, row, choice) => sum + row.reduce((inner, count, i) => inner + probabilities[choice][i] * count, 0), 0)
    const budget = make({ macs })
    const expected: number[][] = []
    for (const decisions of bestFirst(logarithms)) {
      if (budget.admit(space, decisions)) expected.push(decisions)
      if (expected.length === 8) break
    }
    expect(take(budget, 8).map(({ decisions }) => decisions)).toEqual(expected)
  })

  it('comes down to what fits where the gates want far larger networks', () => {
    const smallest = space.optionMacs.map((row) => row.indexOf(Math.min(...row)))
    const { macs, flashBytes } = make({}).price(space.build(smallest))
    for (const limits of [{ macs }, { flashBytes }, { macs: Math.round(1.3 * macs) }]) {
      const budget = make(limits)
      const [first] = take(budget, 1)
      expect(first.network).toEqual(space.build(first.decisions))
      expect(budget.excess(first.cost)).toBeUndefined()
    }
    expect(take(make({ macs: macs - 1 }), 1)).toEqual([])
  })
})
