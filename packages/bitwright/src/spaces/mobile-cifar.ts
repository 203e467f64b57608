// Small images, e.g. CIFAR-10: the mobile blocks of MobileNetV2 (Sandler et al., arXiv 1801.04381) with the choices of ProxylessNAS (Cai et
// al., arXiv 1812.00332: kernels 3, 5 and 7, expansions 3 and 6, identity for depth) and of once-for-all networks (arXiv 1908.09791: width).
// Sizes are ours, for models of some tens of kilobytes: at 32x32x3 from about 2 to 41 million MACs and 16,000 to 376,000 parameters; the first
// stage expands less, as its maps are the largest. The ids of layers whose shapes follow from widths end in `@inputs-outputs` of their block.
import { classifier, convolution, mobileBlock, network } from '../network/blocks.ts'
import type { Network, NetworkNode } from '../network/network.ts'
import { frontEndShape } from '../network/shapes.ts'
import { decisionIndices } from './decisions.ts'
import type { Choice, Decisions, Fragment, Space } from './space.ts'

export interface MobileCifarOptions {
  /** Class names in output order. */
  readonly classes: readonly string[]
  /** Default 32. */
  readonly height?: number
  readonly width?: number
  /** Default 3. */
  readonly channels?: number
}

interface Stage {
  readonly name: string
  readonly widths: readonly number[]
  /** Of the first block. */
  readonly stride: number
  readonly blocks: number
  readonly expansions: readonly number[]
}

const stemChannels = 16
const headChannels = 96
const stages: readonly Stage[] = [
  { name: 's1', widths: [12, 16, 20], stride: 1, blocks: 1, expansions: [1, 3] },
  { name: 's2', widths: [16, 24, 32], stride: 2, blocks: 3, expansions: [3, 6] },
  { name: 's3', widths: [24, 40, 56], stride: 2, blocks: 3, expansions: [3, 6] },
  { name: 's4', widths: [40, 60, 80], stride: 1, blocks: 2, expansions: [3, 6] },
]

interface BlockOption {
  readonly name: string
  /** Absent: identity. */
  readonly block?: { readonly expansion: number; readonly kernel: number }
}
const blockOptions = (expansions: readonly number[]): BlockOption[] =>
  expansions.flatMap((expansion) => [3, 5, 7].map((kernel) => ({ name: `e${expansion}k${kernel}`, block: { expansion, kernel } })))
const identity: BlockOption = { name: 'identity' }

/** One path choice; its widths follow from the choices of its stage and the one before. */
interface Place {
  readonly name: string
  readonly stage: number
  readonly isFirst: boolean
  readonly stride: number
  readonly options: readonly BlockOption[]
}

const places: readonly Place[] = stages.flatMap(({ name, stride, blocks, expansions }, stage) =>
  Array.from({ length: blocks }, (_, block) => {
    const isFirst = block === 0
    return {
      name: `${name}.b${block + 1}`,
      stage,
      isFirst,
      stride: isFirst ? stride : 1,
      options: isFirst ? blockOptions(expansions) : [...blockOptions(expansions), identity],
    }
  }),
)

const choices: readonly Choice[] = [
  ...stages.map(({ name, widths }): Choice => ({ name: `${name}.width`, kind: 'size', options: widths.map(String) })),
  ...places.map(({ name, options }): Choice => ({ name, kind: 'path', options: options.map((option) => option.name) })),
]

/** Output channels of each stage. */
const widthsOf = (indices: readonly number[]): number[] => stages.map(({ widths }, stage) => widths[indices[stage]])

function nodesOf(place: Place, option: number, input: string, widths: readonly number[]): NetworkNode[] {
  const { block } = place.options[option]
  if (!block) return []
  const channels = widths[place.stage]
  const inputChannels = place.isFirst ? (widths[place.stage - 1] ?? stemChannels) : channels
  const nodes = mobileBlock(`${place.name}.${place.options[option].name}`, input, {
    inputChannels,
    channels,
    ...block,
    stride: [place.stride, place.stride],
  })
  const rename = (id: string): string => (id === input ? id : `${id}@${inputChannels}-${channels}`)
  // a sum where two widths happen to be equal would make layers depend on sizes
  const kept = place.isFirst ? nodes.filter(({ op }) => op !== 'add') : nodes
  return kept.map((node) => ({ ...node, id: rename(node.id), inputs: node.inputs.map(rename) }))
}

export function mobileCifar(options: MobileCifarOptions): Space {
  const { classes, height = 32, width = 32, channels = 3 } = options
  const frontEnd = { kind: 'image', height, width, channels } as const
  const stem = [
    { id: 'input', op: 'input', inputs: [], shape: frontEndShape(frontEnd) } as const,
    convolution('stem', 'input', { channels: stemChannels, kernelSize: [3, 3] }),
  ]
  const fragment = (choice: number, option: number, input: string, decisions: Decisions): Fragment => {
    const widths = widthsOf(decisionIndices(choices, decisions))
    const nodes = nodesOf(places[choice - stages.length], option, input, widths)
    return { nodes, input, output: nodes.at(-1)?.id ?? input }
  }
  const edges = (decisions: Decisions): Fragment[] => {
    const indices = decisionIndices(choices, decisions)
    let input = stem.at(-1)!.id
    return places.map((_, place) => {
      const choice = stages.length + place
      const edge = fragment(choice, indices[choice], input, indices)
      input = edge.output
      return edge
    })
  }
  const build = (decisions: Decisions): Network => {
    const chosen = edges(decisions)
    const last = `last@${widthsOf(decisionIndices(choices, decisions)).at(-1)}-${headChannels}`
    return network('mobile-cifar', frontEnd, classes, [
      ...stem,
      ...chosen.flatMap(({ nodes }) => nodes),
      convolution(last, chosen.at(-1)!.output, { channels: headChannels, kernelSize: [1, 1] }),
      ...classifier(last, classes.length),
    ])
  }
  return { name: 'mobile-cifar', choices, build, edges, fragment }
}
