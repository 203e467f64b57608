// Names, shapes and layouts of a network's parameters. This is the only place that knows them; the store, the trainer, the exporter
// and the parameter count all ask here.
//
// Layouts: dense convolution weight [kernelHeight][kernelWidth][inputChannels][channels]; depthwise [kernelHeight][kernelWidth][channels];
// linear [inputChannels][channels]; everything else one number per output channel.
import { UsageError } from '../errors.ts'
import { isLearned, normalizationPrefix, parameterPrefix } from './graph.ts'
import type { AggregateNode, GraphAttention, LearnedNetworkNode, Network, Shape, WeightedNetworkNode } from './network.ts'
import { inferShapes } from './shapes.ts'

/** `sinc`: lower edge and bandwidth of a filter in Hz. `scale` and `offset`: batch normalisation's. `mean`, `variance`: its running statistics.
 * `factor`: of a sum's second input, from 0. `attention`: of the neighbours in a graph. */
export type ParameterKind = 'weight' | 'sinc' | 'scale' | 'offset' | 'bias' | 'factor' | 'attention' | 'mean' | 'variance'

export interface ParameterShape {
  /** `<prefix>.weight`, `.lowHz`, `.bandHz`, `.scale`, `.offset`, `.bias`, `.left`, `.right`, `.mean`, `.variance`. */
  readonly name: string
  readonly shape: readonly number[]
  readonly kind: ParameterKind
  /** Id of the first node that uses it. */
  readonly node: string
}

function weightShapes(node: WeightedNetworkNode, inputChannels: number): { suffix: string; shape: number[]; kind: ParameterKind }[] {
  switch (node.op) {
    case 'convolution': {
      const channels = node.groups === 1 ? [inputChannels, node.channels] : [node.channels]
      return [{ suffix: 'weight', shape: [...node.kernelSize, ...channels], kind: 'weight' }]
    }
    case 'sinc':
      return ['lowHz', 'bandHz'].map((suffix) => ({ suffix, shape: [node.channels], kind: 'sinc' as const }))
    case 'linear':
      return [{ suffix: 'weight', shape: [inputChannels, node.channels], kind: 'weight' }]
    default:
      throw new UsageError(`unknown op in node ${JSON.stringify(node satisfies never)}`)
  }
}

/** What learned attentions have (kernels/graph.c): what a node looks for, what a neighbour shows, or how sharp a head looks. */
const attentionParts: Readonly<Record<GraphAttention, readonly ('left' | 'right')[]>> = {
  constant: [],
  gcn: [],
  gat: ['left', 'right'],
  cosine: ['left'],
  linear: ['right'],
}

function aggregateParameterShapes(node: AggregateNode, [, , channels]: Shape): ParameterShape[] {
  const prefix = parameterPrefix(node)
  const own = { kind: 'attention', node: node.id } as const
  return [
    ...attentionParts[node.attention].map((part) => ({
      ...own,
      name: `${prefix}.${part}`,
      shape: node.attention === 'cosine' ? [node.heads] : [node.heads, channels / node.heads],
    })),
    ...(node.bias ? [{ name: `${prefix}.bias`, shape: [channels], kind: 'bias' as const, node: node.id }] : []),
  ]
}

/** Learned parameters of one node whose first input has the given shape, in canonical order. */
export function nodeParameterShapes(node: LearnedNetworkNode, input: Shape): ParameterShape[] {
  if (node.op === 'add') return [{ name: `${parameterPrefix(node)}.scale`, shape: [1], kind: 'factor', node: node.id }]
  if (node.op === 'aggregate') return aggregateParameterShapes(node, input)
  const perChannel = [node.channels]
  const all = weightShapes(node, input[2])
  if (node.normalization === 'affine') {
    all.push({ suffix: 'scale', shape: perChannel, kind: 'scale' }, { suffix: 'offset', shape: perChannel, kind: 'offset' })
  }
  if (node.bias) all.push({ suffix: 'bias', shape: perChannel, kind: 'bias' })
  return all.map(({ suffix, shape, kind }) => {
    const prefix = kind === 'scale' || kind === 'offset' ? normalizationPrefix(node) : parameterPrefix(node)
    return { name: `${prefix}.${suffix}`, shape, kind, node: node.id }
  })
}

function collect(network: Network, of: (node: LearnedNetworkNode, input: Shape) => ParameterShape[]): ParameterShape[] {
  const shapes = inferShapes(network)
  const seen = new Map<string, ParameterShape>()
  for (const node of network.nodes.filter(isLearned)) {
    for (const parameter of of(node, shapes.get(node.inputs[0])!)) {
      const first = seen.get(parameter.name)
      if (first === undefined) seen.set(parameter.name, parameter)
      else if (first.shape.join() !== parameter.shape.join()) {
        throw new UsageError(
          `parameter "${parameter.name}" is [${first.shape}] in node "${first.node}" and [${parameter.shape}] in node "${node.id}"; give one of them another "parameters" prefix`,
        )
      }
    }
  }
  return [...seen.values()]
}

/**
 * Learned parameters of the network, each name once, in graph order.
 * @throws UsageError when nodes share a prefix and disagree about a shape.
 */
export function parameterShapes(network: Network): ParameterShape[] {
  return collect(network, nodeParameterShapes)
}

/** Running mean and variance [channels] of every normalised node (plain or affine), which are kept but not learned by gradients. */
export function statisticShapes(network: Network): ParameterShape[] {
  return collect(network, (node) =>
    node.op === 'add' || node.op === 'aggregate' || node.normalization === 'none'
      ? []
      : (['mean', 'variance'] as const).map((kind) => ({
          name: `${normalizationPrefix(node)}.${kind}`,
          shape: [node.channels],
          kind,
          node: node.id,
        })),
  )
}
