// The engines that bench/inference.ts measures ours against, from bench/peers: ONNX Runtime and TensorFlow.js, each on one thread.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { arch } from 'node:os'
import { dirname, join } from 'node:path'
import type { FloatLayer, FloatNetwork } from '../packages/bitwright/src/export/float-network.ts'
import { inferShapes, isWeighted, type NetworkNode, type Padding } from '../packages/bitwright/src/network/index.ts'

/** An engine with a model in it. */
export interface Runner {
  readonly engine: string
  /** What one unit of the logits is worth; default 1. */
  readonly step?: number
  /** Logits of one clip. */
  run(): Promise<ArrayLike<number>> | ArrayLike<number>
  close(): Promise<void> | void
}

const peers = createRequire(join(import.meta.dirname, 'peers/package.json'))

/** Why a package of bench/peers cannot be loaded; undefined where it can. */
export function peerMissing(name: string): string | undefined {
  try {
    peers.resolve(name)
    return undefined
  } catch {
    return `${name} is not installed; run npm ci --prefix bench/peers`
  }
}

/** Whether ONNX Runtime's integer kernels are exact here: on x64 they saturate where the processor has no VNNI. */
export function hasExactKernels(): boolean {
  if (arch() !== 'x64') return true
  try {
    return /\bavx(512)?_vnni\b/.test(readFileSync('/proc/cpuinfo', 'utf8'))
  } catch {
    return false
  }
}

interface OrtTensor {
  readonly data: Float32Array
}
interface OrtSession {
  run(inputs: Readonly<Record<string, OrtTensor>>): Promise<Readonly<Record<string, OrtTensor>>>
  release(): Promise<void>
}
interface OnnxRuntime {
  readonly Tensor: new (type: 'float32', data: Float32Array, shape: readonly number[]) => OrtTensor
  readonly InferenceSession: { create(model: Uint8Array, options: object): Promise<OrtSession> }
}

/** @param input the model's one input: its name and shape */
export async function openOnnxRuntime(
  engine: string,
  model: Uint8Array,
  input: { readonly name: string; readonly shape: readonly number[]; readonly values: Float32Array },
): Promise<Runner> {
  const { InferenceSession, Tensor } = peers('onnxruntime-node') as OnnxRuntime
  const session = await InferenceSession.create(model, {
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    ...(hasExactKernels() ? {} : { extra: { session: { x64quantprecision: '1' } } }),
  })
  const given = { [input.name]: new Tensor('float32', input.values, input.shape) }
  return {
    engine,
    run: async () => (await session.run(given)).logits.data,
    close: () => session.release(),
  }
}

type Tensor = { readonly shape: readonly number[]; dispose(): void; dataSync(): Float32Array }
type Strides = readonly [number, number]
interface FusedConvolution {
  readonly x: Tensor
  readonly filter: Tensor
  readonly strides: Strides
  readonly pad: readonly Strides[]
  readonly bias?: Tensor
  readonly activation: 'linear' | 'relu' | 'relu6'
}
interface TensorFlow {
  setBackend(name: string): Promise<boolean>
  ready(): Promise<void>
  tidy(work: () => Tensor): Tensor
  tensor(values: Float32Array, shape: readonly number[]): Tensor
  reshape(x: Tensor, shape: readonly number[]): Tensor
  add(a: Tensor, b: Tensor): Tensor
  mul(a: Tensor, b: Tensor): Tensor
  abs(x: Tensor): Tensor
  log(x: Tensor): Tensor
  relu(x: Tensor): Tensor
  slice(x: Tensor, begin: readonly number[]): Tensor
  avgPool(x: Tensor, size: Strides, strides: Strides, pad: 'valid'): Tensor
  readonly fused: { conv2d(options: FusedConvolution): Tensor; depthwiseConv2d(options: FusedConvolution): Tensor }
}

const unpadded = [0, 0, 0, 0] as const

