import { describe, expect, it } from 'vitest'
import { builtinNetwork, countNetwork, type Network } from '../network/index.ts'
import { cenet } from './cenet.ts'
import { testSpace } from './conformance.ts'
import { decisionMacs } from './decisions.ts'
import { jointSpace, roleOf } from './index.ts'

const classes = Array.from({ length: 12 }, (_, index) => `word${index}`)
testSpace('cenet', () => cenet({ classes }))
testSpace('cenet with bits', () => jointSpace(cenet({ classes })))

const space = cenet({ classes })
const member = (depths: readonly number[], graph: 'none' | 'module') => {
  const [s1, s2, s3] = depths
  const connections = { 's1.connection': 'm8', 's2.connection': 'm8', 's3.connection': 'm12' }
  const modules = { 's1.graph': graph, 's2.graph': graph, 's3.graph': graph }
  return { s1: `d${s1}m8`, s2: `d${s2}m8`, s3: `d${s3}m12`, ...connections, ...modules }
}
/** The nodes under the names that they have whatever option stands there. */
const asRoles = ({ nodes }: Network) =>
  nodes.map((node) => ({ ...node, id: roleOf(space, node.id), inputs: node.inputs.map((id) => roleOf(space, id)) }))

it.each([
  ['cenet-6', [1, 1, 1], 'none'],
  ['cenet-24', [7, 7, 7], 'none'],
  ['cenet-40', [15, 15, 7], 'none'],
  ['cenet-gcn-6', [1, 1, 1], 'module'],
  ['cenet-gcn-24', [7, 7, 7], 'module'],
  ['cenet-gcn-40', [15, 15, 7], 'module'],
] as const)('has %s among its members', (name, depths, graph) => {
  const published = builtinNetwork(name, { classes })
  const built = space.build(member(depths, graph))
  expect(asRoles(built)).toEqual(published.nodes)
  expect(built.frontEnd).toEqual(published.frontEnd)
  expect(decisionMacs(space, member(depths, graph))).toBe(countNetwork(published).macs)
})

it('puts a graph module behind every stage apart', () => {
  const only = (stage: string) => {
    const { nodes } = space.build({ ...member([1, 1, 1], 'none'), [`${stage}.graph`]: 'module' })
    return nodes.flatMap(({ op, id }) => (op === 'attend' ? [roleOf(space, id)] : []))
  }
  expect(['s1', 's2', 's3'].map(only)).toEqual([['s1.graph.attend'], ['s2.graph.attend'], ['s3.graph.attend']])
})

describe('with bits', () => {
  const joint = jointSpace(space)
  const names = joint.choices.map(({ name }) => name)

  it('chooses the width that attention reads, which has no weights, like those of layers', () => {
    expect(names).toContain('s1.graph.attend.activationBits')
    expect(names).toContain('s1.graph.query.weightBits')
    expect(names).not.toContain('s1.graph.attend.weightBits')
    const decisions = joint.choices.map(({ name, options }) => options.length - 1 - (name === 's2.graph.attend.activationBits' ? 1 : 0))
    const attends = joint.build(decisions).nodes.filter(({ op }) => op === 'attend')
    expect(attends.map((node) => ('activationBits' in node ? node.activationBits : 0))).toEqual([8, 4, 8])
    expect(attends.map((node) => 'weightBits' in node)).toEqual([false, false, false])
  })

  it('takes the widths of a module that is not there for no difference', () => {
    const without = joint.choices.map(({ name, options }) => (name.endsWith('.graph') ? 0 : options.length - 1))
    const canonical = joint.canonical!(without)
    const dead = names.filter((_, index) => canonical[index] !== without[index])
    const layers = ['query.weightBits', 'query.activationBits', 'key.weightBits', 'key.activationBits', 'value.weightBits']
    const its = [...layers, 'value.activationBits', 'attend.activationBits']
    expect(dead).toEqual(['s1', 's2', 's3'].flatMap((stage) => its.map((each) => `${stage}.graph.${each}`)))
  })
})
