// Questions about the graph itself that shape inference, lowering and bit assignment share.
import { UsageError } from '../errors.ts'
import type {
  CropNode,
  FrontEnd,
  IntegerFrontEnd,
  LearnedNetworkNode,
  MultiplyingNode,
  Network,
  NetworkNode,
  ReshapeNode,
  WeightedNetworkNode,
} from './network.ts'

/** Whether the node has weights (and may carry weightBits and activationBits). */
export function isWeighted(node: NetworkNode): node is WeightedNetworkNode {
  return node.op === 'convolution' || node.op === 'sinc' || node.op === 'linear'
}

/** The nodes with weights, in graph order. */
export function weightedNodes(network: Network): WeightedNetworkNode[] {
  return network.nodes.filter(isWeighted)
}

/** Whether the node multiplies what it reads, at a width of its own (activationBits). */
export function isMultiplying(node: NetworkNode): node is MultiplyingNode {
  return isWeighted(node) || node.op === 'attend' || node.op === 'aggregate'
}

/** Names of what the node multiplies, in the order of its inputs: its id; attend, which has three, adds to its own. */
export function inputKeys({ op, id }: MultiplyingNode): string[] {
  return op === 'attend' ? ['queries', 'keys', 'values'].map((part) => `${id}.${part}`) : [id]
}

/** Whether the node has parameters in the store. */
export function isLearned(node: NetworkNode): node is LearnedNetworkNode {
  return isWeighted(node) || node.op === 'aggregate' || (node.op === 'add' && node.scale === 'learned')
}

/** Bits of a stored weight of the node: its width, 8 where none is decided; a sinc layer stores 16-bit cut-offs, two a filter. */
export function storedWeightBits(node: WeightedNetworkNode): number {
  return node.op === 'sinc' ? 16 : (node.weightBits ?? 8)
}

/** @throws UsageError where the network works on a graph: only the engine runs those */
export function requireIntegerForm(frontEnd: FrontEnd): asserts frontEnd is IntegerFrontEnd {
  if (frontEnd.kind === 'graph')
    throw new UsageError(
      'the network works on a graph: there is no integer model of it, so it cannot be exported, measured or put on a board',
    )
}

/** Prefix of the node's parameter names in the store. */
export function parameterPrefix(node: LearnedNetworkNode): string {
  return node.parameters ?? node.id
}

/** Prefix of the names of the node's normalisation: scale, offset and running statistics. */
export function normalizationPrefix(node: WeightedNetworkNode): string {
  return node.normalizationParameters ?? parameterPrefix(node)
}

export function nodesById(network: Network): Map<string, NetworkNode> {
  return new Map(network.nodes.map((node) => [node.id, node]))
}

/** Whether the node only shows (part of) what it reads, under another shape: its numbers are stored as those are. */
export function isView(node: NetworkNode): node is ReshapeNode | CropNode {
  return node.op === 'reshape' || node.op === 'crop'
}

/** The id of the value a node's value really is: reshapes and crops are followed back to what made the numbers. */
export function throughViews(nodes: ReadonlyMap<string, NetworkNode>, id: string): string {
  let node = nodes.get(id)
  while (node !== undefined && isView(node)) node = nodes.get(node.inputs[0])
  return node === undefined ? id : node.id
}

/** Whether the node reads the network's input itself (a view in between does not count). */
export function readsInput(nodes: ReadonlyMap<string, NetworkNode>, node: NetworkNode): boolean {
  return node.inputs.some((id) => nodes.get(throughViews(nodes, id))?.op === 'input')
}

/** For every value that is not a view: the nodes that read it, directly or through views, one entry per read. */
export function consumers(network: Network): Map<string, NetworkNode[]> {
  const nodes = nodesById(network)
  const result = new Map<string, NetworkNode[]>()
  for (const node of network.nodes) {
    if (isView(node)) continue
    result.set(node.id, [])
    for (const input of node.inputs) result.get(throughViews(nodes, input))?.push(node)
  }
  return result
}
