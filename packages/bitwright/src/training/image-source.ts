// From pixels to the network's input.
import { type Engine, Random, type Stored } from '@bitwright/engine'
import type { AugmentationKey } from '../data/augment.ts'
import { fillImages, type ImageAugmentation } from '../data/augment-image.ts'
import type { ImageDataset, Sample } from '../data/dataset.ts'
import { RunError } from '../errors.ts'
import type { FrontEnd } from '../network/network.ts'
import type { SampleSource } from './sample-source.ts'

export class ImageSource implements SampleSource {
  readonly dataset: ImageDataset
  private readonly engine: Engine
  private readonly augmentation: ImageAugmentation

  constructor(engine: Engine, dataset: ImageDataset, frontEnd: FrontEnd, augmentation: ImageAugmentation = {}) {
    const { height, width, channels } = dataset
    if (frontEnd.kind !== 'image') throw new RunError('the network takes sound, the dataset has images')
    if (frontEnd.height !== height || frontEnd.width !== width || frontEnd.channels !== channels) {
      const wanted = `${frontEnd.height}x${frontEnd.width}x${frontEnd.channels}`
      throw new RunError(`the network takes images of ${wanted}, the dataset has ${height}x${width}x${channels}`)
    }
    this.engine = engine
    this.dataset = dataset
    this.augmentation = augmentation
  }

  epochOrder(seed: number, epoch: number): Sample[] {
    const { train } = this.dataset.splits
    return Array.from(new Random(seed, 'order', epoch).permutation(train.length), (index) => train[index])
  }

  fill(input: Stored, samples: readonly Sample[], key: AugmentationKey | null): void {
    const imageStride = input.height * input.rowStride
    const map = this.engine.floats(input.offset, input.batch * imageStride)
    map.fill(0, samples.length * imageStride)
    fillImages(this.dataset, samples, key, map, { stride: input.stride, rowStride: input.rowStride, imageStride }, this.augmentation)
  }
}
