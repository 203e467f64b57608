import { Random } from '@bitwright/engine'
import { expect, it } from 'vitest'
import { fillImages } from './augment-image.ts'
import type { ImageDataset, Sample } from './dataset.ts'

const [height, width, count] = [16, 24, 40]
const channels = 3
const size = height * width * channels
const random = new Random(1, 'pixels')
const train = Array.from({ length: count }, (_, index): Sample => ({ path: `${index}`, label: 0, index }))
const dataset: ImageDataset = {
  kind: 'image',
  directory: '',
  classes: ['a', 'b'],
  height,
  width,
  channels,
  splits: { train, validation: [], test: [] },
  skipped: [],
  pixels: Uint8Array.from({ length: count * size }, () => random.integer(256)),
}
const key = { seed: 3, epoch: 2 }
/** Four floats a pixel, and two more at the end of a row. */
const layout = { stride: 4, rowStride: width * 4 + 2, imageStride: height * (width * 4 + 2) }

function filled(samples: readonly Sample[], use: typeof key | null = key, options = {}): Float32Array {
  const out = new Float32Array(samples.length * layout.imageStride).fill(7)
  fillImages(dataset, samples, use, out, layout, options)
  return out
}

const at = (out: Float32Array, image: number, y: number, x: number, channel: number) =>
  out[image * layout.imageStride + y * layout.rowStride + x * layout.stride + channel]
const pixel = (index: number, y: number, x: number, channel: number) => dataset.pixels[index * size + (y * width + x) * channels + channel]

it('takes images as they are without a key, and leaves what lies between alone', () => {
  const out = filled(train.slice(3, 5), null)
  for (let image = 0; image < 2; image++)
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        for (let channel = 0; channel < channels; channel++)
          expect(at(out, image, y, x, channel)).toBe((pixel(3 + image, y, x, channel) - 128) / 128)
        expect(at(out, image, y, x, 3)).toBe(7)
      }
  expect(out[width * 4]).toBe(7)
})

/** Whether the image is the padded, shifted and mirrored one but for one square of zeros with its middle in it; all that can be tried. */
function explain(out: Float32Array, image: number, index: number): { down: number; right: number; mirrored: boolean; cut: number }[] {
  const found = []
  for (const mirrored of [false, true])
    for (let down = -2; down <= 2; down++)
      for (let right = -3; right <= 3; right++) {
        let top = height
        let bottom = 0
        let left = width
        let end = 0
        let wrong = 0
        for (let y = 0; y < height; y++)
          for (let x = 0; x < width; x++) {
            const [fromY, fromX] = [y + down, (mirrored ? width - 1 - x : x) + right]
            const isThere = fromY >= 0 && fromY < height && fromX >= 0 && fromX < width
            const same = [0, 1, 2].every((c) => at(out, image, y, x, c) === (isThere ? (pixel(index, fromY, fromX, c) - 128) / 128 : 0))
            if (same) continue
            const isZero = [0, 1, 2].every((c) => at(out, image, y, x, c) === 0)
            if (!isZero) wrong++
            ;[top, bottom, left, end] = [Math.min(top, y), Math.max(bottom, y + 1), Math.min(left, x), Math.max(end, x + 1)]
          }
        if (wrong === 0 && bottom - top <= 4 && end - left <= 4) found.push({ down, right, mirrored, cut: Math.max(0, bottom - top) })
      }
  return found
}

it('pads and crops by an eighth, mirrors every other image and cuts a square of a quarter, seen from the result', () => {
  const out = filled(train)
  const draws = train.map((_, i) => explain(out, i, i))
  expect(draws.every((each) => each.length === 1)).toBe(true)
  const all = draws.flat()
  expect(new Set(all.map(({ down }) => down))).toEqual(new Set([-2, -1, 0, 1, 2]))
  expect(new Set(all.map(({ right }) => right))).toEqual(new Set([-3, -2, -1, 0, 1, 2, 3]))
  const mirrored = all.filter((each) => each.mirrored).length
  expect(mirrored > 10 && mirrored < 30).toBe(true)
  expect(Math.max(...all.map(({ cut }) => cut))).toBe(4)
  const upright = filled(train, key, { flip: false })
  const others = train.flatMap((_, i) => explain(upright, i, i))
  expect(others.map(({ mirrored: is }) => is)).toEqual(train.map(() => false))
  // the other draws stand
  expect(others.map(({ down, right }) => [down, right])).toEqual(all.map(({ down, right }) => [down, right]))
})

it('draws by seed, epoch and image, whatever the batch', () => {
  const whole = filled(train)
  const part = filled([train[7], train[2]])
  expect(part.subarray(0, layout.imageStride)).toEqual(whole.subarray(7 * layout.imageStride, 8 * layout.imageStride))
  expect(part.subarray(layout.imageStride)).toEqual(whole.subarray(2 * layout.imageStride, 3 * layout.imageStride))
  expect(filled(train, { seed: 3, epoch: 3 })).not.toEqual(whole)
  expect(filled(train, { seed: 4, epoch: 2 })).not.toEqual(whole)
  expect(filled(train, key, { shift: 0, flip: false, cutout: 0 })).toEqual(filled(train, null))
})
