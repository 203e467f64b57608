// The streaming form of a network: nothing is padded along time (the rows of every map), so a clip's output is exactly what a stream gives
// at that moment, and training sees what will run. A sum whose inputs have used up different numbers of rows drops the first ones of the
// longer, so that both end at the same moment and a stream needs no delay. (Rybakov et al., "Streaming keyword spotting on mobile devices",
// arXiv 2005.06720, keep state per layer likewise, but pad in training.)
import { UsageError } from '../errors.ts'
import type { AddNode, AudioFrontEnd, Network, NetworkNode, Shape } from './network.ts'
import { nodeShape } from './shapes.ts'
import { requireAudio } from './validate.ts'

interface Timing {
  /** Rows of the input from one row of this map to the next. */
  readonly step: number
  /** Rows of the input that the first row of this map looks at. */
  readonly span: number
}

function timingOf(node: NetworkNode, inputs: readonly Timing[]): Timing {
  const [input] = inputs
  switch (node.op) {
    case 'input':
      return { step: 1, span: 1 }
    case 'convolution':
    case 'sinc':
    case 'averagePool':
      return { step: input.step * node.stride[0], span: input.span + (node.kernelSize[0] - 1) * input.step }
    case 'crop':
      return { step: input.step, span: input.span + node.rows * input.step }
    case 'add':
      if (inputs[0].step !== inputs[1].step) {
        throw new UsageError(
          `node "${node.id}" (add): cannot stream: its inputs come at different rates (strides along time ${inputs[0].step} and ${inputs[1].step})`,
        )
      }
      return { step: input.step, span: Math.max(...inputs.map(({ span }) => span)) }
    case 'attend':
      throw new UsageError(
        `node "${node.id}" (attend): cannot stream: every row of its map looks at all others, and a stream has no last one`,
      )
    default:
      return input
  }
}

/** Seconds of sound in so many rows of the network's input. */
function seconds(frontEnd: AudioFrontEnd, rows: number): number {
  const samples = frontEnd.kind === 'raw' ? rows : (rows - 1) * frontEnd.hopSamples + frontEnd.windowSamples
  return samples / frontEnd.sampleRate
}

/**
 * The same layers and parameters without padding along time, for clips of the same length.
 * @throws UsageError where a network reads images, mixes time with something else, or looks at more sound than a clip has.
 */
export function streamingNetwork(network: Network): Network {
  const { frontEnd } = network
  requireAudio(frontEnd)
  const before = new Map<string, Shape>()
  const shapes = new Map<string, Shape>()
  const timings = new Map<string, Timing>()
  const nodes: NetworkNode[] = []
  const push = (node: NetworkNode): void => {
    const inputs = node.inputs.map((id) => shapes.get(id)!)
    const timing = timingOf(
      node,
      node.inputs.map((id) => timings.get(id)!),
    )
    timings.set(node.id, timing)
    const available = shapes.get(network.nodes[0].id)?.[0] ?? timing.span
    if (timing.span > available) {
      const [needed, given] = [timing.span, available].map((rows) => seconds(frontEnd, rows).toFixed(2))
      throw new UsageError(
        `network "${network.name}": cannot stream: up to "${node.id}" it looks at ${needed} s of sound at once, and clips have ${given} s; use smaller kernels or strides along time`,
      )
    }
    shapes.set(node.id, nodeShape(node, inputs))
    nodes.push(node)
  }
  for (const node of network.nodes) {
    const shape = nodeShape(
      node,
      node.inputs.map((id) => before.get(id)!),
    )
    before.set(node.id, shape)
    if (node.op === 'convolution' || node.op === 'sinc') {
      push({ ...node, padding: [0, 0, node.padding[2], node.padding[3]] })
    } else if (node.op === 'reshape') {
      if (shape[0] !== before.get(node.inputs[0])![0])
        throw new UsageError(`node "${node.id}" (reshape): cannot stream: it changes the number of rows, which are time`)
      push({ ...node, shape: [shapes.get(node.inputs[0])![0], node.shape[1], node.shape[2]] })
    } else if (node.op === 'add') {
      push(aligned(node, shapes, push))
    } else {
      push(node)
    }
  }
  const isSame = JSON.stringify(nodes) === JSON.stringify(network.nodes)
  return isSame ? network : { ...network, name: `${network.name}-stream`, nodes }
}

/** The sum of inputs of one length: of the longer one the last rows. */
function aligned(node: AddNode, shapes: ReadonlyMap<string, Shape>, push: (node: NetworkNode) => void): AddNode {
  const heights = node.inputs.map((id) => shapes.get(id)![0])
  const rows = Math.abs(heights[0] - heights[1])
  if (rows === 0) return node
  const longer = heights[0] > heights[1] ? 0 : 1
  const id = `${node.id}.crop`
  push({ id, op: 'crop', inputs: [node.inputs[longer]], rows })
  return { ...node, inputs: node.inputs.map((input, i) => (i === longer ? id : input)) }
}
