import { Random } from '@bitwright/engine'
import { describe, expect, it } from 'vitest'
import { kwsE2e } from '../spaces/index.ts'
import { alphaGradient, Gates, softmax } from './gates.ts'
import { differences } from './testing/differences.ts'

const optionMacs = [
  [100, 400, 900],
  [50, 2000],
  [10, 700, 30, 0],
]
const fixedMacs = 300

function make(options: Partial<ConstructorParameters<typeof Gates>[0]> = {}, seed = 1): Gates {
  const gates = new Gates({ optionMacs, fixedMacs, referenceMacs: 4000, beta: 1, adaptive: false, ...options }, new Random(seed, 'gates'))
  const random = new Random(seed, 'alpha')
  for (const alpha of gates.alpha) for (let i = 0; i < alpha.length; i++) alpha[i] = random.normal()
  return gates
}

/** The gradients behind a first update: Adam's second moment holds 0.001 g^2, and alpha moved against g. */
function gradientsOf(gates: Gates, update: () => void): number[][] {
  const before = gates.alpha.map((alpha) => [...alpha])
  update()
  const second = gates.state().slice(1 + gates.alpha.length)
  return before.map((row, choice) => row.map((was, i) => Math.sign(was - gates.alpha[choice][i]) * Math.sqrt(second[choice][i] / 0.001)))
}

const close = (actual: readonly number[][], expected: readonly number[][], digits: number) =>
  actual.forEach((row, choice) => row.forEach((value, i) => expect(value).toBeCloseTo(expected[choice][i], digits)))

describe('gradients', () => {
  it('keeps softmax finite and normalised at any alpha', () => {
    expect(softmax([1000, 1000, -1000])).toEqual([0.5, 0.5, 0])
    expect(softmax([-2, 0.5, 1]).reduce((a, b) => a + b, 0)).toBeCloseTo(1, 14)
    expect(softmax([0, Math.log(3)])[1]).toBeCloseTo(0.75, 14)
  })

  it('carries gate gradients to alpha through softmax', () => {
    const gates = make()
    const dGates = [
      [0.3, -1, 0.2],
      [2, 0.1],
      [0, 1, -3, 0.5],
    ]
    const loss = () =>
      gates.probabilities().reduce((sum, p, choice) => sum + p.reduce((inner, pi, i) => inner + pi * dGates[choice][i], 0), 0)
    const p = gates.probabilities()
    close(
      p.map((row, choice) => alphaGradient(row, dGates[choice])),
      differences(gates.alpha, loss),
      8,
    )
  })

  it.each([0.5, 1, 4])('is the gradient of CE (log E[ops] / log reference)^beta, beta %f', (beta) => {
    const gates = make({ beta })
    const crossEntropy = 1.3
    const dGates = [
      [0.3, -1, 0.2],
      [2, 0.1],
      [0, 1, -3, 0.5],
    ]
    const start = gates.probabilities()
    const loss = () => {
      // the cross-entropy as the gate gradients describe it around here
      const ce = gates
        .probabilities()
        .reduce((sum, p, choice) => sum + p.reduce((inner, pi, i) => inner + (pi - start[choice][i]) * dGates[choice][i], 0), crossEntropy)
      const operations = gates
        .probabilities()
        .reduce((sum, p, choice) => sum + p.reduce((inner, pi, i) => inner + pi * optionMacs[choice][i], 0), fixedMacs)
      return ce * (Math.log(operations) / Math.log(4000)) ** beta
    }
    const expected = differences(gates.alpha, loss)
    close(
      gradientsOf(gates, () => gates.update(crossEntropy, dGates, 0.01)),
      expected,
      7,
    )
  })
})

describe('sampling', () => {
  it('draws each option as often as its gate says', () => {
    const gates = make()
    const random = new Random(5)
    const draws = 20_000
    const counts = optionMacs.map((macs) => macs.map(() => 0))
    const uniform = optionMacs.map((macs) => macs.map(() => 0))
    for (let i = 0; i < draws; i++) {
      gates.sample(random, false).forEach((option, choice) => counts[choice][option]++)
      gates.sample(random, true).forEach((option, choice) => uniform[choice][option]++)
    }
    gates.probabilities().forEach((p, choice) =>
      p.forEach((pi, option) => {
        expect(Math.abs(counts[choice][option] / draws - pi)).toBeLessThan(4.5 * Math.sqrt((pi * (1 - pi)) / draws))
        const even = 1 / p.length
        expect(Math.abs(uniform[choice][option] / draws - even)).toBeLessThan(4.5 * Math.sqrt((even * (1 - even)) / draws))
      }),
    )
  })
})

const space = kwsE2e({ classes: ['yes', 'no'] })

/** The gates of a real space learn, from noisy gradients, that larger options are better with diminishing returns; their E[ops] in the end. */
function learnedMacs(options: { beta: number; adaptive: boolean; referenceMacs: number }, steps: number): number {
  const gates = new Gates({ optionMacs: space.optionMacs, fixedMacs: space.fixedMacs, ...options }, new Random(1))
  const losses = space.optionMacs.map((macs) => macs.map((count) => 0.3 / (1 + count / 3e5)))
  const random = new Random(2)
  for (let step = 0; step < steps; step++) {
    const ce = gates.probabilities().reduce((sum, p, choice) => sum + p.reduce((inner, pi, i) => inner + pi * losses[choice][i], 0), 0.2)
    const dGates = losses.map((row) => row.map((loss) => loss + 0.02 * random.normal()))
    gates.update(ce, dGates, 0.03)
  }
  return gates.expectedMacs()
}

describe('operations', () => {
  it('are fewer with a larger beta', () => {
    const [none, some, more, most] = [0, 4, 12, 30].map((beta) => learnedMacs({ beta, adaptive: false, referenceMacs: 22e6 }, 600))
    expect(some).toBeLessThan(0.97 * none)
    expect(more).toBeLessThan(0.97 * some)
    expect(most).toBeLessThan(0.97 * more)
  })

  it.each([7e6, 9e6, 14e6])('come to the reference of %i where beta follows it', (referenceMacs) => {
    const macs = learnedMacs({ beta: 1, adaptive: true, referenceMacs }, 2500)
    expect(macs / referenceMacs).toBeGreaterThan(0.8)
    expect(macs / referenceMacs).toBeLessThan(1.2)
    expect(learnedMacs({ beta: 1, adaptive: false, referenceMacs }, 2500) / referenceMacs).not.toBeCloseTo(macs / referenceMacs, 1)
  })
})

it('goes on from its state with the same bits', () => {
  const dGates = [
    [0.3, -1, 0.2],
    [2, 0.1],
    [0, 1, -3, 0.5],
  ]
  const whole = make({ adaptive: true, referenceMacs: 1000 })
  for (let i = 0; i < 5; i++) whole.update(1, dGates, 0.02)
  const resumed = make({ adaptive: true, referenceMacs: 1000 }, 9)
  resumed.restore(JSON.parse(JSON.stringify(whole.state())))
  for (let i = 0; i < 5; i++) for (const gates of [whole, resumed]) gates.update(1, dGates, 0.02)
  expect(resumed.state()).toEqual(whole.state())
  expect(resumed.sample(new Random(3), false)).toEqual(whole.sample(new Random(3), false))
})
