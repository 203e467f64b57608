// A space with the widths of every layer among its choices: HQNAS's one search over architecture and bits (arXiv 2210.08485). How the
// paper lays its choices out is not said; this is our own design. Two `bits` choices a role (roles.ts), so that a width is decided for a
// place and not for the option that stands there. A choice no layer of the network reads is dead, and `canonical` sets it to 0.
import { isMultiplying, isWeighted, nodesById, readsInput } from '../network/graph.ts'
import { type FrontEnd, type MultiplyingNode, type Network, type NetworkNode, ternaryBits } from '../network/network.ts'
import { signedness } from '../network/storage.ts'
import { withBits, withNormalizationPerWidth, type Widths } from '../network/transform.ts'
import { choicesOf, decisionIndices, everyPath } from './decisions.ts'
import { roleOf, rolesOf } from './roles.ts'
import type { Choice, Decisions, Space } from './space.ts'

/** What layers store and multiply at few bits, in the order in which options stand. */
export type JointWidths = Readonly<Record<What, readonly number[]>>

/** HQNAS's three for what the core runs; on a graph those of LPGNAS (arXiv 2009.09232), binary and ternary weights among them. */
export const jointWidths = ({ kind }: FrontEnd): JointWidths =>
  kind === 'graph'
    ? { weightBits: [1, ternaryBits, 2, 3, 4, 5, 6, 7, 8], activationBits: [4, 5, 6, 7, 8] }
    : { weightBits: [2, 4, 8], activationBits: [2, 4, 8] }

export interface JointSpace extends Space {
  /** The space whose choices come first. */
  readonly base: Space
  readonly widths: JointWidths
  /** Name of a layer's place (roles.ts). */
  roleOf(id: string): string
}

type What = keyof Widths

/** The choice of a width. */
export const bitsChoiceName = (role: string, what: What): string => `${role}.${what}`

/** Whether these bits of a layer are a choice: attend has no weights, SincConv makes its own filters, and the network's input has its width. */
const isOpen = (byId: ReturnType<typeof nodesById>, node: MultiplyingNode, what: What): boolean =>
  what === 'weightBits' ? isWeighted(node) && node.op !== 'sinc' : !readsInput(byId, node)

/** @param normalization `perWidth`: of its own for every width of a layer's weights; `shared`: one for all, whose statistics are taken anew */
export function jointSpace(
  base: Space,
  widths: JointWidths = jointWidths(base.build(base.choices.map(() => 0)).frontEnd),
  normalization: 'shared' | 'perWidth' = 'shared',
): JointSpace {
  const role = (id: string) => roleOf(base, id)
  const fixed = new Set<string>()
  for (const network of everyPath(base).map((decisions) => base.build(decisions))) {
    const byId = nodesById(network)
    for (const node of network.nodes.filter(isMultiplying))
      for (const what of ['weightBits', 'activationBits'] as const)
        if (!isOpen(byId, node, what)) fixed.add(bitsChoiceName(role(node.id), what))
  }
  const ofBits = rolesOf(base).flatMap((place) =>
    (['weightBits', 'activationBits'] as const).map((what): Choice => {
      return { name: bitsChoiceName(place, what), kind: 'bits', options: widths[what].map(String) }
    }),
  )
  const choices = [...base.choices, ...ofBits.filter(({ name }) => !fixed.has(name))]
  const position = new Map(choices.map(({ name }, index) => [name, index]))
  const own = (indices: readonly number[]) => indices.slice(0, base.choices.length)

  const build = (decisions: Decisions): Network => {
    const indices = decisionIndices(choices, decisions)
    const network = base.build(own(indices))
    const width = (id: string, what: What): Partial<Widths> => {
      const choice = position.get(bitsChoiceName(role(id), what))
      return choice === undefined ? {} : { [what]: widths[what][indices[choice]] }
    }
    const overrides = Object.fromEntries(
      network.nodes.filter(isMultiplying).map(({ id }) => [id, { ...width(id, 'weightBits'), ...width(id, 'activationBits') }]),
    )
    const decided = withBits(network, { weightBits: 8, activationBits: 8 }, { edges: 'same', overrides })
    return normalization === 'perWidth' ? withNormalizationPerWidth(decided) : decided
  }
  return {
    name: `${base.name}-joint`,
    base,
    widths,
    ...(normalization === 'perWidth' ? { namesHaveWidths: true } : {}),
    choices,
    roleOf: role,
    build,
    edges: (decisions) => {
      const indices = decisionIndices(choices, decisions)
      const built = nodesById(build(indices))
      return base.edges(own(indices)).map((edge) => ({ ...edge, nodes: edge.nodes.map(({ id }) => built.get(id)!) }))
    },
    fragment: (choice, option, input, decisions) => {
      const indices = decisionIndices(choices, decisions).with(choice, option)
      const { nodes, ...edge } = base.fragment(choice, option, input, own(indices))
      const built = nodesById(build(indices))
      return { ...edge, nodes: nodes.map((node) => ({ ...node, ...widthsOf(built.get(node.id)!) })) as typeof nodes }
    },
    canonical: (decisions) => {
      const path = base.canonical?.(own(decisions)) ?? own(decisions)
      const read = new Set(
        base
          .build(path)
          .nodes.filter(isMultiplying)
          .flatMap(({ id }) => [bitsChoiceName(role(id), 'weightBits'), bitsChoiceName(role(id), 'activationBits')]),
      )
      return choices.map(({ name }, index) => (index < path.length ? path[index] : read.has(name) ? decisions[index] : 0))
    },
  }
}

function widthsOf(node: NetworkNode): Partial<MultiplyingNode> {
  if (!isMultiplying(node)) return {}
  if (node.op === 'attend' || node.op === 'aggregate') return { activationBits: node.activationBits! }
  const { weightBits, activationBits, normalizationParameters } = node
  return { weightBits: weightBits!, activationBits: activationBits!, ...(normalizationParameters ? { normalizationParameters } : {}) }
}

/**
 * Networks that together have every role of every value and layer, and every option of every path at the largest sizes. A sum stands where two
 * sizes are equal, so sizes are taken two at a time.
 */
export function networksOfEveryRole(space: JointSpace): Network[] {
  const sizes = choicesOf(space, 'size')
  const first = space.choices.map(() => 0)
  const options = (choice: number) => space.choices[choice].options.map((_, option) => option)
  const pairs = sizes.flatMap((one, i) =>
    sizes.slice(i + 1).flatMap((other) => options(one).flatMap((a) => options(other).map((b) => first.with(one, a).with(other, b)))),
  )
  const seen = new Set<string>()
  const isNew = (network: Network): boolean => {
    const signed = signedness(network)
    const before = seen.size
    for (const { id, op } of network.nodes) seen.add(`${space.roleOf(id)} ${op} ${signed.get(id)}`)
    return seen.size > before
  }
  const largest = Math.max(0, ...sizes.map((choice) => space.choices[choice].options.length - 1))
  const paths = everyPath(space).filter((decisions) =>
    sizes.every((choice) => decisions[choice] === Math.min(largest, space.choices[choice].options.length - 1)),
  )
  const networks = paths.map((decisions) => space.build(decisions))
  for (const network of networks) isNew(network)
  return [...networks, ...[...everyPath(space), ...pairs].map((decisions) => space.build(decisions)).filter(isNew)]
}
