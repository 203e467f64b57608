// From clips to the network's input: raw audio as floats, or spectral features by the very code that ships.
import type { Engine, Stored } from '@bitwright/engine'
import { computeFeatures } from '@bitwright/runtime'
import { type AugmentationKey, type AugmentationOptions, fillBatch, fillBatchPcm } from '../data/augment.ts'
import type { AudioDataset, Sample } from '../data/dataset.ts'
import { type EpochOptions, epochOrder } from '../data/sampler.ts'
import type { AudioFrontEnd, FrontEnd } from '../network/network.ts'
import { requireAudio } from '../network/validate.ts'
import { RunError } from '../errors.ts'
import type { SampleSource } from './sample-source.ts'

export class AudioSource implements SampleSource {
  readonly dataset: AudioDataset
  private readonly engine: Engine
  private readonly frontEnd: AudioFrontEnd
  private readonly augmentation: AugmentationOptions
  private readonly shares: EpochOptions
  private pcm = new Int16Array(0)
  /** Features of clips that are not augmented, computed once. */
  private readonly plain = new Map<number, Float32Array>()

  constructor(engine: Engine, dataset: AudioDataset, frontEnd: FrontEnd, options: AugmentationOptions & EpochOptions = {}) {
    const { unknownShare, silenceShare, ...augmentation } = options
    requireAudio(frontEnd)
    if (dataset.samples !== frontEnd.samples || dataset.sampleRate !== frontEnd.sampleRate) {
      throw new RunError(
        `the network takes ${frontEnd.samples} samples at ${frontEnd.sampleRate} Hz, the clips have ${dataset.samples} at ${dataset.sampleRate} Hz`,
      )
    }
    this.engine = engine
    this.dataset = dataset
    this.frontEnd = frontEnd
    this.augmentation = augmentation
    this.shares = { ...(unknownShare !== undefined && { unknownShare }), ...(silenceShare !== undefined && { silenceShare }) }
  }

  /** The training clips of one epoch (data/sampler.ts). */
  epochOrder(seed: number, epoch: number): Sample[] {
    return epochOrder(this.dataset, seed, epoch, this.shares)
  }

  /** Writes the clips into the first rows of the input map [batch, ...] and clears the rest; augmented if a key is given. */
  fill(input: Stored, clips: readonly Sample[], key: AugmentationKey | null): void {
    const size = input.height * input.rowStride
    const map = this.engine.floats(input.offset, input.batch * size)
    map.fill(0, clips.length * size)
    const { frontEnd } = this
    if (frontEnd.kind === 'raw') {
      fillBatch(this.dataset, clips, key, map, this.augmentation)
      return
    }
    const { samples } = frontEnd
    if (key) {
      if (this.pcm.length < clips.length * samples) this.pcm = new Int16Array(clips.length * samples)
      fillBatchPcm(this.dataset, clips, key, this.pcm, this.augmentation)
      clips.forEach((_, row) => map.set(computeFeatures(frontEnd, this.pcm.subarray(row * samples, (row + 1) * samples)), row * size))
      return
    }
    clips.forEach((clip, row) => {
      let features = this.plain.get(clip.index)
      if (!features) {
        features = computeFeatures(frontEnd, this.dataset.pcm.subarray(clip.index * samples, (clip.index + 1) * samples))
        this.plain.set(clip.index, features)
      }
      map.set(features, row * size)
    })
  }
}