/** The float network in TensorFlow.js' WebAssembly, convolutions fused with bias and activation. */
export async function openTensorFlow({ network, layers }: FloatNetwork, values: Float32Array): Promise<Runner> {
  const wasm = peers('@tensorflow/tfjs-backend-wasm') as { setThreadsCount(count: number): void; setWasmPaths(folder: string): void }
  const tf = peers('@tensorflow/tfjs-core') as TensorFlow
  wasm.setThreadsCount(1)
  wasm.setWasmPaths(`${dirname(peers.resolve('@tensorflow/tfjs-backend-wasm'))}/`)
  await tf.setBackend('wasm')
  await tf.ready()
  const shapes = inferShapes(network)
  const input = tf.tensor(values, [1, ...shapes.get(network.nodes[0].id)!])
  const epsilon = tf.tensor(Float32Array.of(1e-3), [])
  const constants = new Map(network.nodes.filter(isWeighted).map((node) => [node.id, constantsOf(tf, node, layers.get(node.id)!, shapes)]))

  const compute = (node: NetworkNode, inputs: readonly Tensor[]): Tensor => {
    const [x] = inputs
    switch (node.op) {
      case 'input':
        return input
      case 'reshape':
        return tf.reshape(x, [1, ...node.shape])
      case 'crop':
        return tf.slice(x, [0, node.rows, 0, 0])
      case 'aggregate':
      case 'attend':
        throw new Error(`node "${node.id}": ${node.op} has no form here; compare a network without it`)
      case 'add':
        if (node.scale) throw new Error(`node "${node.id}": a sum with a learned factor has no form here; compare a network without it`)
        return node.activation === 'relu' ? tf.relu(tf.add(x, inputs[1])) : tf.add(x, inputs[1])
      case 'averagePool':
        return tf.avgPool(x, node.kernelSize, node.stride, 'valid')
      case 'globalAveragePool':
        return tf.avgPool(x, [x.shape[1], x.shape[2]], [1, 1], 'valid')
      case 'convolution':
      case 'sinc':
      case 'linear': {
        const { filter, slope, offset } = constants.get(node.id)!
        const { stride: strides, padding } = node.op === 'linear' ? { stride: [1, 1] as const, padding: unpadded } : node
        const [top, bottom, left, right] = padding as Padding
        const common = {
          x,
          filter,
          strides,
          pad: [
            [0, 0],
            [top, bottom],
            [left, right],
            [0, 0],
          ],
        } as const
        if (node.activation === 'logMagnitude') {
          const sums = tf.fused.conv2d({ ...common, activation: 'linear' })
          return tf.add(tf.mul(tf.log(tf.add(tf.abs(sums), epsilon)), slope), offset)
        }
        const activation = node.activation === 'none' ? 'linear' : node.activation
        const isDepthwise = node.op === 'convolution' && node.groups > 1
        return (isDepthwise ? tf.fused.depthwiseConv2d : tf.fused.conv2d)({ ...common, bias: offset, activation })
      }
      default:
        throw new Error(`unknown op in node ${JSON.stringify(node satisfies never)}`)
    }
  }
  return {
    engine: 'tfjs wasm float',
    run() {
      const logits = tf.tidy(() => {
        const made = new Map<string, Tensor>()
        for (const node of network.nodes)
          made.set(
            node.id,
            compute(
              node,
              node.inputs.map((id) => made.get(id)!),
            ),
          )
        return made.get(network.nodes.at(-1)!.id)!
      })
      const result = logits.dataSync()
      logits.dispose()
      return result
    },
    close() {
      for (const tensor of [input, epsilon, ...[...constants.values()].flatMap((each) => Object.values(each))]) tensor.dispose()
    },
  }
}

/** Weights with the slope in them, unless a logarithm lies between; offsets. */
function constantsOf(
  tf: TensorFlow,
  node: Extract<NetworkNode, { channels: number }>,
  { weights, slope, offset }: FloatLayer,
  shapes: ReadonlyMap<string, readonly number[]>,
) {
  const { channels } = node
  const isDepthwise = node.op === 'convolution' && node.groups > 1
  const inputs = shapes.get(node.inputs[0])![2]
  const size = node.op === 'linear' ? [1, 1] : node.kernelSize
  const folded = node.activation === 'logMagnitude' ? weights : weights.map((weight, i) => weight * slope[i % channels])
  return {
    filter: tf.tensor(folded, [...size, ...(isDepthwise ? [channels, 1] : [inputs, channels])]),
    slope: tf.tensor(Float32Array.from(slope), [channels]),
    offset: tf.tensor(Float32Array.from(offset), [channels]),
  }
}
