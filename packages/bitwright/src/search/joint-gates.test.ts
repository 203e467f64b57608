// Against exact enumeration: a space of three choices whose cost is no sum of its options' costs.
import { Random } from '@bitwright/engine'
import { describe, expect, it } from 'vitest'
import type { Choice } from '../spaces/space.ts'
import { alphaGradient } from './gates.ts'
import { JointGates, type JointStep } from './joint-gates.ts'
import { differences } from './testing/differences.ts'

const choices: Choice[] = [
  { name: 'width', kind: 'size', options: ['1', '2', '4'] },
  { name: 'path', kind: 'path', options: ['a', 'b'] },
  { name: 'bits', kind: 'bits', options: ['2', '4', '8'] },
]
const sizes = [choices[0].options, ['1', '5'], choices[2].options].map((options) => options.map(Number))
/** Bytes are a product, speed has a threshold. */
const costs = ([width, path, bits]: readonly number[]): number[] => [
  10 + sizes[0][width] * sizes[1][path] * sizes[2][bits],
  sizes[0][width] * sizes[1][path] > 8 ? 900 : 100 * sizes[1][path] + sizes[2][bits] ** 2,
]
const all = sizes[0].flatMap((_, a) => sizes[1].flatMap((__, b) => sizes[2].map((___, c) => [a, b, c])))

function make(limits: readonly number[] = [60, 300], seed = 3): JointGates {
  const gates = new JointGates(choices, limits, new Random(seed, 'gates'))
  const random = new Random(seed, 'alpha')
  for (const alpha of gates.alpha) for (let i = 0; i < alpha.length; i++) alpha[i] = random.normal()
  return gates
}
const probability = (gates: JointGates, decisions: readonly number[]) =>
  gates.probabilities().reduce((product, p, choice) => product * p[decisions[choice]], 1)
const expected = (gates: JointGates, limit: number) =>
  all.reduce((sum, decisions) => sum + probability(gates, decisions) * costs(decisions)[limit], 0)
const swapsOf = (sampled: readonly number[], of: readonly number[] = [0, 1, 2]): JointStep['swaps'] =>
  new Map(of.map((choice) => [choice, choices[choice].options.map((_, option) => costs(sampled.with(choice, option)))]))

/** Sum over all paths of their probability times this. */
function meanOverPaths(gates: JointGates, of: (decisions: readonly number[]) => number[][]): number[][] {
  const mean = gates.alpha.map((alpha) => Array.from(alpha, () => 0))
  for (const decisions of all) {
    const weight = probability(gates, decisions)
    of(decisions).forEach((row, choice) => row.forEach((value, i) => (mean[choice][i] += weight * value)))
  }
  return mean
}
const close = (actual: readonly number[][], wanted: readonly number[][]) =>
  actual.forEach((row, choice) => row.forEach((value, i) => expect(value).toBeCloseTo(wanted[choice][i], 5)))

describe('the gradient of expected costs', () => {
  it.each([0, 1])('is that of the enumerated expectation in the mean over paths, limit %i', (limit) => {
    const gates = make()
    close(
      meanOverPaths(gates, (decisions) => gates.costGradient(swapsOf(decisions), limit)),
      differences(gates.alpha, () => expected(gates, limit)),
    )
  })

  it('is so too where every step swaps one choice alone', () => {
    const gates = make()
    const means = [0, 1, 2].map((choice) => meanOverPaths(gates, (decisions) => gates.costGradient(swapsOf(decisions, [choice]), 0)))
    const mean = means[0].map((row, choice) => row.map((_, i) => means.reduce((sum, each) => sum + each[choice][i] / 3, 0)))
    close(
      mean,
      differences(gates.alpha, () => expected(gates, 0)),
    )
  })
})

