import { expect, it } from 'vitest'
import { testSpace } from './conformance.ts'
import { graphSpace } from './graph.ts'
import { choicesOf } from './decisions.ts'
import { jointSpace } from './joint.ts'

const make = () => graphSpace({ classes: ['a', 'b', 'c'], frontEnd: { kind: 'graph', nodes: 50, edges: 120, features: 30, entries: 200 } })

testSpace('graph', make)
testSpace('graph with bits', () => jointSpace(make()))

it('has every attention with every aggregator, heads where they are learned, and bits of every component', () => {
  const space = jointSpace(make())
  const paths = choicesOf(space, 'path').map((choice) => space.choices[choice].options)
  expect(paths.map((options) => options.length)).toEqual([24, 24])
  const bits = choicesOf(space, 'bits').map((choice) => space.choices[choice].name)
  expect(bits).toEqual([
    'hidden.weightBits',
    'first.activationBits',
    'middle.weightBits',
    'middle.activationBits',
    'second.activationBits',
    'logits.weightBits',
    'logits.activationBits',
  ])
})
