// A space whose choices follow one another: fixed stem, one place after another where one of several fragments stands, fixed head.
// All options of a place give the same shape, so MACs add up option by option.
import { countNetwork } from '../network/counts.ts'
import type { Network, NetworkNode } from '../network/network.ts'
import { decisionIndices } from './decisions.ts'
import type { AdditiveSpace, Choice, Decisions, Fragment } from './space.ts'

export interface Place {
  readonly name: string
  /** Each option's nodes when reading `input`; the last node is the output, none means that the input is handed on. */
  readonly options: readonly { readonly name: string; readonly nodes: (input: string) => readonly NetworkNode[] }[]
}

export interface ChainParts {
  readonly name: string
  /** The last node's value goes into the first place. */
  readonly stem: readonly NetworkNode[]
  readonly places: readonly Place[]
  readonly head: (input: string) => readonly NetworkNode[]
  /** The network around the nodes. */
  readonly wrap: (nodes: readonly NetworkNode[]) => Network
}

/** The space of a chain. */
export function chainSpace({ name, stem, places, head, wrap }: ChainParts): AdditiveSpace {
  const choices: Choice[] = places.map((place) => ({
    name: place.name,
    kind: 'path',
    options: place.options.map((option) => option.name),
  }))

  const fragment = (choice: number, option: number, input: string): Fragment => {
    const nodes = places[choice].options[option].nodes(input)
    return { nodes, input, output: nodes.at(-1)?.id ?? input }
  }
  const edges = (decisions: Decisions): Fragment[] => {
    let input = stem.at(-1)!.id
    return decisionIndices(choices, decisions).map((option, choice) => {
      const edge = fragment(choice, option, input)
      input = edge.output
      return edge
    })
  }
  const build = (decisions: Decisions): Network => {
    const chosen = edges(decisions)
    return wrap([...stem, ...chosen.flatMap(({ nodes }) => nodes), ...head(chosen.at(-1)?.output ?? stem.at(-1)!.id)])
  }

  // Shapes do not depend on decisions, so every option may be priced in a network that takes the same option index everywhere.
  const most = Math.max(...places.map((place) => place.options.length))
  const optionMacs: number[][] = places.map(() => [])
  let fixedMacs = 0
  for (let option = 0; option < most; option++) {
    const decisions = places.map((place) => Math.min(option, place.options.length - 1))
    const count = countNetwork(build(decisions))
    const macs = new Map(count.nodes.map((node) => [node.id, node.macs]))
    const sums = edges(decisions).map(({ nodes }) => nodes.reduce((sum, node) => sum + macs.get(node.id)!, 0))
    sums.forEach((sum, choice) => (optionMacs[choice][decisions[choice]] = sum))
    fixedMacs = count.macs - sums.reduce((total, sum) => total + sum, 0)
  }
  return { name, choices, build, edges, fragment, fixedMacs, optionMacs }
}
