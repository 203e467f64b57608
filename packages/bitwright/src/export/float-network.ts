// A trained network in float as plain data: the weights of each layer (those of a sinc layer made from its cut-offs) with batch norm or bias
// as one slope and one offset per channel, taken from the running statistics.
import { type ParameterStore, Tape } from '@bitwright/engine'
import { isLearned, parameterPrefix, weightedNodes } from '../network/graph.ts'
import type { Network } from '../network/network.ts'
import { parameterShapes } from '../network/parameters.ts'
import { channelAffine } from '../training/convert-channels.ts'
import { Recorder } from '../training/record.ts'

export interface FloatLayer {
  /** [kernelHeight][kernelWidth][inputChannels][channels]; of a depthwise layer without inputChannels. */
  readonly weights: Float32Array
  /** y = slope[c] * x + offset[c] */
  readonly slope: Float64Array
  readonly offset: Float64Array
}

export interface FloatNetwork {
  readonly network: Network
  /** By id of the layer. */
  readonly layers: ReadonlyMap<string, FloatLayer>
  /** By id of the sum: the learned factor of its second input. */
  readonly factors: ReadonlyMap<string, number>
}

/** The network with the parameters that are in the store. */
export function floatNetwork(network: Network, store: ParameterStore): FloatNetwork {
  const { engine } = store
  const tape = new Tape(engine, { batch: 1, mode: 'evaluate' })
  const recorder = new Recorder(tape, { store, momentum: 0 })
  recorder.network(network)
  engine.backend.run(tape.program(['generate']))
  const sizes = new Map(parameterShapes(network).map(({ node, kind, shape }) => [`${node} ${kind}`, shape.reduce((a, b) => a * b, 1)]))
  const layers = new Map(
    weightedNodes(network).map((node) => {
      const size = node.op === 'sinc' ? node.kernelSize[0] * node.kernelSize[1] * node.channels : sizes.get(`${node.id} weight`)!
      return [node.id, { weights: engine.floats(recorder.sources.get(node.id)!.offset, size).slice(), ...channelAffine(store, node) }]
    }),
  )
  const factors = new Map(
    network.nodes.flatMap((node): [string, number][] =>
      node.op === 'add' && isLearned(node) ? [[node.id, store.value(`${parameterPrefix(node)}.scale`)[0]]] : [],
    ),
  )
  tape.dispose()
  return { network, layers, factors }
}
