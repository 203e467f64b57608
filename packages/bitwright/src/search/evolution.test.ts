// The evolution on a made-up space, where every score is known: with and without its regression, stopped and gone on, with candidates that fail.
import { Random } from '@bitwright/engine'
import { describe, expect, it } from 'vitest'
import { classifier, convolution, network } from '../network/blocks.ts'
import type { Network } from '../network/network.ts'
import { frontEndShape } from '../network/shapes.ts'
import type { Space } from '../spaces/space.ts'
import { DivergedError } from '../training/trainer.ts'
import type { Budget } from './budget.ts'
import { Evolution, type EvolutionOptions } from './evolution.ts'

const genesCount = 36
const limit = 40

/** A network here is known by its genes, which are its name. */
const genesOf = ({ name }: Network): number[] => name.split(',').map(Number)
const frontEnd = { kind: 'image', height: 1, width: 1, channels: 1 } as const
function build(genes: readonly number[]): Network {
  const input = { id: 'input', op: 'input', inputs: [], shape: frontEndShape(frontEnd) } as const
  const channels = genes.reduce((sum, gene) => sum + gene, 1)
  const nodes = [input, convolution('c', 'input', { channels, kernelSize: [1, 1] }), ...classifier('c', 2)]
  return network(genes.join(), frontEnd, ['a', 'b'], nodes)
}
const space = {
  name: 'made-up',
  choices: Array.from({ length: genesCount }, (_, i) => ({
    name: `c${i}`,
    kind: i < 6 ? ('path' as const) : ('bits' as const),
    options: ['2', '4', '8'],
  })),
  build,
} as unknown as Space
const budget = {
  price: (priced: Network) => {
    const flashBytes = genesOf(priced).reduce((sum, gene, i) => sum + gene * (1 + (i % 3)), 0)
    return { flashBytes, ramBytes: 0, macs: genesOf(priced).reduce((sum, gene) => sum + gene, 0), params: 0 }
  },
  violation: ({ flashBytes }: { flashBytes: number }) => Math.max(0, flashBytes / limit - 1),
} as unknown as Budget

/** Every choice gains by its own measure; a score is off by some noise that belongs to the genes. */
function scores(seed: number): { truth: (genes: readonly number[]) => number; scoreOf: (network: Network) => Promise<number> } {
  const draw = new Random(seed, 'gains')
  const gains = Array.from({ length: genesCount }, () => draw.uniform(0, 0.02))
  const truth = (genes: readonly number[]) => genes.reduce((sum, gene, i) => sum + gains[i] * Math.sqrt(gene), 0.4)
  return {
    truth,
    scoreOf: async (scored) => truth(genesOf(scored)) + new Random(seed, 'noise', scored.name).uniform(-0.015, 0.015),
  }
}

const always = (): boolean => true
const options = (seed: number, more: Partial<EvolutionOptions> = {}): EvolutionOptions => ({
  seed,
  population: 16,
  candidates: 96,
  ...more,
})

async function evolved(seed: number, more: Partial<EvolutionOptions> = {}): Promise<Evolution> {
  const evolution = new Evolution(space, budget, scores(seed).scoreOf, options(seed, more))
  await evolution.run(always, () => {})
  return evolution
}

describe('Evolution', () => {
  it('finds better networks within the budget by predicting scores than without, at as many scores', async () => {
    let gain = 0
    for (let seed = 0; seed < 3; seed++) {
      const { truth } = scores(seed)
      const best = (evolution: Evolution) => Math.max(...evolution.candidates().map(({ decisions }) => truth(decisions)))
      const [aided, unaided] = [await evolved(seed), await evolved(seed, { unaided: Infinity })]
      for (const evolution of [aided, unaided]) {
        expect(evolution.candidates()).toHaveLength(96)
        expect(new Set(evolution.candidates().map(({ decisions }) => decisions.join())).size).toBe(96)
        for (const { cost } of evolution.candidates()) expect(cost.flashBytes).toBeLessThanOrEqual(limit)
      }
      gain += best(aided) - best(unaided)
    }
    // the best within the limit is about 0.2 above the least
    expect(gain / 3).toBeGreaterThan(0.01)
  })

  it('narrows what is over budget no more than it must, and leaves what cannot be narrowed', async () => {
    const evolution = await evolved(5, { unaided: Infinity, candidates: 16, founders: [Array.from({ length: genesCount }, () => 2)] })
    // all paths at their largest take 6 + 12 + 18 / 3 of 40 bytes
    const [first] = evolution.candidates().filter(({ decisions }) => decisions.slice(0, 6).every((gene) => gene === 2))
    const bits = first.decisions.slice(6)
    expect(bits.some((gene) => gene > 0)).toBe(true)
    for (const [i, gene] of bits.entries())
      if (gene < 2) expect(budget.violation(budget.price(build(first.decisions.with(6 + i, gene + 1))))).toBeGreaterThan(0)
    const tight = { ...budget, violation: ({ flashBytes }: { flashBytes: number }) => Math.max(0, flashBytes - 5) } as unknown as Budget
    const bound = new Evolution(space, tight, scores(5).scoreOf, options(5))
    await bound.run(always, () => {})
    for (const { decisions } of bound.candidates())
      expect(decisions.slice(0, 6).reduce((sum, gene, i) => sum + gene * (1 + (i % 3)), 0)).toBeLessThanOrEqual(5)
  })

  it('ends with the same candidates when it is stopped in any generation and goes on', async () => {
    const whole = (await evolved(3)).candidates().map(({ decisions, score }) => [decisions.join(), score])
    for (const stop of [2, 4]) {
      const { scoreOf } = scores(3)
      const first = new Evolution(space, budget, scoreOf, options(3))
      let saved = first.state()
      let generations = 0
      await first.run(
        () => generations < stop,
        () => {
          saved = structuredClone(first.state())
          generations++
        },
      )
      const second = new Evolution(space, budget, scoreOf, options(3))
      second.restore(saved)
      await second.run(always, () => {})
      expect(second.candidates().map(({ decisions, score }) => [decisions.join(), score])).toEqual(whole)
    }
  })

  it('learns nothing from candidates without a score, and says why they have none', async () => {
    const { scoreOf } = scores(4)
    const fails = (member: Network) => genesOf(member)[0] === 2
    const evolution = new Evolution(
      space,
      budget,
      async (member) => {
        if (fails(member)) throw new DivergedError('its loss is NaN')
        return scoreOf(member)
      },
      options(4),
    )
    await evolution.run(always, () => {})
    const candidates = evolution.candidates()
    for (const candidate of candidates) expect(candidate.dropped !== undefined).toBe(fails(candidate.network))
    const late = candidates.slice(-32)
    expect(late.filter(({ dropped }) => dropped !== undefined).length).toBeLessThan(16)
  })
})
