// Batch norm's running statistics taken anew, as plain averages over some batches, for weights as they are now. Shared weights need it
// because other paths moved the running ones; few bits because a weight that flips between two levels moves a layer's statistics faster
// than they run (Nagel et al., "Overcoming oscillations in quantization-aware training", arXiv 2203.11086, section 4).
import { type Engine, type ParameterStore, type Stored, Tape } from '@bitwright/engine'
import type { AugmentationKey } from '../data/augment.ts'
import type { Sample } from '../data/dataset.ts'
import type { Network } from '../network/network.ts'
import { statisticShapes } from '../network/parameters.ts'
import type { SampleSource } from './sample-source.ts'
import { batchRows } from './rows.ts'
import { type Quantized, Recorder, type WeightSources } from './record.ts'

export class Recalibration {
  private readonly engine: Engine
  private readonly network: Network
  private readonly store: ParameterStore
  private readonly tape: Tape
  private readonly input: Stored
  private readonly momentum: number
  private readonly sources: WeightSources
  private readonly quantization?: Quantized
  private readonly generate: Int32Array
  private readonly pass: Int32Array

  constructor(engine: Engine, network: Network, store: ParameterStore, batch: number, quantization?: Quantized) {
    this.engine = engine
    this.network = network
    this.store = store
    this.quantization = quantization
    this.tape = new Tape(engine, { batch: batchRows(network, batch), mode: 'recalibrate' })
    this.momentum = this.tape.allocate(1)
    const recorder = new Recorder(this.tape, { store, momentum: this.momentum, quantized: quantization })
    this.input = recorder.network(network).input
    this.sources = recorder.sources
    this.generate = this.tape.program(['generate'])
    this.pass = this.tape.program(['pack', 'forward'])
  }

  /** `batches` of as many clips as the constructor was told. The event loop turns between them. */
  async run(source: SampleSource, batches: readonly (readonly Sample[])[], key: AugmentationKey | null): Promise<void> {
    const { engine, store } = this
    if (batches.length === 0) return
    // the first batch replaces them: what was there before must not even matter in the last bit
    for (const { name, kind } of statisticShapes(this.network)) store.value(name).fill(kind === 'mean' ? 0 : 1)
    engine.backend.run(this.generate)
    this.quantization?.prepare(this.sources)
    for (const [index, clips] of batches.entries()) {
      source.fill(this.input, clips, key)
      engine.floats(this.momentum, 1)[0] = 1 / (index + 1)
      engine.backend.run(this.pass)
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  dispose(): void {
    this.tape.dispose()
  }
}
