// A space with more candidates than it has.
import type { Network, NetworkNode } from '../packages/bitwright/src/network/index.ts'
import { type Decisions, decisionIndices, type Fragment, isAdditive, type Space } from '../packages/bitwright/src/spaces/index.ts'

/** A space in which each path has its options `copies` times, with names of their own; the first ones keep their names and indices. */
export function withCopies<S extends Space>(space: S, copies: number): S {
  const choices = space.choices.map(({ name, kind, options }) => ({
    name,
    kind,
    options: Array.from({ length: kind === 'path' ? copies : 1 }, (_, copy) =>
      options.map((option) => (copy === 0 ? option : `${option}x${copy}`)),
    ).flat(),
  }))
  const original = (choice: number, option: number) => option % space.choices[choice].options.length
  /** The name of a node of this option; others keep theirs. */
  const rename = (choice: number, option: number) => {
    const { name, options } = space.choices[choice]
    const from = `${name}.${options[original(choice, option)]}.`
    return (id: string) => (id.startsWith(from) ? `${name}.${choices[choice].options[option]}.${id.slice(from.length)}` : id)
  }
  const renamed = (nodes: readonly NetworkNode[], name: (id: string) => string) =>
    nodes.map((node) => ({ ...node, id: name(node.id), inputs: node.inputs.map(name) }) as NetworkNode)
  const indices = (decisions: Decisions) => decisionIndices(choices, decisions)
  const originals = (decisions: Decisions) => indices(decisions).map((option, choice) => original(choice, option))
  const everyName = (decisions: Decisions) => {
    const names = indices(decisions).map((option, choice) => rename(choice, option))
    return (id: string) => names.reduce((name, each) => each(name), id)
  }
  const fragment = (choice: number, option: number, input: string, decisions: Decisions): Fragment => {
    const name = rename(choice, option)
    const { nodes, output } = space.fragment(choice, original(choice, option), input, originals(decisions))
    const own = new Set(nodes.map(({ id }) => id))
    return { nodes: renamed(nodes, (id) => (own.has(id) ? name(id) : id)), input, output: own.has(output) ? name(output) : output }
  }
  return {
    ...space,
    name: `${space.name} x${copies}`,
    choices,
    build: (decisions): Network => {
      const network = space.build(originals(decisions))
      return { ...network, nodes: renamed(network.nodes, everyName(decisions)) }
    },
    edges: (decisions) => {
      const name = everyName(decisions)
      return space
        .edges(originals(decisions))
        .map(({ nodes, input, output }) => ({ nodes: renamed(nodes, name), input: name(input), output: name(output) }))
    },
    fragment,
    ...(isAdditive(space) && { optionMacs: space.optionMacs.map((macs) => Array.from({ length: copies }, () => macs).flat()) }),
  }
}
