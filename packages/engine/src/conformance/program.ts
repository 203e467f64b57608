// The language of the conformance suite: a program is written once against this interface and run twice, by the engine's tape
// (tape-run.ts) and by the float64 reference (reference-run.ts). Both see the same float32 numbers.
import type { ConvolutionShape } from '../ops/convolution.ts'
import { Random } from '../random.ts'

export interface Builder<V> {
  readonly batch: number
  /** A map filled with seeded normal numbers, [batch][height][width][channels]. */
  input(name: string, height: number, width: number, channels: number, options?: { gradient?: boolean; scale?: number }): V
  convolution(x: V, name: string, shape: ConvolutionShape): V
  linear(x: V, name: string, units: number): V
  /** SincConv filters as the weights of a convolution of a signal [height][1][1]. */
  sincConvolution(x: V, name: string, shape: { channels: number; taps: number; stride: number; sampleRate: number }): V
  batchNorm(x: V, name: string, options?: { affine?: boolean; momentum?: number }): V
  bias(x: V, name: string): V
  relu(x: V): V
  relu6(x: V): V
  /** `step` times the clamped rounded quotient. */
  fakeQuantize(x: V, name: string, options: { step: number; lowest: number; highest: number }): V
  add(...values: V[]): V
  /** x + factor * y */
  addScaled(x: V, y: V, name: string): V
  /** Softmax over the rows of query * transposed key, times value. */
  attend(query: V, key: V, value: V): V
  averagePool(x: V, kernelSize: readonly [number, number], stride: readonly [number, number]): V
  globalAveragePool(x: V): V
  logMagnitude(x: V, epsilon: number): V
  reshape(x: V, height: number, width: number, channels: number): V
  crop(x: V, rows: number): V
  /** Compares this value, and starts the backward pass there with seeded normal numbers. */
  output(name: string, x: V): void
  /** With `targets`: against seeded distributions. */
  crossEntropy(x: V, labels: readonly number[], options?: { smoothing?: number; scale?: number; targets?: boolean }): void
}

export type Program = <V>(b: Builder<V>) => void

export type Mode = 'train' | 'recalibrate' | 'evaluate'

/** Every array a run leaves behind, dense and under a name such as `output y`, `gradient conv.weight` or `mean norm`. */
export type Result = Map<string, ArrayLike<number>>

/** Distributions over classes, one a row: float32, each row about one. */
export function distributions(numbers: Numbers, rows: number, classes: number): Float32Array {
  const out = numbers.normal('targets', rows * classes).map(Math.exp)
  for (let row = 0; row < rows; row++) {
    const own = out.subarray(row * classes, (row + 1) * classes)
    const sum = own.reduce((a, b) => a + b, 0)
    own.forEach((value, k) => (own[k] = value / sum))
  }
  return out
}

/** Seeded float32 numbers for a name; the same for every backend and the reference. */
export class Numbers {
  private readonly seed: number

  constructor(seed: number) {
    this.seed = seed
  }

  normal(name: string, count: number, scale = 1, mean = 0): Float32Array {
    const random = new Random(this.seed, 'conformance', name)
    return Float32Array.from({ length: count }, () => mean + scale * random.normal())
  }

  uniform(name: string, count: number, low: number, high: number): Float32Array {
    const random = new Random(this.seed, 'conformance', name)
    return Float32Array.from({ length: count }, () => random.uniform(low, high))
  }
}

/** First values of the parameters, by role: close to what training uses, none at a special point. */
export function parameterValues(numbers: Numbers, name: string, size: number): Float32Array {
  const role = name.slice(name.lastIndexOf('.') + 1)
  switch (role) {
    case 'scale':
      return numbers.uniform(name, size, 0.5, 1.5)
    case 'variance':
      return numbers.uniform(name, size, 0.3, 2)
    case 'lowHz':
      return numbers.uniform(name, size, 20, 2500)
    case 'bandHz':
      return numbers.uniform(name, size, -900, 900)
    default:
      return numbers.normal(name, size, role === 'weight' ? 0.3 : 0.5)
  }
}

/** The shape of a convolution with the field's usual defaults. */
export function layer(channels: number, kernelSize: readonly [number, number], options: Partial<ConvolutionShape> = {}): ConvolutionShape {
  return { channels, kernelSize, stride: [1, 1], padding: [0, 0, 0, 0], groups: 1, ...options }
}
