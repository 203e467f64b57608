// Single images as a model takes them: from PNG and JPEG files, CIFAR batches, or files of plain pixels.

import { readdirSync, readFileSync } from 'node:fs'
import { basename, extname, join } from 'node:path'
import { RunError, UsageError } from '../errors.ts'
import { cifarSize, isCifarBatch, readCifarBatch } from './cifar.ts'
import { decodeImage, type ImageSize } from './decode-image.ts'
import { audioMedia, imageMedia } from './media.ts'

export interface NamedImage {
  readonly name: string
  readonly pixels: Uint8Array
}

const isImageFile = (path: string): boolean => imageMedia.extensions.includes(extname(path).toLowerCase())

/**
 * The images of a file: one of PNG or JPEG, those of a CIFAR batch (`batch.bin#17`: one of them), or one after the other of pixels [height][width][channels].
 * @throws UsageError where the file holds no such images, RunError where it cannot be decoded
 */
export async function readImageFile(path: string, size: ImageSize): Promise<NamedImage[]> {
  const name = basename(path)
  if (isImageFile(path)) {
    try {
      return [{ name, pixels: await decodeImage(path, size) }]
    } catch (error) {
      throw error instanceof RunError ? new RunError(`${path}: ${error.message}`) : error
    }
  }
  if (audioMedia.extensions.includes(extname(path).toLowerCase())) throw new UsageError(`${path}: is sound, and the model takes images`)
  const bytes = size.height * size.width * size.channels
  const [file, number] = path.split('#')
  if (isCifarBatch(file)) {
    if (bytes !== cifarSize.height * cifarSize.width * cifarSize.channels)
      throw new UsageError(`${path}: CIFAR images are 32x32x3, the model takes ${size.height}x${size.width}x${size.channels}`)
    const images = split(readCifarBatch(file).pixels, bytes, basename(file))
    if (number === undefined) return images
    if (images[Number(number)] === undefined) throw new UsageError(`${path}: has ${images.length} images, numbered from 0`)
    return [images[Number(number)]]
  }
  const all = new Uint8Array(readFileSync(path))
  if (all.length === 0 || all.length % bytes !== 0)
    throw new UsageError(
      `${path}: has ${all.length} bytes; give ${imageMedia.files}, CIFAR batches, or whole images of ${bytes} bytes each`,
    )
  return split(all, bytes, name)
}

function split(all: Uint8Array, bytes: number, file: string): NamedImage[] {
  return Array.from({ length: all.length / bytes }, (_, i) => ({ name: `${file}#${i}`, pixels: all.slice(i * bytes, (i + 1) * bytes) }))
}

/** The PNG and JPEG files at any depth below a folder, sorted by path. */
export async function readImagesBelow(folder: string, size: ImageSize): Promise<NamedImage[]> {
  const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(isImageFile).toSorted()
  const images: NamedImage[] = []
  for (const path of paths) images.push({ ...(await readImageFile(join(folder, path), size))[0], name: path })
  return images
}
