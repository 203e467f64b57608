import { expect, it } from 'vitest'
import { builtinNetwork, withBits } from '../network/index.ts'
import { networkSection } from './network-drawing.ts'

it('draws a graph module: attention with the width of its inputs alone, joined to all it reads, and a sum that is scaled', () => {
  const network = withBits(builtinNetwork('cenet-gcn-6', { classes: ['yes', 'no'] }), { weightBits: 4, activationBits: 3 })
  const page = networkSection(network).markup
  const rows = page.split('<div class="node ').slice(1)
  const row = (id: string) => rows[network.nodes.findIndex((node) => node.id === id)]
  const widths = (id: string) => [...row(id).matchAll(/<small>([WA])<\/small>/g)].map(([, letter]) => letter)
  expect(widths('s1.graph.query')).toEqual(['W', 'A'])
  expect(widths('s1.graph.attend')).toEqual(['A'])
  expect(widths('s1.graph.add')).toEqual([])
  expect(row('s1.graph.attend')).toContain('<b>Attend</b')
  expect(row('s1.graph.add')).toContain('<b>Add, scaled</b')
  expect(row('s1.b1.add')).toContain('<b>Add</b')
  // by module: key, value and sum from the map before it, attend from query and key; by block: its sum; by connection: shortcut and sum
  expect(page.match(/class="arc"/g)).toHaveLength(3 * 5 + 3 + 3 * 2)
  expect(page.match(/class="sum"/g)).toHaveLength(3 * 4)
})
