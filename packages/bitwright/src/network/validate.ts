// Networks from outside (an exported architecture, a hand-written file): the zod schema for their form, then the rules of the graph.
// Every complaint is one line that names the node.
import { z } from 'zod'
import { UsageError } from '../errors.ts'
import { isWeighted, nodesById, readsInput } from './graph.ts'
import { type AudioFrontEnd, type FrontEnd, type Network, type NetworkNode, ternaryBits, type WeightedNetworkNode } from './network.ts'
import { parameterShapes } from './parameters.ts'
import { frontEndShape, inferShapes } from './shapes.ts'
import { storageOf } from './storage.ts'

const count = z.int().min(1).max(1_000_000)
const size = z.int().min(1).max(100_000)
const pair = z.tuple([size, size])
const padding = z.tuple(Array.from({ length: 4 }, () => z.int().min(0).max(100_000)) as [z.ZodInt, z.ZodInt, z.ZodInt, z.ZodInt])
const shape = z.tuple([count, count, count])
const name = z.string().min(1).max(200)

const node = { id: name, inputs: z.array(name) }
const weighted = {
  ...node,
  parameters: name.optional(),
  normalizationParameters: name.optional(),
  weightBits: z.union([z.int().min(1).max(8), z.literal(ternaryBits)]).optional(),
  activationBits: z.union([z.int().min(1).max(8), z.literal(16)]).optional(),
  normalization: z.enum(['none', 'plain', 'affine']),
  bias: z.boolean(),
  activation: z.enum(['none', 'relu', 'relu6', 'logMagnitude']),
}
const window = { kernelSize: pair, stride: pair }

const nodeSchema = z.discriminatedUnion('op', [
  z.strictObject({ ...node, op: z.literal('input'), shape }),
  z.strictObject({ ...weighted, ...window, op: z.literal('convolution'), channels: size, padding, groups: size }),
  z.strictObject({ ...weighted, ...window, op: z.literal('sinc'), channels: size, padding, sampleRate: count }),
  z.strictObject({ ...weighted, op: z.literal('linear'), channels: size }),
  z.strictObject({ ...node, op: z.literal('reshape'), shape }),
  z.strictObject({ ...node, op: z.literal('crop'), rows: size }),
  z.strictObject({
    ...node,
    op: z.literal('add'),
    activation: z.enum(['none', 'relu']),
    scale: z.literal('learned').optional(),
    parameters: name.optional(),
  }),
  z.strictObject({
    ...node,
    op: z.literal('attend'),
    activationBits: z.int().min(1).max(8).optional(),
    activation: z.enum(['none', 'relu']),
  }),
  z.strictObject({ ...node, ...window, op: z.literal('averagePool') }),
  z.strictObject({ ...node, op: z.literal('globalAveragePool') }),
  z.strictObject({
    ...node,
    op: z.literal('aggregate'),
    attention: z.enum(['constant', 'gcn', 'gat', 'cosine', 'linear']),
    aggregator: z.enum(['sum', 'mean', 'max']),
    heads: size,
    parameters: name.optional(),
    activationBits: z.int().min(1).max(8).optional(),
    bias: z.boolean(),
    activation: z.enum(['none', 'relu']),
  }),
])

const spectral = {
  sampleRate: count,
  samples: count,
  windowSamples: count,
  hopSamples: count,
  melBands: size,
  coefficients: size,
  lowHz: z.number().min(0),
  highHz: z.number().positive(),
}
const networkSchema = z.strictObject({
  format: z.literal('bitwright-network-1'),
  name,
  frontEnd: z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('raw'), sampleRate: count, samples: count }),
    z.strictObject({ kind: z.literal('mfcc'), ...spectral }),
    z.strictObject({ kind: z.literal('logmel'), ...spectral }),
    z.strictObject({ kind: z.literal('image'), height: size, width: size, channels: size }),
    z.strictObject({
      kind: z.literal('graph'),
      nodes: count,
      edges: z.int().min(0).max(100_000_000),
      features: count,
      entries: z.int().min(0).max(100_000_000),
    }),
  ]),
  classes: z.array(name).min(2),
  nodes: z.array(nodeSchema).min(2).max(10_000),
})

function checkFrontEnd({ frontEnd }: Network): void {
  if (frontEnd.kind === 'raw' || frontEnd.kind === 'image' || frontEnd.kind === 'graph') return
  const { kind, lowHz, highHz, sampleRate, coefficients, melBands } = frontEnd
  if (lowHz >= highHz || highHz > sampleRate / 2) {
    throw new UsageError(`frontEnd: needs lowHz < highHz <= ${sampleRate / 2} (half the sample rate), got ${lowHz} and ${highHz}`)
  }
  if (kind === 'logmel' ? coefficients !== melBands : coefficients > melBands) {
    throw new UsageError(`frontEnd: ${coefficients} coefficients from ${melBands} mel bands; log-mel needs as many, MFCC at most as many`)
  }
}

/** Nodes of a graph are samples: what looks at one of them alone is linear, and nothing but `aggregate` looks at others. */
function checkGraph({ frontEnd, nodes }: Network): void {
  const isGraph = frontEnd.kind === 'graph'
  for (const { id, op, ...rest } of nodes) {
    const where = `node "${id}" (${op})`
    if (!isGraph && op === 'aggregate') throw new UsageError(`${where}: adds up neighbours in a graph; it needs frontEnd "graph"`)
    if (isGraph && !['input', 'linear', 'aggregate', 'add'].includes(op))
      throw new UsageError(`${where}: a network for graphs has linear, aggregate and add alone`)
    if (op === 'aggregate' && rest.inputs[0] === nodes[0].id)
      throw new UsageError(`${where}: reads the features themselves, which are many and sparse; put a linear layer before it`)
    if (isGraph && op === 'linear' && 'normalization' in rest && rest.normalization !== 'none')
      throw new UsageError(`${where}: normalization "${rest.normalization}" on a graph; use "none"`)
  }
}

