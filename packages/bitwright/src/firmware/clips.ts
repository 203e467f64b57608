// What `firmware run` is given as --clips: a list, a folder, a recording, or images.
import { readdirSync, statSync } from 'node:fs'
import { basename, dirname, extname, join } from 'node:path'
import type { IntegerModel } from '@bitwright/runtime'
import { fitClip, readPcm } from '../data/clip.ts'
import { inputRows } from '../data/dataset.ts'
import { imageSizeOf, type ImageSize } from '../data/decode-image.ts'
import { loadImageList } from '../data/image-dataset.ts'
import { readImageFile, readImagesBelow } from '../data/image-input.ts'
import { readClipList, scanTree } from '../data/scan.ts'
import { RunError, UsageError } from '../errors.ts'
import type { FirmwareInput } from '../export/firmware-batch.ts'

export interface NamedInput {
  readonly name: string
  /** A clip of the model's length, an image, or a recording of another length that is to be streamed. */
  readonly input: FirmwareInput
}

/**
 * Audio: clips of a list (`path class` a line below `data`) or folder are fitted to the model's length as `evaluate` does it; one recording
 * that is longer is streamed. Images: those of a list or a folder, a PNG or JPEG file, a CIFAR batch, or a file of pixels.
 * @throws UsageError for a path or list that cannot be meant; RunError for a file that cannot be decoded
 */
export async function readInputs(model: IntegerModel, clips: string, data: string | undefined): Promise<NamedInput[]> {
  const found = statSync(clips.replace(/#\d+$/, ''), { throwIfNoEntry: false })
  if (!found) throw new UsageError(`--clips ${clips}: no such file or folder; check the path`)
  const { frontEnd } = model
  if (frontEnd.kind === 'image') return imageInputs(model.classes, imageSizeOf(frontEnd), clips, found.isDirectory(), data)
  if (found.isDirectory()) return wavFilesBelow(clips).map((path) => fitted(join(clips, path), path, frontEnd))
  if (extname(clips).toLowerCase() === '.wav') {
    const pcm = decoded(clips, clips, frontEnd.sampleRate)
    return [pcm.length > frontEnd.samples ? { name: basename(clips), input: pcm } : fit(basename(clips), pcm, frontEnd)]
  }
  const folder = data ?? dirname(clips)
  return readClipList(clips, scanTree(folder)).map(({ path }) => fitted(join(folder, path), path, frontEnd))
}

interface Audio {
  readonly sampleRate: number
  readonly samples: number
}

function decoded(path: string, name: string, sampleRate: number): Int16Array {
  try {
    return readPcm(path, sampleRate)
  } catch (error) {
    throw error instanceof RunError ? new RunError(`${name}: ${error.message}`) : error
  }
}

function fit(name: string, recording: Int16Array, { samples }: Audio): NamedInput {
  const input = new Int16Array(samples)
  fitClip(recording, input)
  return { name, input }
}

const fitted = (path: string, name: string, audio: Audio): NamedInput => fit(name, decoded(path, name, audio.sampleRate), audio)

function wavFilesBelow(folder: string): string[] {
  const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((path) => extname(path).toLowerCase() === '.wav')
  if (paths.length === 0) throw new UsageError(`--clips ${folder}: has no WAV files in it`)
  return paths.toSorted()
}

async function imageInputs(
  classes: readonly string[],
  size: ImageSize,
  clips: string,
  isFolder: boolean,
  data: string | undefined,
): Promise<NamedInput[]> {
  if (!isFolder && extname(clips).toLowerCase() === '.txt') {
    const dataset = await loadImageList(data ?? dirname(clips), clips, classes, { ...size, strict: true })
    const { values, size: bytes } = inputRows(dataset)
    return dataset.splits.test.map(({ path, index }) => ({
      name: path,
      input: Uint8Array.from(values.subarray(index * bytes, (index + 1) * bytes)),
    }))
  }
  const images = isFolder ? await readImagesBelow(clips, size) : await readImageFile(clips, size)
  if (images.length === 0) throw new UsageError(`--clips ${clips}: has no PNG or JPEG files in it`)
  return images.map(({ name, pixels }) => ({ name, input: pixels }))
}
