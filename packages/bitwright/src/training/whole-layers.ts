// How a quantized network is evaluated: layers multiply whole numbers by whole numbers, and what their sums are worth is in the scale that
// follows. The network is the one that was trained, but its sums are exact in float32 (up to 2^24), as they are in the integer model.
// Sums of reals differ from it in their last bits; that turns a few values over to the next step, each of them a few more in the layer
// after, and a dozen layers on it changes answers.
//
// Before a logarithm the weights stay real, stretched a little per channel: to where epsilon is a whole number of steps, as it is in the
// integer model. What that does to the logarithm is taken off the offset.
import { type Engine, none, type ParameterStore, type QuantizerSlot, type WeightReference } from '@bitwright/engine'
import { weightedNodes } from '../network/graph.ts'
import type { WeightedNetworkNode } from '../network/network.ts'
import { storageOf } from '../network/storage.ts'
import type { ActivationQuantizer, WeightQuantizer } from '../quantizers/index.ts'
import { channelAffine, wholeEpsilon } from './convert-channels.ts'
import { logMagnitudeEpsilon, type Quantized, type WeightSources } from './record.ts'

/** y = scale[c] * sum + offset[c], or y = scale[c] * log(|sum| + epsilon) + offset[c]. */
export interface WholeLayer {
  /** Gives the input in steps: the slot's step is 1, its inverse that of the value's true step. Undefined: the value as it is. */
  readonly input?: QuantizerSlot
  readonly weights: WeightReference
  /** Heap offsets, `channels` numbers each: parameters and statistics of a batch norm whose mean is 0 and variance 1. */
  readonly scale: number
  readonly offset: number
  readonly mean: number
  readonly variance: number
}

interface Entry extends WholeLayer {
  readonly node: WeightedNetworkNode
  readonly weightQuantizer: WeightQuantizer
  readonly inputQuantizer?: ActivationQuantizer
  /** What one step of the input is worth where nothing quantizes it. */
  readonly inputScale?: number
}

export class WholeLayers {
  private readonly engine: Engine
  private readonly entries = new Map<string, Entry>()
  private readonly owned: number[] = []

  constructor(engine: Engine, quantization: Quantized) {
    this.engine = engine
    const { inputs } = storageOf(quantization.network)
    for (const node of weightedNodes(quantization.network)) {
      const { value, narrowed, scale: inputScale } = inputs.get(node.id)!
      const inputQuantizer = quantization.activationQuantizer(narrowed ? node.id : value, narrowed)
      const weightQuantizer = quantization.weightQuantizer(node.id)
      const { channels } = node
      this.entries.set(node.id, {
        node,
        weightQuantizer,
        inputQuantizer,
        ...(inputScale === undefined ? {} : { inputScale }),
        ...(inputQuantizer && node.activation !== 'logMagnitude' ? { input: { offset: this.allocate(4), sums: none } } : {}),
        weights: { offset: this.allocate(weightQuantizer.size), gradient: none },
        scale: this.allocate(channels),
        offset: this.allocate(channels),
        mean: this.allocate(channels),
        variance: this.allocate(channels),
      })
    }
  }

  private allocate(count: number): number {
    const offset = this.engine.heap.allocate(count)
    this.owned.push(offset)
    return offset
  }

  layer(node: WeightedNetworkNode): WholeLayer {
    return this.entries.get(node.id)!
  }

  /** Before the kernels, after `generate`: all numbers as they are now. */
  prepare(store: ParameterStore, sources: WeightSources): void {
    const { engine } = this
    for (const [id, { node, weightQuantizer, inputQuantizer, inputScale, input, weights, scale, offset, mean, variance }] of this.entries) {
      const { channels } = node
      const { values, scale: steps } = weightQuantizer.toIntegers(engine.floats(sources.get(id)!.offset, weightQuantizer.size))
      const affine = channelAffine(store, node)
      const grid = inputQuantizer?.grid()
      const inputStep = grid?.scale ?? inputScale ?? 1
      const unit = Float64Array.from({ length: channels }, (_, c) => inputStep * steps[steps.length === 1 ? 0 : c])
      // what one whole weight is on the heap, and what its product with one step of the input is there
      const weight = unit.map((real) => (node.activation === 'logMagnitude' ? logMagnitudeEpsilon / wholeEpsilon(real) / inputStep : 1))
      const held = weight.map((real) => (input ? real : real * inputStep))
      engine.floats(weights.offset, values.length).forEach((_, i, heap) => (heap[i] = values[i] * weight[i % channels]))
      if (input) engine.floats(input.offset, 4).set([1, 1 / grid!.scale, grid!.minimum, grid!.maximum])
      const isLogarithm = node.activation === 'logMagnitude'
      engine.floats(scale, channels).set(affine.slope.map((slope, c) => (isLogarithm ? slope : (slope * unit[c]) / held[c])))
      engine
        .floats(offset, channels)
        .set(affine.offset.map((real, c) => (isLogarithm ? real + affine.slope[c] * Math.log(unit[c] / held[c]) : real)))
      engine.floats(mean, channels).fill(0)
      engine.floats(variance, channels).fill(1)
    }
  }

  dispose(): void {
    for (const offset of this.owned) this.engine.heap.release(offset)
    this.owned.length = 0
  }
}
