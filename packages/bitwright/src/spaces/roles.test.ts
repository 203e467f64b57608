import { expect, it } from 'vitest'
import { classifier, convolution, network } from '../network/blocks.ts'
import { weightedNodes } from '../network/graph.ts'
import { chainSpace } from './chain.ts'
import { kwsE2e, kwsMfcc } from './index.ts'
import { roleOf, rolesOf } from './roles.ts'

const space = kwsMfcc({ classes: ['yes', 'no'], streaming: true })

it('is a name without the option that stands there, and without sizes', () => {
  expect(roleOf(space, 's3.l1.e3k5.depthwise')).toBe('s3.l1.depthwise')
  expect(roleOf(space, 's4.l3.e6k7.project.weight')).toBe('s4.l3.project.weight')
  expect(roleOf(space, 's4.l3.identity')).toBe('s4.l3')
  expect(roleOf(space, 's4.l3.e6k7.expand@24-40.scale')).toBe('s4.l3.expand.scale')
  expect(roleOf(space, 'first@10')).toBe('first')
  for (const fixed of ['first', 'logits', 'last.weight', 's3.l1', 's3.l1.other.depthwise', 's3.l10.e3k5.depthwise'])
    expect(roleOf(space, fixed)).toBe(fixed)
})

it('takes an option whole, not the beginning of a longer one', () => {
  const layer = (name: string, from: string) => [convolution(`place.${name}.layer`, from, { channels: 2, kernelSize: [1, 1] })]
  const tens = chainSpace({
    name: 'tens',
    stem: [{ id: 'input', op: 'input', inputs: [], shape: [8, 1, 1] }],
    places: [{ name: 'place', options: ['e1', 'e10'].map((name) => ({ name, nodes: (from: string) => layer(name, from) })) }],
    head: (from) => classifier(from, 2),
    wrap: (nodes) => network('tens', { kind: 'raw', sampleRate: 16_000, samples: 8 }, ['a', 'b'], nodes),
  })
  expect(roleOf(tens, 'place.e10.layer')).toBe('place.layer')
  expect(rolesOf(tens)).toEqual(['place.layer', 'logits'])
})

it.each([space, kwsE2e({ classes: ['yes', 'no'] })])('lists every role once, in the order of every network: $name', (each) => {
  const roles = rolesOf(each)
  const places = each.choices.flatMap(({ name }) => ['expand', 'depthwise', 'project'].map((layer) => `${name}.${layer}`))
  expect(roles).toEqual([...(each === space ? [] : ['frontEnd']), 'first', ...places, 'last', 'logits'])
  for (const option of [0, 4, 17, 18]) {
    const built = each.build(each.choices.map(({ options }) => Math.min(option, options.length - 1)))
    const positions = weightedNodes(built).map(({ id }) => roles.indexOf(roleOf(each, id)))
    expect(positions.every((position, i) => position > (positions[i - 1] ?? -1))).toBe(true)
  }
})
