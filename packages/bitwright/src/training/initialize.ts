// Parameters of networks: the store's declaration and first values.
import { type Engine, type ParameterShape as StoreShape, ParameterStore, Random } from '@bitwright/engine'
import type { Network } from '../network/network.ts'
import { type ParameterShape, parameterShapes, statisticShapes } from '../network/parameters.ts'
import { consumers, nodesById, readsInput } from '../network/graph.ts'

/** Adam's steps on a SincConv's cut-offs, which are in Hz, are this much longer than on weights. */
const sincRate = 300

/**
 * And on the layers whose maps attention compares, this much shorter: a score is a product of both and nothing normalises it, so that at rates which
 * layers with batch norm want every step moves it by about one (measured in docs/cenet.md).
 */
const comparedRate = 0.05

const isCompared = (network: Network, id: string): boolean =>
  network.nodes.some((node) => node.op === 'attend' && node.inputs.slice(0, 2).includes(id))

/** Whether attention reads what a node gives. */
const isAttended = (network: Network, node: string): boolean =>
  consumers(network)
    .get(node)!
    .some(({ op }) => op === 'attend')

/** Weights decay; on a graph those of the layer that reads the features alone, as in GCN: labels are few and words many. */
function decays(network: Network, { kind, node }: ParameterShape): boolean {
  if (kind !== 'weight' || network.frontEnd.kind !== 'graph') return kind === 'weight'
  const nodes = nodesById(network)
  return readsInput(nodes, nodes.get(node)!)
}

function storeShape(network: Network, parameter: ParameterShape): StoreShape {
  const { name, shape, kind, node } = parameter
  const size = shape.reduce((product, length) => product * length, 1)
  const rate = kind === 'sinc' ? sincRate : isCompared(network, node) ? comparedRate : 1
  return { name, size, decay: decays(network, parameter) ? 1 : 0, rate }
}

/** A store that knows its parameters by other names too. */
class RenamingStore extends ParameterStore {
  private readonly nameOf: (name: string) => string
  constructor(engine: Engine, shapes: readonly StoreShape[], nameOf: (name: string) => string) {
    super(engine, shapes)
    this.nameOf = nameOf
  }
  override has(name: string): boolean {
    return super.has(this.nameOf(name))
  }
  override get(name: string): ReturnType<ParameterStore['get']> {
    return super.get(this.nameOf(name))
  }
}

/**
 * A store for all parameters (running statistics too) of the networks, each name once and at its largest, at their first values. `nameOf`:
 * names that it makes the same share a place.
 */
export function createStore(
  engine: Engine,
  networks: readonly Network[],
  seed: number,
  nameOf: (name: string) => string = (name) => name,
): ParameterStore {
  const shapes = new Map<string, { parameter: ParameterShape; network: Network }>()
  for (const network of networks) {
    for (const parameter of [...parameterShapes(network), ...statisticShapes(network)]) {
      const name = nameOf(parameter.name)
      const known = shapes.get(name)
      if (!known || storeShape(known.network, known.parameter).size < storeShape(network, parameter).size)
        shapes.set(name, { parameter, network })
    }
  }
  const store = new RenamingStore(
    engine,
    [...shapes].map(([name, { parameter, network }]) => ({ ...storeShape(network, parameter), name })),
    nameOf,
  )
  for (const { parameter, network } of shapes.values()) initialize(store, parameter, network, seed)
  return store
}

const mel = (hz: number) => 2595 * Math.log10(1 + hz / 700)
const hertz = (m: number) => 700 * (10 ** (m / 2595) - 1)

function initialize(store: ParameterStore, { name, shape, kind, node: id }: ParameterShape, network: Network, seed: number): void {
  const values = store.value(name)
  const random = new Random(seed, 'initialize', name)
  switch (kind) {
    case 'weight': {
      // He et al. 2015 for layers before a ReLU; PyTorch's uniform for the classifier, and for what attention compares: larger scores would make
      // its softmax choose one position each
      const node = nodesById(network).get(id)!
      const fanIn = values.length / shape.at(-1)!
      if (network.frontEnd.kind === 'graph') {
        // Glorot and Bengio 2010, as GCN and GAT have it
        const bound = Math.sqrt(6 / (fanIn + shape.at(-1)!))
        for (let i = 0; i < values.length; i++) values[i] = random.uniform(-bound, bound)
        return
      }
      const isUniform = node.op === 'linear' || isAttended(network, id)
      const deviation = Math.sqrt(2 / fanIn)
      for (let i = 0; i < values.length; i++) {
        values[i] = isUniform ? random.uniform(-1, 1) / Math.sqrt(fanIn) : random.normal() * deviation
      }
      return
    }
    case 'sinc': {
      // SincNet: edges evenly spaced on the mel scale from 30 Hz to 100 Hz below half the sample rate
      const node = nodesById(network).get(id)!
      const high = (node.op === 'sinc' ? node.sampleRate : 16_000) / 2 - 100
      const edge = (i: number) => hertz(mel(30) + ((mel(high) - mel(30)) * i) / values.length)
      for (let i = 0; i < values.length; i++) values[i] = name.endsWith('.lowHz') ? edge(i) : edge(i + 1) - edge(i)
      return
    }
    case 'attention': {
      // Glorot and Bengio 2010, as GAT has it; a head that looks at cosines begins as sharp as they are
      const bound = Math.sqrt(6 / ((shape[1] ?? 0) + 1))
      for (let i = 0; i < values.length; i++) values[i] = shape.length === 1 ? 1 : random.uniform(-bound, bound)
      return
    }
    case 'scale':
    case 'variance':
      values.fill(1)
      return
    case 'offset':
    case 'bias':
    case 'mean':
    case 'factor':
      values.fill(0)
      return
    default:
      throw new Error(`unknown parameter kind ${kind satisfies never}`)
  }
}
