// Runs an integer model over clips with the very core that ships, and compares its answers with those of the fake-quantized network.
import { encodeModel, load, type IntegerModel, type Model } from '@bitwright/runtime'
import type { AudioDataset, Clip } from '../data/dataset.ts'
import { argMax } from './evaluate.ts'

/** Clips between two turns of the event loop. */
const batch = 16

export class IntegerEvaluator {
  readonly model: Model

  /** @throws BadModelError where the core refuses the model */
  constructor(model: IntegerModel) {
    this.model = load(encodeModel(model), model.name)
  }

  /** int16 logits of every clip. */
  async logits(dataset: AudioDataset, clips: readonly Clip[]): Promise<Int16Array[]> {
    const { samples, pcm } = dataset
    const all: Int16Array[] = []
    for (const [i, { index }] of clips.entries()) {
      all.push(this.model.run(pcm.subarray(index * samples, (index + 1) * samples)))
      if (i % batch === batch - 1) await new Promise((resolve) => setImmediate(resolve))
    }
    return all
  }
}
