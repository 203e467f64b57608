// Samples that are asked for again and again, by all paths of one step or by every candidate that is scored: prepared once.
import type { Engine, Stored } from '@bitwright/engine'
import type { AugmentationKey } from '../data/augment.ts'
import type { Dataset, Sample } from '../data/dataset.ts'
import { graphOf } from '../training/graph-input.ts'
import type { SampleSource } from '../training/sample-source.ts'

export class RememberingSource implements SampleSource {
  readonly dataset: Dataset
  private readonly engine: Engine
  private readonly source: SampleSource
  private readonly known = new Map<string, Float32Array>()
  private isKept = false

  constructor(engine: Engine, source: SampleSource) {
    this.engine = engine
    this.source = source
    this.dataset = source.dataset
  }

  /** Whether everything that is filled from now on is kept, or just the last; what was kept so far is forgotten. */
  remember(isKept: boolean): void {
    this.isKept = isKept
    this.known.clear()
  }

  epochOrder(seed: number, epoch: number): Sample[] {
    return this.source.epochOrder(seed, epoch)
  }

  fill(input: Stored, samples: readonly Sample[], key: AugmentationKey | null): void {
    // a graph is copied, not made
    if (graphOf(input)) return this.source.fill(input, samples, key)
    const { batch, height, rowStride } = input
    const values = this.engine.floats(input.offset, batch * height * rowStride)
    const name = [batch, key?.seed, key?.epoch, ...samples.map(({ path, index }) => `${path} ${index}`)].join('\n')
    const known = this.known.get(name)
    if (known) return values.set(known)
    this.source.fill(input, samples, key)
    if (!this.isKept) this.known.clear()
    this.known.set(name, values.slice())
  }
}
