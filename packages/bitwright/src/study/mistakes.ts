// Images that a model is most wrong about, with their pictures for the report.
import type { Dataset, Sample } from '../data/dataset.ts'
import { argMax } from '../training/evaluate.ts'

export interface MistakenImage {
  readonly path: string
  readonly label: number
  readonly answer: number
  /** As a data URL. */
  readonly picture: string
}

const most = 24

/** The images with the largest distance between the logits of a wrong answer and of the right one; none of sound. */
export function mistakenImages(dataset: Dataset, samples: readonly Sample[], logits: readonly ArrayLike<number>[]): MistakenImage[] {
  if (dataset.kind !== 'image') return []
  const { height, width, channels, pixels } = dataset
  const size = height * width * channels
  return samples
    .map((sample, i) => ({ sample, answer: argMax(logits[i]), by: Math.max(...Array.from(logits[i])) - logits[i][sample.label] }))
    .filter(({ sample, answer }) => answer !== sample.label)
    .toSorted((a, b) => b.by - a.by || a.sample.index - b.sample.index)
    .slice(0, most)
    .map(({ sample: { path, label, index }, answer }) => ({
      path,
      label,
      answer,
      picture: bitmapUrl(pixels.subarray(index * size, (index + 1) * size), height, width, channels),
    }))
}

/** A Windows bitmap of 24 bits a pixel: nothing is compressed, and every browser shows it. */
export function bitmapUrl(pixels: Uint8Array, height: number, width: number, channels: 1 | 3): string {
  const headerBytes = 54
  const rowBytes = Math.ceil((3 * width) / 4) * 4
  const file = Buffer.alloc(headerBytes + height * rowBytes)
  file.write('BM', 'latin1')
  file.writeUInt32LE(file.length, 2)
  file.writeUInt32LE(headerBytes, 10)
  file.writeUInt32LE(40, 14)
  file.writeInt32LE(width, 18)
  // rows from the top
  file.writeInt32LE(-height, 22)
  file.writeUInt16LE(1, 26)
  file.writeUInt16LE(24, 28)
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let channel = 0; channel < 3; channel++) {
        // blue first
        const from = (y * width + x) * channels + (channels === 3 ? 2 - channel : 0)
        file[headerBytes + y * rowBytes + 3 * x + channel] = pixels[from]
      }
  return `data:image/bmp;base64,${file.toString('base64')}`
}
