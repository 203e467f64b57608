// ONNX Runtime for the tests, from where the benches keep their peers: `npm ci --prefix bench/peers`.
import { createRequire } from 'node:module'

interface Tensor {
  readonly data: Float32Array
}
export interface Session {
  run(inputs: Readonly<Record<string, unknown>>): Promise<{ readonly logits: Tensor }>
}
interface OnnxRuntime {
  readonly Tensor: new (type: string, data: Float32Array | Uint8Array, shape: readonly number[]) => Tensor
  readonly InferenceSession: { create(model: Uint8Array, options?: Readonly<Record<string, unknown>>): Promise<Session> }
}

const peers = createRequire(new URL('../../../../../bench/peers/package.json', import.meta.url))

/** Undefined where it is not installed. */
export function onnxRuntime(): OnnxRuntime | undefined {
  try {
    return peers('onnxruntime-node') as OnnxRuntime
  } catch {
    return undefined
  }
}

/** For the title of tests that skip without it. */
export const onnxRuntimeReason = 'ONNX Runtime (npm ci --prefix bench/peers)'
