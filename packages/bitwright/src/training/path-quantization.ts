// What a supernet asks of the quantizers that its paths share: for one sampled path whatever `Quantization` is for one network, and one
// step for what several paths have asked of them.
import type { ActivationStatistics } from '../quantizers/index.ts'
import type { Network } from '../network/network.ts'
import type { QuantizedReferences, WeightSources } from './record.ts'

/** Quantizers on the heap, at the widths of one network. */
export interface PathQuantization extends QuantizedReferences {
  /** Before the kernels, after `generate`: quantized weights and quantizer slots. */
  prepare(sources: WeightSources): void
  /** After a backward pass: gradients of the float weights in their place; the quantizers' own are added to what the next step follows. */
  backward(sources: WeightSources): void
  /**
   * After a backward pass of a path: dL/dgate of every width that its layers could have, <gradient of what was quantized, that at this
   * width>, by role and what it is the width of.
   */
  gateGradients(sources: WeightSources): readonly { readonly choice: string; readonly dGates: readonly number[] }[]
  dispose(): void
}

export interface PathQuantizers {
  /** Whether ranges have been started from what the network computes in float. */
  readonly isStarted: boolean
  /** Starts weights' ranges from the largest network's float weights on the heap, and activations' from what it computes. */
  start(network: Network, sources: WeightSources, observed: (id: string, narrowed: boolean) => ActivationStatistics): void
  path(network: Network): PathQuantization
  /** One Adam step on everything learned, along the sum of what paths gave. @param rateFactor of the schedule, 0..1 */
  step(rateFactor: number): void
  /** Forgets what paths gave since the last step. */
  discard(): void
  state(): number[][]
  restore(state: readonly (readonly number[])[]): void
  dispose(): void
}
