// CIFAR-10's binary batches (Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html): data_batch_*.bin and test_batch.bin hold records of
// one label and 32x32 pixels, plane after plane; batches.meta.txt names the classes. A sample's path is its file and number:
// `test_batch.bin#17`.

import { readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { Random } from '@bitwright/engine'
import { RunError, UsageError } from '../errors.ts'
import type { ImageDataset, Sample, SkippedFile, SplitName } from './dataset.ts'
import type { Progress } from './decode.ts'
import { readLines } from './scan.ts'

const side = 32
const plane = side * side
const channels = 3
const recordBytes = 1 + channels * plane
export const cifarSize = { height: side, width: side, channels } as const

const trainFile = /^data_batch_\d+\.bin$/
const testFile = 'test_batch.bin'
const classFile = 'batches.meta.txt'

/** Validation images of the 50,000 for training; of fewer a tenth. */
const validationImages = 5000

function batchFiles(directory: string): string[] {
  return readdirSync(directory).filter(isCifarBatch).toSorted()
}

/** Whether the folder holds such batches. */
export function isCifar(directory: string): boolean {
  return (statSync(directory, { throwIfNoEntry: false })?.isDirectory() ?? false) && batchFiles(directory).length > 0
}

/** Whether a file is one of them, by its name. */
export const isCifarBatch = (path: string): boolean => trainFile.test(basename(path)) || basename(path) === testFile

/** Pixels [32][32][3] of each whole record of a batch. */
export function readCifarBatch(file: string): { labels: Uint8Array; pixels: Uint8Array; isCutOff: boolean } {
  let bytes: Uint8Array
  try {
    bytes = new Uint8Array(readFileSync(file))
  } catch (error) {
    throw new RunError(`${file}: cannot be read (${(error as NodeJS.ErrnoException).code})`)
  }
  const count = Math.floor(bytes.length / recordBytes)
  const labels = new Uint8Array(count)
  const pixels = new Uint8Array(count * channels * plane)
  for (let i = 0; i < count; i++) {
    labels[i] = bytes[i * recordBytes]
    const from = i * recordBytes + 1
    const to = i * channels * plane
    for (let channel = 0; channel < channels; channel++)
      for (let at = 0; at < plane; at++) pixels[to + at * channels + channel] = bytes[from + channel * plane + at]
  }
  return { labels, pixels, isCutOff: count * recordBytes !== bytes.length }
}

export interface CifarOptions {
  /** A broken record is an error instead of being named and left out. */
  readonly strict?: boolean
  /** Another salt draws other validation images. */
  readonly salt?: string
}

/** @throws UsageError where batches or class names are missing; RunError where broken records are an error, or leave nothing of a split */
export function loadCifar(directory: string, { strict = false, salt = '' }: CifarOptions = {}, onProgress?: Progress): ImageDataset {
  const files = batchFiles(directory)
  for (const [there, what] of [
    [files.some((name) => trainFile.test(name)), 'data_batch_1.bin'],
    [files.includes(testFile), testFile],
  ] as const)
    if (!there) throw new UsageError(`${directory}: has ${files.join(', ')} but no ${what}; CIFAR-10's binary version has both`)
  const classes = readClasses(directory)
  const batches = files.map((name, i) => {
    const batch = readCifarBatch(join(directory, name))
    onProgress?.(i + 1, files.length)
    return { name, ...batch }
  })
  const size = channels * plane
  const pixels = new Uint8Array(new SharedArrayBuffer(batches.reduce((sum, batch) => sum + batch.pixels.length, 0)))
  const skipped: SkippedFile[] = []
  const training: Sample[] = []
  const test: Sample[] = []
  let index = 0
  for (const { name, labels, pixels: own, isCutOff } of batches) {
    pixels.set(own, index * size)
    labels.forEach((label, i) => {
      const path = `${name}#${i}`
      if (label < classes.length) (name === testFile ? test : training).push({ path, label, index })
      else skipped.push({ path, reason: `has label ${label}; there are ${classes.length} classes` })
      index++
    })
    if (isCutOff) skipped.push({ path: `${name}#${labels.length}`, reason: 'is cut off' })
  }
  if (strict && skipped.length > 0)
    throw new RunError(`${join(directory, skipped[0].path)} ${skipped[0].reason}; without --strict broken images are skipped`)
  const drawn = new Random(0, 'cifar validation', salt).permutation(training.length)
  const held = Math.min(validationImages, Math.floor(training.length / 10))
  const isHeld = new Set(drawn.subarray(drawn.length - held))
  const splits: Record<SplitName, readonly Sample[]> = {
    train: training.filter((_, i) => !isHeld.has(i)),
    validation: training.filter((_, i) => isHeld.has(i)),
    test,
  }
  for (const [name, samples] of Object.entries(splits))
    if (samples.length === 0) throw new RunError(`${directory}: the ${name} split is empty; check the batch files`)
  return { kind: 'image', directory, classes, ...cifarSize, splits, skipped, pixels }
}

/** The images that a list names, `test_batch.bin#17 class` a line, or without the class; as the test split. */
export function loadCifarList(directory: string, listFile: string, classes: readonly string[], options: CifarOptions = {}): ImageDataset {
  const dataset = loadCifar(directory, options)
  const { train, validation, test } = dataset.splits
  const samples = new Map([...train, ...validation, ...test].map((sample) => [sample.path, sample]))
  const listed = readLines(listFile).map(({ line, text }): Sample => {
    const [path, name] = text.split(/\s+/)
    const sample = samples.get(path)
    if (!sample) throw new UsageError(`${listFile}, line ${line}: the image ${path} is not in ${directory}; give e.g. ${testFile}#17`)
    const given = name ?? dataset.classes[sample.label]
    const label = classes.indexOf(given)
    if (label < 0) throw new UsageError(`${listFile}: ${path} is labelled ${given}; the model's classes are ${classes.join(', ')}`)
    return { ...sample, label }
  })
  return { ...dataset, classes, splits: { train: [], validation: [], test: listed } }
}

function readClasses(directory: string): string[] {
  let text: string
  try {
    text = readFileSync(join(directory, classFile), 'utf8')
  } catch {
    throw new UsageError(`${directory}: has no ${classFile} with the names of the classes, one a line; it comes with the batches`)
  }
  const names = text.split('\n').flatMap((line) => line.trim() || [])
  if (names.length < 2 || new Set(names).size !== names.length)
    throw new UsageError(`${join(directory, classFile)}: has to name at least two classes, each once, one a line`)
  return names
}