it('gives sizes the gradient of the expected loss by the score function', () => {
  const loss = (decisions: readonly number[]) => 2 / sizes[0][decisions[0]] + (decisions[1] === decisions[2] ? 0.3 : 0)
  const gates = make()
  const p = gates.probabilities()
  const truth = differences(gates.alpha, () => all.reduce((sum, decisions) => sum + probability(gates, decisions) * loss(decisions), 0))[0]
  // the update's own gradient, from Adam's second moment: 0.001 g^2 after one step, with a baseline learned before
  const mean = [0, 0, 0]
  for (const decisions of all) {
    const fresh = make([])
    const known = new Map([1, 2].map((choice) => [choice, choices[choice].options.map(() => 0)]))
    fresh.update({ sampled: decisions, loss: 0.9, dGates: known, swaps: new Map() }, 0)
    const [before] = fresh.state().slice(3 + choices.length)
    const alpha = [...fresh.alpha[0]]
    fresh.update({ sampled: decisions, loss: loss(decisions), dGates: known, swaps: new Map() }, 1e-3)
    const [after] = fresh.state().slice(3 + choices.length)
    after.forEach((second, i) => {
      const gradient = Math.sqrt(Math.max(0, second - 0.999 * before[i]) / 0.001) * Math.sign(alpha[i] - fresh.alpha[0][i])
      mean[i] += probability(gates, decisions) * gradient
    })
  }
  mean.forEach((value, i) => expect(value).toBeCloseTo(truth[i], 5))
  expect(Math.max(...truth.map(Math.abs))).toBeGreaterThan(0.05)
  expect(alphaGradient(p[0], [1, 1, 1]).every((value) => Math.abs(value) < 1e-12)).toBe(true)
})

describe('the limits', () => {
  /** Gates that learn that more of everything is better, with diminishing returns, under two limits. */
  function learned(limits: readonly number[], steps = 1500): JointGates {
    const gates = new JointGates(choices, limits, new Random(1))
    const quality = (decisions: readonly number[]) => decisions.reduce((sum, option, choice) => sum + 0.4 / (1 + sizes[choice][option]), 0)
    for (let step = 0; step < steps; step++) {
      const sampled = gates.sample(new Random(2, step))
      const dGates = new Map([1, 2].map((choice) => [choice, sizes[choice].map((size) => 0.4 / (1 + size))]))
      gates.update({ sampled, loss: quality(sampled), dGates, swaps: swapsOf(sampled) }, 0.02)
    }
    return gates
  }

  it('let everything grow where they do not bind', () => {
    const gates = learned([1e6, 1e6])
    expect(gates.probabilities().map((p) => p.indexOf(Math.max(...p)))).toEqual([2, 1, 2])
    expect(gates.lambdas()).toEqual([0, 0])
  })

  it.each([
    [60, 1e6],
    [1e6, 300],
    [50, 400],
  ])('hold the expected costs near %i and %i', (bytes, speed) => {
    const gates = learned([bytes, speed])
    expect(expected(gates, 0)).toBeLessThan(1.25 * bytes)
    expect(expected(gates, 1)).toBeLessThan(1.25 * speed)
    expect(Math.max(expected(gates, 0) / bytes, expected(gates, 1) / speed)).toBeGreaterThan(0.5)
    gates.expectedCosts().forEach((cost, limit) => expect(cost / expected(gates, limit)).toBeCloseTo(1, 0))
  })
})

it('draws each option as often as its gate says', () => {
  const gates = make()
  const counts = choices.map(({ options }) => options.map(() => 0))
  const draws = 20_000
  for (let i = 0; i < draws; i++) gates.sample(new Random(4, i)).forEach((option, choice) => counts[choice][option]++)
  gates
    .probabilities()
    .forEach((p, choice) =>
      p.forEach((pi, option) =>
        expect(Math.abs(counts[choice][option] / draws - pi)).toBeLessThan(4.5 * Math.sqrt((pi * (1 - pi)) / draws)),
      ),
    )
})

it('goes on from its state with the same bits', () => {
  const step = (gates: JointGates, i: number) => {
    const sampled = gates.sample(new Random(6, i))
    const dGates = new Map([
      [1, [0.3, -0.1]],
      [2, [0.1, 0, 0.2]],
    ])
    gates.update({ sampled, loss: 1 / (1 + i), dGates, swaps: swapsOf(sampled) }, 0.02)
  }
  const whole = make()
  for (let i = 0; i < 8; i++) step(whole, i)
  const first = make()
  for (let i = 0; i < 3; i++) step(first, i)
  const resumed = make(undefined, 9)
  resumed.restore(JSON.parse(JSON.stringify(first.state())) as number[][])
  for (let i = 3; i < 8; i++) step(resumed, i)
  expect(resumed.state()).toEqual(whole.state())
})
