// PNG and JPEG to pixels, by sharp (libvips): upright as the camera says, cut to the wanted shape around the middle, transparency on white,
// 8 bits. It is an optional dependency, so that sounds and CIFAR batches need nothing native.

import { readFileSync } from 'node:fs'
import { RunError, UsageError } from '../errors.ts'

export interface ImageSize {
  readonly height: number
  readonly width: number
  /** Grey or colour. */
  readonly channels: 1 | 3
}

/** @throws UsageError where images of so many channels are neither grey nor coloured */
export function imageSizeOf({
  height,
  width,
  channels,
}: {
  readonly height: number
  readonly width: number
  readonly channels: number
}): ImageSize {
  if (channels !== 1 && channels !== 3)
    throw new UsageError(`the network takes images of ${channels} channels; image files give 1 (grey) or 3`)
  return { height, width, channels }
}

const missing = 'reading PNG and JPEG takes the npm package sharp, which is not there; npm install sharp'

/** @throws RunError where sharp is not installed */
export async function openDecoder(): Promise<typeof import('sharp').default> {
  try {
    const { default: sharp } = await import('sharp')
    // one image a thread is enough, and nothing is read twice
    sharp.cache(false)
    sharp.concurrency(1)
    return sharp
  } catch {
    throw new RunError(missing)
  }
}

/** Height, width and channels of the file's image. */
export async function imageShape(path: string): Promise<[number, number, number]> {
  const sharp = await openDecoder()
  const { height, width, channels } = await sharp(path).metadata()
  return [height, width, channels]
}

/** @throws RunError whose message completes the file's name: the file cannot be read, or is no whole image */
export async function decodeImage(path: string, { height, width, channels }: ImageSize): Promise<Uint8Array> {
  const sharp = await openDecoder()
  let bytes: Uint8Array
  try {
    bytes = readFileSync(path)
  } catch (error) {
    throw new RunError(`cannot be read (${(error as NodeJS.ErrnoException).code})`)
  }
  if (bytes.length === 0) throw new RunError('is empty')
  try {
    const upright = sharp(bytes).rotate().flatten({ background: '#fff' })
    const fitted = upright.resize(width, height, { fit: 'cover' }).toColourspace(channels === 1 ? 'b-w' : 'srgb')
    const { data, info } = await fitted.raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true })
    if (info.channels !== channels || data.length !== height * width * channels) throw new Error(`it gives ${info.channels} channels`)
    return new Uint8Array(data)
  } catch (error) {
    throw new RunError(`is no image that can be read (${(error as Error).message.split('\n')[0].trim()})`)
  }
}
