// Networks for graphs, after LPGNAS (Zhao et al., arXiv 2009.09232): what weighs neighbours, how they are added up, with how many heads, twice, and
// how many hidden channels there are; bits come on top (joint.ts). The skeleton is ours: a layer for every node, neighbours twice, logits. A place
// ends without an activation, as gates need it, so that the layer has it. Aggregates and layers whose shapes follow from the hidden channels
// have them after an `@`.
import { network } from '../network/blocks.ts'
import { graphAggregate, graphLinear } from '../network/builtins-graph.ts'
import type { GraphFrontEnd, Network, NetworkNode } from '../network/network.ts'
import { decisionIndices } from './decisions.ts'
import type { Choice, Decisions, Fragment, Space } from './space.ts'

export interface GraphSpaceOptions {
  /** Class names in output order. */
  readonly classes: readonly string[]
  readonly frontEnd: GraphFrontEnd
}

const hiddenSizes = [16, 32, 64]
const attentions = ['constant', 'gcn', 'gat', 'cosine', 'linear'] as const
const headCounts = [1, 4]

/**
 * Weights that add up to about one are summed and others averaged: what stands at a place in a supernet has to be about as large whatever it is, since
 * layers and ranges behind it are shared. Given weights are the same for all heads.
 */
const options = attentions.flatMap((attention) =>
  ([attention === 'constant' ? 'mean' : 'sum', 'max'] as const).flatMap((aggregator) =>
    (attention === 'constant' || attention === 'gcn' ? [1] : headCounts).map((heads) => ({
      name: `${attention}-${aggregator}${heads > 1 ? `-h${heads}` : ''}`,
      attention,
      aggregator,
      heads,
    })),
  ),
)
const places = ['first', 'second']

const choices: readonly Choice[] = [
  { name: 'hidden', kind: 'size', options: hiddenSizes.map(String) },
  ...places.map((name): Choice => ({ name, kind: 'path', options: options.map((option) => option.name) })),
]

export function graphSpace({ classes, frontEnd }: GraphSpaceOptions): Space {
  const sizeOf = (decisions: Decisions): number => hiddenSizes[decisionIndices(choices, decisions)[0]]
  const fragment = (choice: number, option: number, input: string, decisions: Decisions): Fragment => {
    const { name, ...how } = options[option]
    const node = graphAggregate(`${places[choice - 1]}.${name}@${sizeOf(decisions)}`, input, how)
    return { nodes: [node], input, output: node.id }
  }
  const edges = (decisions: Decisions): Fragment[] => {
    const indices = decisionIndices(choices, decisions)
    const size = sizeOf(indices)
    const first = fragment(1, indices[1], `hidden@${size}`, indices)
    return [first, fragment(2, indices[2], first.output, indices)]
  }
  const build = (decisions: Decisions): Network => {
    const size = sizeOf(decisions)
    const [first, second] = edges(decisions)
    const nodes: NetworkNode[] = [
      { id: 'input', op: 'input', inputs: [], shape: [1, 1, frontEnd.features] },
      { ...graphLinear(`hidden@${size}`, 'input', size, true), activation: 'relu' },
      ...first.nodes,
      ...second.nodes,
      graphLinear(`logits@${size}`, second.output, classes.length, true),
    ]
    return network('graph', frontEnd, classes, nodes)
  }
  return { name: 'graph', choices, build, edges, fragment }
}
