// CENet and CENet-GCN (arXiv 1912.05124) with their numbers open: depth and inner width of every stage, inner width of every connection block,
// and whether a graph module stands behind it. The published networks are members; which other depths and widths there are is ours
// (docs/cenet.md). One choice decides the depth and width of a whole stage, so that a search has nine places and not thirty-seven.
import { bottleneckBlock, classifier, connectionBlock, graphModule, network } from '../network/blocks.ts'
import { type CenetStage, cenetFrontEnd, cenetStages, cenetStem } from '../network/cenet.ts'
import type { NetworkNode } from '../network/network.ts'
import { chainSpace, type Place } from './chain.ts'
import type { AdditiveSpace } from './space.ts'

export interface CenetOptions {
  /** Class names in output order. */
  readonly classes: readonly string[]
  /** Hz. Default 16000. */
  readonly sampleRate?: number
  /** Samples of a clip. Default: one second. */
  readonly samples?: number
}

/** Bottleneck blocks of a stage. */
const depths: Readonly<Record<string, readonly number[]>> = { s1: [1, 3, 7, 15], s2: [1, 3, 7, 15], s3: [1, 3, 7] }

function stagePlaces(stage: CenetStage): Place[] {
  const { name, channels, connected } = stage
  const widths = [stage.middle, 2 * stage.middle]
  const blocks = (option: string, depth: number, middle: number, input: string): NetworkNode[] => {
    const nodes: NetworkNode[] = []
    for (let block = 1; block <= depth; block++)
      nodes.push(...bottleneckBlock(`${name}.${option}.b${block}`, nodes.at(-1)?.id ?? input, { middle, channels }))
    return nodes
  }
  return [
    {
      name,
      options: depths[name].flatMap((depth) =>
        widths.map((middle) => {
          const option = `d${depth}m${middle}`
          return { name: option, nodes: (input: string) => blocks(option, depth, middle, input) }
        }),
      ),
    },
    {
      name: `${name}.connection`,
      options: widths.map((middle) => ({
        name: `m${middle}`,
        nodes: (input) => connectionBlock(`${name}.connection.m${middle}`, input, { middle, channels: connected }),
      })),
    },
    {
      name: `${name}.graph`,
      options: [
        { name: 'none', nodes: () => [] },
        { name: 'module', nodes: (input) => graphModule(`${name}.graph.module`, input, connected) },
      ],
    },
  ]
}

export function cenet({ classes, sampleRate = 16000, samples = sampleRate }: CenetOptions): AdditiveSpace {
  const frontEnd = cenetFrontEnd({ sampleRate, samples })
  return chainSpace({
    name: 'cenet',
    stem: cenetStem(frontEnd),
    places: cenetStages.flatMap(stagePlaces),
    head: (input) => classifier(input, classes.length),
    wrap: (nodes) => network('cenet', frontEnd, classes, nodes),
  })
}
