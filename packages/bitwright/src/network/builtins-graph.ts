// Networks for graphs : two layers of 16 hidden channels after Kipf and Welling, GCN (arXiv 1609.02907), and two of
// eight heads with eight channels each after Velickovic et al., GAT (arXiv 1710.10903). The second layer looks at its neighbours before its
// weights instead of after: the sums are the same, and the logits come from a layer with weights as everywhere in the house.
import { network } from './blocks.ts'
import type { AggregateNode, GraphFrontEnd, LinearNode, Network } from './network.ts'

/** What a network has to know of a graph: the number of its nodes, and how its sparse matrices are filled. */
interface GraphSizes {
  readonly nodes: number
  readonly features: { readonly columns: number; readonly indices: ArrayLike<number> }
  /** Both directions of every edge, and every node itself. */
  readonly neighbours: { readonly indices: ArrayLike<number> }
}

/** How a network sees this graph. */
export const graphFrontEnd = ({ nodes, features, neighbours }: GraphSizes): GraphFrontEnd => ({
  kind: 'graph',
  nodes,
  edges: (neighbours.indices.length - nodes) / 2,
  features: features.columns,
  entries: features.indices.length,
})

export const graphLinear = (id: string, input: string, channels: number, bias = false): LinearNode => ({
  id,
  op: 'linear',
  inputs: [input],
  channels,
  normalization: 'none',
  bias,
  activation: 'none',
})

type AggregateOptions = Partial<Pick<AggregateNode, 'attention' | 'aggregator' | 'heads' | 'bias' | 'activation'>>
export const graphAggregate = (id: string, input: string, options: AggregateOptions = {}): AggregateNode => ({
  id,
  op: 'aggregate',
  inputs: [input],
  attention: 'gcn',
  aggregator: 'sum',
  heads: 1,
  bias: false,
  activation: 'none',
  ...options,
})

export const graphNetworkNames = ['gcn', 'gat'] as const
export type GraphNetworkName = (typeof graphNetworkNames)[number]
export const isGraphNetworkName = (name: string): name is GraphNetworkName => (graphNetworkNames as readonly string[]).includes(name)

export function graphNetwork(name: GraphNetworkName, frontEnd: GraphFrontEnd, classes: readonly string[]): Network {
  const attention = name
  const [hidden, heads] = name === 'gat' ? [64, 8] : [16, 1]
  return network(name, frontEnd, classes, [
    { id: 'input', op: 'input', inputs: [], shape: [1, 1, frontEnd.features] },
    graphLinear('hidden', 'input', hidden),
    graphAggregate('first', 'hidden', { attention, heads, bias: true, activation: 'relu' }),
    graphAggregate('second', 'first', { attention }),
    graphLinear('logits', 'second', classes.length, true),
  ])
}
