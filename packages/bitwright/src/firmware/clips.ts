// What `firmware run` is given as --clips: a list, a folder, a recording, or the pixels of images.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, dirname, extname, join } from 'node:path'
import type { IntegerModel } from '@bitwright/runtime'
import { fitClip, readPcm } from '../data/clip.ts'
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
 * that is longer is streamed. Images: a file of their bytes, one after the other.
 * @throws UsageError for a path or list that cannot be meant; RunError for a file that cannot be decoded
 */
export function readInputs(model: IntegerModel, clips: string, data: string | undefined): NamedInput[] {
  const found = statSync(clips, { throwIfNoEntry: false })
  if (!found) throw new UsageError(`--clips ${clips}: no such file or folder; check the path`)
  const { frontEnd } = model
  if (frontEnd.kind === 'image') {
    if (found.isDirectory()) throw new UsageError(`--clips ${clips}: is a folder; give a file with the bytes of images`)
    return readImages(clips, frontEnd.height * frontEnd.width * frontEnd.channels)
  }
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

function readImages(file: string, imageBytes: number): NamedInput[] {
  const bytes = readFileSync(file)
  if (bytes.length === 0 || bytes.length % imageBytes !== 0)
    throw new UsageError(`--clips ${file}: has ${bytes.length} bytes; give whole images of ${imageBytes} bytes each, one after the other`)
  return Array.from({ length: bytes.length / imageBytes }, (_, i) => ({
    name: `image ${i}`,
    input: new Uint8Array(bytes.subarray(i * imageBytes, (i + 1) * imageBytes)),
  }))
}
