// Looks at labelled images before anybody trains on them: how many of each class, how they would be split, and what is likely to spoil the result.

import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { RunError } from '../errors.ts'
import { isCifar, loadCifar } from './cifar.ts'
import type { SkippedFile, SplitName } from './dataset.ts'
import type { Progress } from './decode.ts'
import { decodeImage, imageShape, openDecoder } from './decode-image.ts'
import { type ClassCounts, classTable, formatSkipped } from './inspect-table.ts'
import { imageMedia } from './media.ts'
import { planDataset, planProblems, splitNames, type PlanOptions, type SplitMode } from './plan.ts'
import { scanTree } from './scan.ts'

export interface ImageInspection {
  readonly kind: 'image'
  readonly directory: string
  /** How the images were split; `batches`: as CIFAR-10 has them. */
  readonly split: SplitMode | 'batches'
  readonly classes: readonly ClassCounts[]
  /** Files per size, most first. */
  readonly sizes: readonly { readonly height: number; readonly width: number; readonly channels: number; readonly files: number }[]
  readonly skipped: readonly SkippedFile[]
  /** One sentence each; those that begin with `training would be refused` have to be mended. */
  readonly warnings: readonly string[]
}

interface Seen {
  readonly path: string
  readonly label: number
  readonly split: SplitName
}

/** Images in classes and splits, the sizes they have, and which were seen before. */
interface Findings {
  readonly images: Seen[]
  readonly sizes: Map<string, number>
  readonly digests: Map<string, Seen>
  readonly twins: [Seen, Seen][]
  readonly flat: string[]
}

/** Shape that every image is decoded to for a look. */
const look = { height: 32, width: 32, channels: 3 } as const

/** Whether the folder holds images rather than sounds. */
export function holdsImages(directory: string): boolean {
  if (isCifar(directory)) return true
  const holds = (...media: Parameters<typeof scanTree>) => {
    try {
      return scanTree(...media).folders.size > 0
    } catch {
      return false
    }
  }
  return !holds(directory) && holds(directory, imageMedia)
}

/** Reads every image that the options would use. Throws a UsageError where there is nothing to look at. */
export async function inspectImages(directory: string, options: PlanOptions = {}, onProgress?: Progress): Promise<ImageInspection> {
  const findings: Findings = { images: [], sizes: new Map(), digests: new Map(), twins: [], flat: [] }
  if (isCifar(directory)) {
    const { classes, splits, pixels, skipped } = loadCifar(directory, options, onProgress)
    for (const split of splitNames)
      for (const { path, label, index } of splits[split])
        note(findings, { path, label, split }, pixels.subarray(index * 3072, (index + 1) * 3072), [32, 32, 3])
    return report(directory, 'batches', classes, findings, skipped, [])
  }
  const tree = scanTree(directory, imageMedia)
  const plan = planDataset(tree, options)
  const skipped: SkippedFile[] = []
  await openDecoder()
  for (const [index, { path, label, split }] of plan.clips.entries()) {
    try {
      const file = join(directory, path)
      const pixels = await decodeImage(file, look)
      note(findings, { path, label, split }, pixels, await imageShape(file))
    } catch (error) {
      if (!(error instanceof RunError)) throw error
      skipped.push({ path, reason: error.message })
    }
    onProgress?.(index + 1, plan.clips.length)
  }
  const isLeft = new Set(findings.images.map(({ path }) => path))
  const problems = planProblems({ ...plan, clips: plan.clips.filter(({ path }) => isLeft.has(path)) })
  return report(directory, plan.mode, plan.classes, findings, skipped, problems)
}

function note({ images, sizes, digests, twins, flat }: Findings, seen: Seen, pixels: Uint8Array, shape: readonly number[]): void {
  images.push(seen)
  const size = shape.join('x')
  sizes.set(size, (sizes.get(size) ?? 0) + 1)
  const digest = createHash('sha1').update(pixels).digest('base64')
  const earlier = digests.get(digest)
  if (earlier) twins.push([earlier, seen])
  else digests.set(digest, seen)
  if (pixels.every((value, i) => value === pixels[i % 3])) flat.push(seen.path)
}

function report(
  directory: string,
  split: ImageInspection['split'],
  names: readonly string[],
  { images, sizes, twins, flat }: Findings,
  skipped: readonly SkippedFile[],
  problems: readonly string[],
): ImageInspection {
  const count = (label: number, name: SplitName) => images.filter((image) => image.label === label && image.split === name).length
  const classes = names.map((name, label) => ({
    name,
    train: count(label, 'train'),
    validation: count(label, 'validation'),
    test: count(label, 'test'),
  }))
  const warnings = problems.map((problem) => `training would be refused: ${problem}`)
  const say = (amount: number, text: string, example: string) => {
    if (amount > 0) warnings.push(`${amount} ${amount === 1 ? 'image' : 'images'} ${text}, e.g. ${example}`)
  }
  for (const { name, validation, test } of classes) {
    const missing = [...(validation === 0 ? ['validation'] : []), ...(test === 0 ? ['test'] : [])]
    if (missing.length > 0) warnings.push(`class ${name} has no images in ${missing.join(' and ')}`)
  }
  const ordered = classes.filter(({ train }) => train > 0).toSorted((a, b) => a.train - b.train)
  const [least, most] = [ordered[0], ordered.at(-1)]
  if (least && most && most.train > 3 * least.train)
    warnings.push(`the classes are unbalanced: ${most.train} training images of ${most.name}, ${least.train} of ${least.name}`)
  const example = ([first, second]: [Seen, Seen]) => `${second.path} is ${first.path}`
  const leaks = twins.filter(([first, second]) => first.split !== second.split)
  if (leaks.length > 0) say(leaks.length, 'copied into another split', example(leaks[0]))
  const doubtful = twins.filter(([first, second]) => first.label !== second.label)
  if (doubtful.length > 0) say(doubtful.length, 'that look the same under another label', example(doubtful[0]))
  if (flat.length > 0) say(flat.length, 'of one colour', flat[0])
  if (skipped.length > 0) say(skipped.length, 'that cannot be read and would be skipped', `${skipped[0].path} ${skipped[0].reason}`)
  return {
    kind: 'image',
    directory,
    split,
    classes,
    sizes: [...sizes]
      .map(([size, files]) => {
        const [height, width, channels] = size.split('x').map(Number)
        return { height, width, channels, files }
      })
      .toSorted((a, b) => b.files - a.files),
    skipped,
    warnings,
  }
}

const shown = 5

/** The inspection as a table and a list, for a terminal. */
export function formatImageInspection({ directory, split, classes, sizes, skipped, warnings }: ImageInspection): string {
  const ways = {
    lists: 'by lists',
    hash: 'by a hash of the name',
    speaker: 'by image, a tenth of each class each',
    folders: 'by folder',
    batches: 'CIFAR batches; validation drawn from training',
  }
  const each = sizes.slice(0, shown).map(({ height, width, channels, files }) => `${height}x${width}x${channels} (${files})`)
  const facts = [
    `split: ${ways[split]}`,
    `height x width x channels: ${each.join(', ')}${sizes.length > shown ? `, ${sizes.length - shown} more` : ''}`,
  ]
  const lines = [...facts, ...formatSkipped(skipped), ...warnings.map((text) => `warning: ${text}`)]
  return [directory, '', ...classTable(classes), '', ...lines, ''].join('\n')
}
