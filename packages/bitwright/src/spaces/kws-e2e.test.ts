import { Random } from '@bitwright/engine'
import { describe, expect, it } from 'vitest'
import { builtinNetwork } from '../network/builtins.ts'
import { countNetwork } from '../network/counts.ts'
import { testSpace } from './conformance.ts'
import { decisionMacs, randomDecisions } from './decisions.ts'
import { kwsE2e } from './kws-e2e.ts'

const classes = Array.from({ length: 12 }, (_, index) => `word${index}`)

for (const frontEnd of ['sinc', 'conv1d'] as const) {
  for (const filters of [40, 60, 80] as const) testSpace(`kws-e2e ${frontEnd} ${filters}`, () => kwsE2e({ classes, filters, frontEnd }))
}

testSpace('kws-e2e streaming', () => kwsE2e({ classes, streaming: true }))

describe('sizes of kws-e2e (papers.md section 2)', () => {
  const space = kwsE2e({ classes })
  const everywhere = (option: string) => space.build(Object.fromEntries(space.choices.map(({ name }) => [name, option])))

  it('has the largest member of the paper', () => {
    const { params, macs } = countNetwork(everywhere('e6k7'))
    expect(params).toBe(109_622)
    expect(macs / 1e6).toBeCloseTo(22.24, 2)
  })

  it('has members of the headline size, 75.7k and 13.6M', () => {
    const random = new Random(0, 'headline')
    let found
    for (let draw = 0; draw < 200_000 && found === undefined; draw++) {
      const decisions = randomDecisions(space, random)
      if (Math.abs(decisionMacs(space, decisions) - 13.6e6) > 50_000) continue
      const { params } = countNetwork(space.build(decisions))
      if (Math.abs(params - 75_700) <= 50) found = decisions
    }
    expect(found).toBeDefined()
  })

  it('offers 18 blocks, and identity where the shape is kept', () => {
    expect(space.choices.map(({ name, options }) => [name, options.length])).toEqual([
      ['s3.l1', 18],
      ['s3.l2', 19],
      ['s3.l3', 19],
      ['s4.l1', 18],
      ['s4.l2', 19],
      ['s4.l3', 19],
    ])
    expect(space.build(space.choices.map(({ options }) => options.length - 1)).nodes.some(({ op }) => op === 'add')).toBe(false)
  })

  it('names its nodes as the built-in e3k5 does', () => {
    const ids = everywhere('e3k5').nodes.map(({ id }) => id)
    expect(builtinNetwork('kws-e2e-e3k5', { classes }).nodes.map(({ id }) => id)).toEqual(ids)
  })
})
