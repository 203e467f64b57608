import { Random } from '@bitwright/engine'
import { describe, expect, it } from 'vitest'
import { memory } from '../hardware/index.ts'
import { countNetwork } from '../network/counts.ts'
import { parameterShapes } from '../network/parameters.ts'
import { inferShapes } from '../network/shapes.ts'
import { testSpace } from './conformance.ts'
import { randomDecisions } from './decisions.ts'
import { jointSpace } from './joint.ts'
import { mobileCifar } from './mobile-cifar.ts'
import { roleOf } from './roles.ts'

const classes = Array.from({ length: 10 }, (_, index) => `class ${index}`)
const space = mobileCifar({ classes })
const member = (pick: (options: readonly string[]) => number) => space.choices.map(({ options }) => pick(options))

testSpace('mobile-cifar', () => mobileCifar({ classes }))
testSpace('mobile-cifar 24x40 grey', () => mobileCifar({ classes, height: 24, width: 40, channels: 1 }))

describe('the sizes', () => {
  it('reach from the smallest models that are of use to the largest that fit', () => {
    // widths and blocks stand in ascending order; identity is last
    const smallest = space.build(member((options) => (options.includes('identity') ? options.indexOf('identity') : 0)))
    const largest = space.build(member((options) => options.findLastIndex((option) => option !== 'identity')))
    const [low, high] = [countNetwork(smallest), countNetwork(largest)]
    expect([low.macs / 1e6, low.params / 1e3].map(Math.round)).toEqual([2, 16])
    expect([high.macs / 1e6, high.params / 1e3].map(Math.round)).toEqual([41, 376])
    const shapes = inferShapes(largest)
    expect(shapes.get(largest.nodes.find(({ id }) => id.startsWith('last@'))!.id)).toEqual([8, 8, 96])
  })

  it('have members for 16, 32 and 70 KB at 2, 4 and 8 bits in number', () => {
    const joint = jointSpace(space)
    const random = new Random(5, 'sizes')
    // half of the options, the cheaper ones, and every other block left out
    const draw = () =>
      joint.choices.map(({ kind, options }) => {
        if (options.includes('identity') && random.integer(2) === 0) return options.indexOf('identity')
        return random.integer(kind === 'path' ? 3 : 2)
      })
    const bytes = Array.from({ length: 200 }, () => memory.price(joint.build(draw())).flashBytes / 1024)
    expect(bytes.filter((count) => count <= 16).length).toBeGreaterThan(1)
    expect(bytes.filter((count) => count <= 32).length).toBeGreaterThan(60)
    expect(Math.max(...bytes)).toBeLessThan(70)
    const all = (bits: number) =>
      joint.choices.map(({ kind, options }) => (kind === 'bits' ? bits : Math.max(0, options.indexOf('identity'))))
    expect(memory.price(joint.build(all(0))).flashBytes).toBeLessThan(12 * 1024)
    expect(memory.price(joint.build(all(1))).flashBytes).toBeLessThan(16 * 1024)
  })
})

it('gives layers of one place the same role at every width, and other names where shapes differ', () => {
  const shapes = new Map<string, string>()
  const roles = new Set<string>()
  const random = new Random(3, 'names')
  for (let round = 0; round < 200; round++) {
    for (const { name, shape } of parameterShapes(space.build(randomDecisions(space, random)))) {
      expect(shapes.get(name) ?? `${shape}`, name).toBe(`${shape}`)
      shapes.set(name, `${shape}`)
      roles.add(roleOf(space, name))
    }
  }
  expect([...roles].some((role) => role.includes('@'))).toBe(false)
  expect(roles).toContain('s2.b1.expand.weight')
  expect(roles).toContain('last.weight')
  // 40 channels in, 40 out: the layers are those of other widths
  const layers = (s3: number, s4: number) => {
    const decisions = space.choices.map(({ name }) => (name === 's3.width' ? s3 : name === 's4.width' ? s4 : 0))
    return space.build(decisions).nodes.map(({ id }) => roleOf(space, id))
  }
  expect(layers(1, 0)).toEqual(layers(0, 0))
})