function checkSum(sum: NetworkNode): void {
  if (sum.op !== 'add' || sum.parameters === undefined || sum.scale !== undefined) return
  throw new UsageError(`node "${sum.id}" (add): has "parameters" and nothing to learn; add "scale": "learned" or take them away`)
}

function checkWeighted(network: Network, layer: WeightedNetworkNode, onInput: boolean): void {
  const where = `node "${layer.id}" (${layer.op})`
  const onRaw = onInput && network.frontEnd.kind === 'raw'
  if (layer.bias && layer.normalization !== 'none') {
    throw new UsageError(`${where}: bias with normalization "${layer.normalization}"; a bias needs normalization "none"`)
  }
  if (onRaw && layer.activationBits !== undefined && layer.activationBits !== 16) {
    throw new UsageError(`${where}: reads raw audio, which stays at 16 bits; set activationBits to 16, not ${layer.activationBits}`)
  }
  if (!onRaw && layer.activationBits === 16) {
    throw new UsageError(`${where}: activationBits 16 is for the layer that reads raw audio; use 1 to 8`)
  }
  if (layer.weightBits === ternaryBits && network.frontEnd.kind !== 'graph') {
    throw new UsageError(`${where}: weightBits ${ternaryBits}, ternary, is for networks on graphs alone; use 1 to 8`)
  }
  if (layer.op !== 'sinc') return
  if (!onRaw || network.frontEnd.kind !== 'raw')
    throw new UsageError(`${where}: reads raw audio only; its input must be the network's and frontEnd "raw"`)
  if (layer.kernelSize[1] !== 1 || layer.stride[1] !== 1 || layer.padding[2] !== 0 || layer.padding[3] !== 0) {
    throw new UsageError(`${where}: is one-dimensional; use kernelSize [k, 1], stride [s, 1], padding [before, after, 0, 0]`)
  }
  if (layer.sampleRate !== network.frontEnd.sampleRate) {
    throw new UsageError(`${where}: sampleRate ${layer.sampleRate} differs from the front end's ${network.frontEnd.sampleRate}`)
  }
}

/**
 * The rules of the graph: unique ids, topological order, one input that comes first and has the front end's shape, logits [1, 1, classes]
 * last, every value used, shapes that fit, widths that make sense.
 * @throws UsageError with one line naming the node and the mend.
 */
export function validateNetwork(network: Network): void {
  const { nodes, classes } = network
  checkFrontEnd(network)
  if (new Set(classes).size !== classes.length) throw new UsageError(`classes: a name appears twice in ${classes.join(', ')}`)
  const ids = new Set<string>()
  for (const { id } of nodes) {
    if (ids.has(id)) throw new UsageError(`node "${id}": the id appears twice; ids must be unique`)
    ids.add(id)
  }
  nodes.forEach((each, index) => {
    if ((each.op === 'input') !== (index === 0)) {
      throw new UsageError(`node "${each.id}" (${each.op}): the first node, and only it, must be the input`)
    }
  })
  const shapes = inferShapes(network)
  const input = shapes.get(nodes[0].id)!
  const expected = frontEndShape(network.frontEnd)
  if (input.join() !== expected.join()) {
    throw new UsageError(`node "${nodes[0].id}" (input): shape [${input}] differs from [${expected}], which the front end gives`)
  }
  const last = nodes.at(-1)!
  const logits = shapes.get(last.id)!
  if (logits.join() !== `1,1,${classes.length}`) {
    throw new UsageError(
      `node "${last.id}" (${last.op}): the last node gives [${logits}], not the logits [1, 1, ${classes.length}] of ${classes.length} classes`,
    )
  }
  if (!isWeighted(last) || last.activation !== 'none') {
    throw new UsageError(`node "${last.id}" (${last.op}): the logits must come from a layer with weights and activation "none"`)
  }
  const used = new Set(nodes.flatMap((each) => each.inputs))
  for (const { id } of nodes) if (id !== last.id && !used.has(id)) throw new UsageError(`node "${id}": nothing reads its output; remove it`)
  nodes.forEach(checkSum)
  checkGraph(network)
  const byId = nodesById(network)
  for (const layer of nodes.filter(isWeighted)) checkWeighted(network, layer, readsInput(byId, layer))
  storageOf(network)
  parameterShapes(network)
}

/** @throws UsageError when the network reads images: its data would have to be pictures. */
export function requireAudio(frontEnd: FrontEnd): asserts frontEnd is AudioFrontEnd {
  if (frontEnd.kind === 'graph') throw new UsageError('the network reads a graph and the data are clips of sound; give a network for sound')
  if (frontEnd.kind !== 'image') return
  const { height, width, channels } = frontEnd
  throw new UsageError(
    `the network reads images (${height}x${width}x${channels}) and the data are clips of sound; give a network for sound`,
  )
}

/**
 * A network from parsed JSON (a user's file).
 * @throws UsageError with one line: where in the file, what is wrong.
 */
export function parseNetwork(json: unknown): Network {
  const parsed = networkSchema.safeParse(json)
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]
    const inNode =
      path[0] === 'nodes' && typeof path[1] === 'number' ? (json as { nodes: { id?: unknown }[] }).nodes[path[1]]?.id : undefined
    const where = [...(typeof inNode === 'string' ? [`node "${inNode}"`] : []), path.join('.') || 'the file'].join(', ')
    throw new UsageError(`network: ${where}: ${message}`)
  }
  validateNetwork(parsed.data)
  return parsed.data
}
