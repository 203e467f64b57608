// Loads labelled images as an ImageDataset: CIFAR-10 batches, or a folder-per-label tree of PNG and JPEG files, planned and checked first,
// then decoded once into shared memory.

import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { RunError, UsageError } from '../errors.ts'
import { cifarSize, isCifar, loadCifar, loadCifarList } from './cifar.ts'
import type { ImageDataset, SkippedFile } from './dataset.ts'
import type { Progress } from './decode.ts'
import { decodeImage, type ImageSize, openDecoder } from './decode-image.ts'
import { imageMedia } from './media.ts'
import { planDataset, planList, planProblems, type Plan, type PlanOptions } from './plan.ts'
import { plannedSplits, refuseBroken } from './planned.ts'
import { scanTree, type Tree } from './scan.ts'

export interface ImageOptions extends ImageSize {
  /** Throw a RunError at a broken file instead of skipping it. */
  readonly strict?: boolean
  /** Images decoded at a time; default: one per processor. */
  readonly threads?: number
}

export interface ImageDatasetOptions extends PlanOptions, ImageOptions {}

/**
 * Loads a dataset. Classes are those of the batches in their order, or the label folders sorted by name. Throws a UsageError, before anything
 * is decoded, for what cannot be trained on, and a RunError when broken files leave too little.
 */
export async function loadImageDataset(directory: string, options: ImageDatasetOptions, onProgress?: Progress): Promise<ImageDataset> {
  if (isCifar(directory)) return cifar(directory, options, onProgress)
  const tree = scanTree(directory, imageMedia)
  const plan = planDataset(tree, options)
  const [problem] = planProblems(plan)
  if (problem) throw new UsageError(`${directory}: ${problem}`)
  return decodePlan(tree, plan, options, onProgress)
}

/** Loads the images of one list file (`path class` a line), labelled with the given classes, as the `test` split. */
export async function loadImageList(
  directory: string,
  listFile: string,
  classes: readonly string[],
  options: ImageOptions,
  onProgress?: Progress,
): Promise<ImageDataset> {
  if (isCifar(directory)) {
    requireCifarSize(directory, options)
    return loadCifarList(directory, listFile, classes, options)
  }
  const tree = scanTree(directory, imageMedia)
  return decodePlan(tree, planList(tree, listFile, classes), options, onProgress)
}

function requireCifarSize(directory: string, { height, width, channels }: ImageSize): void {
  if (height !== cifarSize.height || width !== cifarSize.width || channels !== cifarSize.channels)
    throw new UsageError(`${directory}: CIFAR images are 32x32x3, and ${height}x${width}x${channels} are asked for; give another --network`)
}

function cifar(directory: string, options: ImageDatasetOptions, onProgress?: Progress): ImageDataset {
  requireCifarSize(directory, options)
  if (options.words || options.lists || (options.split !== undefined && options.split !== 'auto'))
    throw new UsageError(`${directory}: CIFAR batches have classes and a split of their own; leave --words, --split and lists away`)
  return loadCifar(directory, options, onProgress)
}

async function decodePlan(tree: Tree, plan: Plan, options: ImageOptions, onProgress?: Progress): Promise<ImageDataset> {
  const { height, width, channels, strict = false, threads = availableParallelism() } = options
  await openDecoder()
  const size = height * width * channels
  const pixels = new Uint8Array(new SharedArrayBuffer(plan.clips.length * size))
  const failed = new Map<number, string>()
  let next = 0
  let done = 0
  const work = async (): Promise<void> => {
    for (let index = next++; index < plan.clips.length; index = next++) {
      try {
        pixels.set(await decodeImage(join(tree.directory, plan.clips[index].path), options), index * size)
      } catch (error) {
        if (!(error instanceof RunError)) throw error
        failed.set(index, error.message)
      }
      onProgress?.(++done, plan.clips.length)
    }
  }
  await Promise.all(Array.from({ length: Math.max(1, threads) }, work))
  const skipped: SkippedFile[] = [...failed]
    .toSorted(([a], [b]) => a - b)
    .map(([index, reason]) => ({ path: plan.clips[index].path, reason }))
  if (skipped.length > 0) refuseBroken(tree.directory, plan, skipped, failed, strict)
  return {
    kind: 'image',
    directory: tree.directory,
    classes: plan.classes,
    height,
    width,
    channels,
    splits: plannedSplits(plan, failed),
    skipped,
    pixels,
  }
}
