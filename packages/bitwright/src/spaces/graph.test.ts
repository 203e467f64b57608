import { expect, it } from 'vitest'
import { memory } from '../hardware/index.ts'
import { ternaryBits as networkTernary } from '../network/index.ts'
import { ternaryBits } from '../quantizers/uniform.ts'
import { testSpace } from './conformance.ts'
import { graphSpace } from './graph.ts'
import { choicesOf } from './decisions.ts'
import { jointSpace } from './joint.ts'

const make = () => graphSpace({ classes: ['a', 'b', 'c'], frontEnd: { kind: 'graph', nodes: 50, edges: 120, features: 30, entries: 200 } })

testSpace('graph', make)

it('calls ternary weights what their quantizers do', () => expect(networkTernary).toBe(ternaryBits))
testSpace('graph with bits', () => jointSpace(make()))

it('prices ternary weights at five in a byte, and nothing else by their width', () => {
  const space = jointSpace(make())
  const bits = (option: number) => space.choices.map(({ name }) => (name.endsWith('weightBits') ? option : 0))
  const [binary, ternary, two] = [0, 1, 2].map((option) => memory.price(space.build(bits(option))))
  // 30 x 16 and 16 x 3 weights
  const weights = [480, 48]
  const packed = (each: (count: number) => number) => weights.reduce((sum, count) => sum + Math.ceil(each(count)), 0)
  expect(ternary.flashBytes - binary.flashBytes).toBe(packed((count) => count / 5) - packed((count) => count / 8))
  expect(two.flashBytes - ternary.flashBytes).toBe(packed((count) => count / 4) - packed((count) => count / 5))
  expect(ternary.ramBytes).toBe(two.ramBytes)
})

it('has every attention and every aggregator, heads where they are learned, and bits of every component', () => {
  const space = jointSpace(make())
  const paths = choicesOf(space, 'path').map((choice) => space.choices[choice].options)
  expect(paths.map((options) => options.length)).toEqual([16, 16])
  const bits = choicesOf(space, 'bits').map((choice) => space.choices[choice].name)
  expect(bits).toEqual(['hidden.weightBits', 'first.activationBits', 'second.activationBits', 'logits.weightBits', 'logits.activationBits'])
  const widths = bits.map((name) => space.choices.find((choice) => choice.name === name)!.options.join())
  expect(new Set(widths.filter((_, i) => bits[i].endsWith('weightBits')))).toEqual(new Set(['1,1.6,2,3,4,5,6,7,8']))
  expect(new Set(widths.filter((_, i) => bits[i].endsWith('activationBits')))).toEqual(new Set(['4,5,6,7,8']))
})
