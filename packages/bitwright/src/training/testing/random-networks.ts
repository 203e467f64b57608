// Random small networks with random widths and parameters for the tests of conversion: every op, sign, activation and normalisation,
// streams that are narrowed, channels that batch norm turns over, nearly switches off, or switches off.
import { Random, type ParameterStore } from '@bitwright/engine'
import { convolution, network } from '../../network/blocks.ts'
import { isView, isWeighted, weightedNodes } from '../../network/graph.ts'
import type { ConvolutionNode, Network, NetworkNode, Normalization, RawFrontEnd } from '../../network/network.ts'
import { inferShapes } from '../../network/shapes.ts'
import { signedness } from '../../network/storage.ts'
import { withBits } from '../../network/transform.ts'

const activations = ['none', 'relu', 'relu', 'relu6'] as const

function firstLayer(random: Random, { sampleRate }: RawFrontEnd): NetworkNode {
  const channels = 3 + random.integer(6)
  const common = { id: 'first', inputs: ['input'], channels, stride: [8, 1], padding: [random.integer(9), 0, 0, 0], bias: false } as const
  const activation = random.integer(3) ? ('logMagnitude' as const) : activations[random.integer(4)]
  const normalization: Normalization = (['plain', 'affine'] as const)[random.integer(2)]
  const shape = { ...common, activation, normalization, kernelSize: [17 + 2 * random.integer(10), 1] } as const
  return random.integer(2) ? { ...shape, op: 'sinc', sampleRate } : { ...shape, op: 'convolution', groups: 1 }
}

/** A network on the front end's raw audio, its layers' widths decided at random. */
export function randomNetwork(random: Random, frontEnd: RawFrontEnd, classes: readonly string[]): Network {
  const nodes: NetworkNode[] = [{ id: 'input', op: 'input', inputs: [], shape: [frontEnd.samples, 1, 1] }, firstLayer(random, frontEnd)]
  const shapeOf = (id: string) => inferShapes(network('random', frontEnd, classes, nodes)).get(id)!
  const convolve = (id: string, from: string, options: Pick<ConvolutionNode, 'channels' | 'kernelSize'> & Partial<ConvolutionNode>) => {
    const kind = random.integer(4)
    const normalization: Normalization = kind === 0 ? 'none' : kind === 1 ? 'plain' : 'affine'
    const activation = activations[random.integer(4)]
    nodes.push({ ...convolution(id, from, { ...options, normalization, activation }), bias: kind === 0 && random.integer(3) > 0 })
  }
  if (random.integer(2)) {
    const [height, , channels] = shapeOf('first')
    nodes.push({ id: 'map', op: 'reshape', inputs: ['first'], shape: [height, channels, 1] })
    convolve('second', 'map', { channels: 2 + random.integer(6), kernelSize: [3, 3], stride: [2, 1] })
  }
  for (let i = 0, count = 2 + random.integer(4); i < count; i++) {
    const from = nodes.at(-1)!.id
    const [height, width, channels] = shapeOf(from)
    const id = `layer${i}`
    const partners = nodes.slice(1, -1).filter((node) => !isView(node) && shapeOf(node.id).join() === [height, width, channels].join())
    const kind = random.integer(6)
    if (kind === 5 && height > 4) {
      nodes.push({ id, op: 'crop', inputs: [from], rows: 1 + random.integer(3) })
    } else if (kind === 0 && partners.length > 0) {
      const partner = partners[random.integer(partners.length)].id
      nodes.push({ id, op: 'add', inputs: [from, partner], activation: random.integer(2) ? 'relu' : 'none' })
    } else if (kind === 1 && height > 8) {
      nodes.push({ id, op: 'averagePool', inputs: [from], kernelSize: [2 + random.integer(2), 1], stride: [2, 1] })
    } else if (kind === 2) {
      convolve(id, from, { channels, kernelSize: [3, width > 1 ? 3 : 1], groups: channels })
    } else {
      convolve(id, from, { channels: random.integer(2) ? channels : 2 + random.integer(9), kernelSize: [1 + 2 * random.integer(2), 1] })
    }
  }
  nodes.push({ id: 'pool', op: 'globalAveragePool', inputs: [nodes.at(-1)!.id] })
  const logits = { channels: classes.length, normalization: 'none', bias: true, activation: 'none' } as const
  nodes.push({ id: 'logits', op: 'linear', inputs: ['pool'], ...logits })
  const graph = network('random', frontEnd, classes, nodes)
  const signed = signedness(graph)
  const overrides = Object.fromEntries(
    weightedNodes(graph).map(({ id, inputs: [from] }) => {
      const least = signed.get(from) ? 2 : 1
      return [id, { weightBits: 1 + random.integer(8), activationBits: least + random.integer(9 - least) }]
    }),
  )
  return withBits(graph, { weightBits: 8, activationBits: 8 }, { overrides })
}

/** Parameters as training leaves them, and as it rarely does: some scales are negative, some nearly or wholly zero. */
export function randomizeParameters(random: Random, graph: Network, store: ParameterStore): void {
  for (const node of graph.nodes) {
    if (node.op === 'add' && node.scale) store.value(`${node.id}.scale`)[0] = random.normal()
    if (!isWeighted(node)) continue
    const fill = (suffix: string, draw: () => number): void => {
      const values = store.value(`${node.id}.${suffix}`)
      for (let i = 0; i < values.length; i++) values[i] = draw()
    }
    if (node.bias) fill('bias', () => random.normal() * 0.3)
    if (node.normalization === 'none') continue
    fill('mean', () => random.normal() * 0.3)
    fill('variance', () => random.uniform(0.3, 2))
    if (node.normalization === 'plain') continue
    fill('offset', () => random.normal() * 0.5)
    fill('scale', () =>
      random.integer(12) === 0 ? [0, 1e-6, -1e-9][random.integer(3)] : random.uniform(0.4, 2) * (random.integer(4) ? 1 : -1),
    )
  }
}
