// What every search space must satisfy; the test of a space calls this with a factory.
import { Random } from '@bitwright/engine'
import { describe, expect, it } from 'vitest'
import { countNetwork } from '../network/counts.ts'
import { parameterShapes } from '../network/parameters.ts'
import { inferShapes } from '../network/shapes.ts'
import { parseNetwork } from '../network/validate.ts'
import { canonicalDecisions, choicesOf, decisionIndices, decisionMacs, isAdditive, namedDecisions, randomDecisions } from './decisions.ts'
import type { Space } from './space.ts'

const rounds = 60

export function testSpace(name: string, make: () => Space): void {
  describe(`space ${name}`, () => {
    const space = make()
    const paths = choicesOf(space, 'path')
    const sizes = choicesOf(space, 'size')

    it('builds valid networks that survive JSON, and builds them again alike', () => {
      const draws = new Random(7, name, 'valid')
      for (let round = 0; round < rounds; round++) {
        const decisions = randomDecisions(space, draws)
        const network = space.build(decisions)
        expect(parseNetwork(JSON.parse(JSON.stringify(network)))).toEqual(network)
        expect(make().build(decisions)).toEqual(network)
      }
    })

    it('takes decisions by name or by index', () => {
      const draws = new Random(7, name, 'round trip')
      for (let round = 0; round < rounds; round++) {
        const decisions = randomDecisions(space, draws)
        const named = namedDecisions(space.choices, decisions)
        expect(decisionIndices(space.choices, named)).toEqual(decisions)
        expect(space.build(named)).toEqual(space.build(decisions))
      }
    })

    it('names the choice in what it refuses', () => {
      const decisions = namedDecisions(space.choices, randomDecisions(space, new Random(7, name, 'errors')))
      const [{ name: first }] = space.choices
      const { [first]: _, ...rest } = decisions
      expect(() => space.build(rest)).toThrow(first)
      expect(() => space.build({ ...decisions, [first]: 'toString' })).toThrow(first)
      expect(() => space.build({ ...decisions, nowhere: 'x' })).toThrow('nowhere')
      expect(() => space.build(space.choices.map(() => -1))).toThrow(first)
      expect(() => space.build(space.choices.map(() => 1.5))).toThrow(first)
      expect(() => space.build([0])).toThrow(/1 given/)
    })

    if (isAdditive(space)) {
      it('has exact MACs per option', () => {
        const draws = new Random(7, name, 'macs')
        expect(space.optionMacs.map((options) => options.length)).toEqual(space.choices.map(({ options }) => options.length))
        for (let round = 0; round < rounds; round++) {
          const decisions = randomDecisions(space, draws)
          expect(decisionMacs(space, decisions)).toBe(countNetwork(space.build(decisions)).macs)
        }
      })
    }

    it('points at the chosen nodes', () => {
      const draws = new Random(7, name, 'edges')
      for (let round = 0; round < rounds; round++) {
        const decisions = randomDecisions(space, draws)
        const network = space.build(decisions)
        const ids = network.nodes.map(({ id }) => id)
        const edges = space.edges(decisions)
        expect(edges).toHaveLength(paths.length)
        edges.forEach((edge, index) => {
          const choice = paths[index]
          expect(edge).toEqual(space.fragment(choice, decisions[choice], edge.input, decisions))
          expect(ids).toContain(edge.input)
          expect(ids).toContain(edge.output)
          for (const node of edge.nodes) expect(network.nodes).toContainEqual(node)
          if (edge.nodes.length === 0) expect(edge.output).toBe(edge.input)
        })
      }
    })

    it('keeps the shape of a place and the names of an option, whatever else is decided', () => {
      const draws = new Random(7, name, 'names')
      const seen = new Map<string, string>()
      for (let round = 0; round < rounds; round++) {
        const decisions = randomDecisions(space, draws)
        const network = space.build(decisions)
        const shapes = inferShapes(network)
        const edges = space.edges(decisions)
        const parameters = parameterShapes(network)
        const of = sizes.map((choice) => decisions[choice]).join()
        for (const { name: parameter, shape } of parameters) {
          const key = `parameter ${parameter} ${of}`
          expect(`${shape}`).toBe(seen.get(key) ?? `${shape}`)
          seen.set(key, `${shape}`)
        }
        edges.forEach((edge, index) => {
          const choice = paths[index]
          const own = parameters.filter(({ node }) => edge.nodes.some(({ id }) => id === node)).map((parameter) => parameter.name)
          const option = `option ${choice} ${decisions[choice]} ${of}`
          expect(own.join()).toBe(seen.get(option) ?? own.join())
          seen.set(option, own.join())
          const place = `place ${choice} ${of}`
          const shape = `${shapes.get(edge.input)} -> ${shapes.get(edge.output)}`
          expect(shape).toBe(seen.get(place) ?? shape)
          seen.set(place, shape)
        })
      }
    })

    it('gives different options different names', () => {
      const decisions = space.choices.map(() => 0)
      const reference = space.build(decisions)
      const names = new Set<string>()
      paths.forEach((choice) =>
        space.choices[choice].options.forEach((_, option) => {
          for (const { id } of space.fragment(choice, option, reference.nodes[0].id, decisions).nodes) {
            expect(names.has(id), id).toBe(false)
            names.add(id)
          }
        }),
      )
      for (const { id } of reference.nodes.slice(0, 1)) expect(names.has(id)).toBe(false)
    })

    it('has one canonical spelling of every network', () => {
      const draws = new Random(7, name, 'canonical')
      for (let round = 0; round < rounds; round++) {
        const decisions = randomDecisions(space, draws)
        const canonical = canonicalDecisions(space, decisions)
        expect(space.build(canonical)).toEqual(space.build(decisions))
        expect(canonicalDecisions(space, canonical)).toEqual(canonical)
        const choice = draws.integer(space.choices.length)
        const other = canonical.with(choice, draws.integer(space.choices[choice].options.length))
        const same = canonicalDecisions(space, other).join() === canonical.join()
        expect(JSON.stringify(space.build(other)) === JSON.stringify(space.build(canonical)), `${canonical} and ${other}`).toBe(same)
      }
    })
  })
}
