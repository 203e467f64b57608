import { Random } from '@bitwright/engine'
import { describe, expect, it } from 'vitest'
import { weightedNodes } from '../network/graph.ts'
import { parameterShapes } from '../network/parameters.ts'
import type { Network } from '../network/network.ts'
import { signedness, storageOf } from '../network/storage.ts'
import { toneNetwork, toneSizeSpace, toneSpace } from '../training/testing/tones.ts'
import { testSpace } from './conformance.ts'
import { canonicalDecisions, everyPath, namedDecisions, randomDecisions } from './decisions.ts'
import { cenet, type JointSpace, jointSpace, kwsE2e, kwsMfcc, mobileCifar, networksOfEveryRole, oneNetworkSpace } from './index.ts'

const classes = ['yes', 'no', 'up']
testSpace('kws-mfcc with bits', () => jointSpace(kwsMfcc({ classes })))
testSpace('kws-e2e streaming with bits', () =>
  jointSpace(kwsE2e({ classes, streaming: true }), { weightBits: [3, 8], activationBits: [4, 5, 8] }),
)
testSpace('tones with bits', () => jointSpace(toneSpace()))
testSpace('one network with bits', () => jointSpace(oneNetworkSpace(toneNetwork())))
testSpace('tones with sizes', () => toneSizeSpace())
testSpace('tones with sizes and bits', () => jointSpace(toneSizeSpace()))

it.each([
  ['tones with sizes', () => jointSpace(toneSizeSpace())],
  ['mobile-cifar', () => jointSpace(mobileCifar({ classes }))],
  ['kws-mfcc', () => jointSpace(kwsMfcc({ classes }))],
  ['cenet', () => jointSpace(cenet({ classes }))],
])('has networks of every role and sign that any member of %s has', (_, make) => {
  const space = make()
  const known = new Set(networksOfEveryRole(space).flatMap((network) => keysOf(space, network)))
  const random = new Random(5, 'roles')
  for (let draw = 0; draw < 300; draw++)
    for (const key of keysOf(space, space.build(randomDecisions(space, random)))) expect(known.has(key), key).toBe(true)
})
const keysOf = (space: JointSpace, network: Network) => [...signedness(network)].map(([id, signed]) => `${space.roleOf(id)} ${signed}`)

describe('jointSpace', () => {
  const base = kwsE2e({ classes })
  const space = jointSpace(base)
  const place = (name: string) => space.choices.findIndex((choice) => choice.name === name)
  const all = (option: number) => space.choices.map(({ options, kind }) => (kind === 'bits' ? option : Math.min(4, options.length - 1)))

  it('has two widths a role, but none of made filters, raw audio or features', () => {
    const bits = space.choices.filter(({ kind }) => kind === 'bits').map(({ name }) => name)
    expect(bits).toHaveLength(2 * (1 + 18 + 2))
    expect(bits.filter((name) => name.startsWith('frontEnd'))).toEqual([])
    expect(bits).toContain('s4.l3.depthwise.activationBits')
    const features = jointSpace(kwsMfcc({ classes })).choices.map(({ name }) => name)
    expect(features).toContain('first.weightBits')
    expect(features).not.toContain('first.activationBits')
  })

  it('gives every layer the widths of its role, whatever option stands there', () => {
    const decisions = all(2).with(place('s3.l2.depthwise.weightBits'), 0).with(place('s3.l2.depthwise.activationBits'), 1)
    for (const option of [0, 4, 17]) {
      const network = space.build(decisions.with(place('s3.l2'), option))
      const layers = weightedNodes(network).filter(({ id }) => id.startsWith('s3.l2.'))
      expect(layers.map(({ weightBits, activationBits }) => [weightBits, activationBits])).toEqual(
        option === 0
          ? [
              [2, 4],
              [8, 8],
            ]
          : [
              [8, 8],
              [2, 4],
              [8, 8],
            ],
      )
      expect(storageOf(network).inputs.get(layers.at(-2)!.id)!.bits).toBe(4)
    }
    const [front, ...rest] = weightedNodes(space.build(all(0)))
    expect(front).toMatchObject({ op: 'sinc', weightBits: 8, activationBits: 16 })
    for (const node of rest) expect(node).toMatchObject({ weightBits: 2, activationBits: 2 })
  })

  it('takes the widths of what does not stand there for no difference', () => {
    const identity = all(2).with(place('s3.l2'), 18)
    const canonical = canonicalDecisions(space, identity)
    const dead = space.choices.filter((_, index) => canonical[index] !== identity[index]).map(({ name }) => name)
    expect(dead).toEqual(
      ['expand', 'depthwise', 'project'].flatMap((layer) => [`s3.l2.${layer}.weightBits`, `s3.l2.${layer}.activationBits`]),
    )
    expect(namedDecisions(space.choices, canonicalDecisions(space, all(2)))).toEqual(namedDecisions(space.choices, all(2)))
  })
})

it('with a normalisation per width shares weights between widths and nothing of batch norm, every name at every width', () => {
  const space = jointSpace(toneSpace(), undefined, 'perWidth')
  const names = new Set(everyPath(space).flatMap((decisions) => parameterShapes(space.build(decisions)).map(({ name }) => name)))
  const random = new Random(1, 'names')
  for (let round = 0; round < 30; round++) {
    const decisions = randomDecisions(space, random)
    const network = space.build(decisions)
    for (const { name } of parameterShapes(network)) expect(names.has(name), name).toBe(true)
    for (const { nodes } of space.edges(decisions)) for (const node of nodes) expect(network.nodes).toContainEqual(node)
  }
  expect(names.has('e2.expand.weight')).toBe(true)
  for (const bits of [2, 4, 8]) expect(names.has(`e2.expand.w${bits}.scale`)).toBe(true)
  expect(names.has('e2.expand.scale')).toBe(false)
})
