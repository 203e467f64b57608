// Fills a batch with images, in training with augmentation: cropped after padding and mirrored (He et al., arXiv 1512.03385, section 4.2), then a
// square cut out (DeVries, Taylor, arXiv 1708.04552; half their side: small networks have little to overfit with). Every draw is keyed by
// seed, epoch and image, so it is the same in any batch.

import { Random } from '@bitwright/engine'
import type { AugmentationKey } from './augment.ts'
import type { ImageDataset, Sample } from './dataset.ts'

export interface ImageAugmentation {
  /** Largest shift to each side, as a share of that side: 1/8, 4 of 32 pixels. */
  readonly shift?: number
  /** Mirror every other image; default true. */
  readonly flip?: boolean
  /** Side of the square, as a share of the shorter side: 1/4, 8 of 32 pixels. Its middle lies anywhere in the image. */
  readonly cutout?: number
}

/** Floats from one pixel, row and image to the next. */
export interface ImageLayout {
  readonly stride: number
  readonly rowStride: number
  readonly imageStride: number
}

/** Pixels 0..255 as networks see them; what is not there is 0, which is grey. */
const values = Float32Array.from({ length: 256 }, (_, pixel) => (pixel - 128) / 128)

/** Writes images into `out`; with a key each is augmented, with null it is taken as it is. What lies between channels and pixels is left alone. */
export function fillImages(
  dataset: ImageDataset,
  samples: readonly Sample[],
  key: AugmentationKey | null,
  out: Float32Array,
  { stride, rowStride, imageStride }: ImageLayout,
  options: ImageAugmentation = {},
): void {
  const { height, width, channels, pixels } = dataset
  for (let row = 0; row < samples.length; row++) {
    const { down, right, isMirrored, cut } = draw(dataset, samples[row], key, options)
    const from = samples[row].index * height * width * channels
    for (let y = 0; y < height; y++) {
      const sourceY = y + down
      const isInside = sourceY >= 0 && sourceY < height
      const isCutRow = y >= cut.top && y < cut.bottom
      for (let x = 0; x < width; x++) {
        const sourceX = (isMirrored ? width - 1 - x : x) + right
        const to = row * imageStride + y * rowStride + x * stride
        const isThere = isInside && sourceX >= 0 && sourceX < width && !(isCutRow && x >= cut.left && x < cut.right)
        const at = from + (sourceY * width + sourceX) * channels
        for (let channel = 0; channel < channels; channel++) out[to + channel] = isThere ? values[pixels[at + channel]] : 0
      }
    }
  }
}

interface Drawn {
  /** Pixels by which the crop moves down and to the right. */
  readonly down: number
  readonly right: number
  readonly isMirrored: boolean
  /** Of the result; right and bottom are not in it. */
  readonly cut: { readonly top: number; readonly bottom: number; readonly left: number; readonly right: number }
}

const plain: Drawn = { down: 0, right: 0, isMirrored: false, cut: { top: 0, bottom: 0, left: 0, right: 0 } }

function draw({ height, width }: ImageDataset, { index }: Sample, key: AugmentationKey | null, options: ImageAugmentation): Drawn {
  if (!key) return plain
  const { shift = 1 / 8, flip = true, cutout = 1 / 4 } = options
  const random = new Random(key.seed, 'image augmentation', key.epoch, index)
  const between = (most: number) => random.integer(2 * most + 1) - most
  const down = between(Math.round(shift * height))
  const right = between(Math.round(shift * width))
  const isMirrored = random.integer(2) === 1 && flip
  const side = Math.round(cutout * Math.min(height, width))
  const top = random.integer(height) - (side >> 1)
  const left = random.integer(width) - (side >> 1)
  return { down, right, isMirrored, cut: { top, bottom: top + side, left, right: left + side } }
}
