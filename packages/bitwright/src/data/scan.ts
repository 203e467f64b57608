// Finds the samples of a folder-per-label tree: every sub-folder is a label; of sounds, `_background_noise_` holds recordings for augmentation.
// Images may lie one folder deeper, below folders named after the splits.

import { readdirSync, readFileSync, statSync } from 'node:fs'
import { extname, join } from 'node:path'
import { UsageError } from '../errors.ts'
import type { SplitName } from './dataset.ts'
import { audioMedia, type Media } from './media.ts'

export const unknownLabel = '_unknown_'
export const silenceLabel = '_silence_'
export const backgroundFolder = '_background_noise_'

export interface Tree {
  readonly directory: string
  readonly media: Media
  /** Paths by label folder, relative to the directory, sorted; without the background. */
  readonly folders: ReadonlyMap<string, readonly string[]>
  /** The split of each path, where folders named after the splits hold the label folders. */
  readonly splits?: ReadonlyMap<string, SplitName>
  readonly background: readonly string[]
  /** Lists that lie in the folder itself, as Speech Commands has them. */
  readonly lists: { readonly validation?: string; readonly test?: string }
}

const splitFolders: Readonly<Record<string, SplitName>> = {
  train: 'train',
  training: 'train',
  validation: 'validation',
  valid: 'validation',
  val: 'validation',
  test: 'test',
}

/** Lists the tree. Throws a UsageError when the path is no folder or holds no samples. */
export function scanTree(directory: string, media: Media = audioMedia): Tree {
  const found = statSync(directory, { throwIfNoEntry: false })
  const wanted = `--data takes a folder with one sub-folder of ${media.files} per ${media.label}`
  if (!found) throw new UsageError(`${directory}: no such folder; ${wanted}`)
  if (!found.isDirectory()) throw new UsageError(`${directory} is a file; ${wanted}`)
  const folders = new Map<string, string[]>()
  const others: string[] = []
  let background: string[] = []
  const names = foldersIn(directory)
  const splits = media.kind === 'image' && isSplitByFolders(directory, names) ? new Map<string, SplitName>() : undefined
  for (const name of splits ? names.flatMap((split) => foldersIn(join(directory, split)).map((label) => `${split}/${label}`)) : names) {
    const paths = filesBelow(directory, name, media, others)
    if (name === backgroundFolder) background = paths
    else if (paths.length > 0) {
      const label = name.slice(name.indexOf('/') + 1)
      folders.set(label, [...(folders.get(label) ?? []), ...paths])
      for (const path of paths) splits?.set(path, splitFolders[path.slice(0, path.indexOf('/')).toLowerCase()])
    }
  }
  if (folders.size === 0) throw new UsageError(nothingFound(directory, media, others))
  const own = (name: string) => (statSync(join(directory, name), { throwIfNoEntry: false })?.isFile() ? join(directory, name) : undefined)
  return {
    directory,
    media,
    folders,
    background,
    ...(splits && { splits }),
    lists: { validation: own('validation_list.txt'), test: own('testing_list.txt') },
  }
}

/** The label folder of a path: its first, or the second of a tree that is split by folders. */
export function labelOf({ splits }: Pick<Tree, 'splits'>, path: string): string {
  return path.split('/')[splits ? 1 : 0]
}

/** The speaker in a Speech Commands file name: what stands before `_nohash_`. */
export function speakerOf(path: string): string | undefined {
  const name = path.slice(path.lastIndexOf('/') + 1)
  const end = name.indexOf('_nohash_')
  return end > 0 ? name.slice(0, end) : undefined
}

export interface ListEntry {
  readonly path: string
  readonly label?: string
}

/**
 * Reads a list with one clip a line: `path` or `path label`, the path relative to the tree. Every path has to be in the tree unless
 * `ignoreMissing` (the official lists of a tree of which only some words were kept).
 */
export function readClipList(file: string, tree: Tree, ignoreMissing = false): ListEntry[] {
  const known = new Set([...tree.folders.values()].flat())
  const entries = new Map<string, ListEntry>()
  for (const { line: number, text: line } of readLines(file)) {
    const labelled = tree.media.extensions.includes(extname(line).toLowerCase()) ? undefined : /^(.*\S)\s+(\S+)$/.exec(line)
    const path = (labelled?.[1] ?? line).replaceAll('\\', '/').replace(/^\.\//, '')
    if (!known.has(path)) {
      if (ignoreMissing) continue
      throw new UsageError(`${file}, line ${number}: the ${tree.media.thing} ${path} is not in ${tree.directory}`)
    }
    entries.set(path, { path, label: labelled?.[2] })
  }
  if (entries.size === 0 && !ignoreMissing) throw new UsageError(`${file}: the list is empty; it takes one "path label" a line`)
  return [...entries.values()]
}

/** The lines of a list that are not empty, numbered from 1. @throws UsageError where it cannot be read */
export function readLines(file: string): { readonly line: number; readonly text: string }[] {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw new UsageError(`${file}: the list cannot be read (${(error as NodeJS.ErrnoException).code})`)
  }
  return text.split('\n').flatMap((raw, index) => (raw.trim() === '' ? [] : [{ line: index + 1, text: raw.trim() }]))
}

/** The known name nearest to a misspelt one (fewest edits), or undefined when none is near. */
export function nearest(name: string, known: Iterable<string>): string | undefined {
  let best: string | undefined
  let fewest = Math.floor(name.length / 2) + 1
  for (const candidate of known) {
    const distance = edits(name.toLowerCase(), candidate.toLowerCase())
    if (distance < fewest) {
      fewest = distance
      best = candidate
    }
  }
  return best
}

function edits(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1))
    row = next
  }
  return row[b.length]
}

function list(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => !name.startsWith('.'))
    .toSorted()
}

function foldersIn(directory: string): string[] {
  return list(directory).filter((name) => statSync(join(directory, name), { throwIfNoEntry: false })?.isDirectory())
}

/** Whether the folders are splits, one of them for training, and nothing else. */
function isSplitByFolders(directory: string, names: readonly string[]): boolean {
  const splits = names.map((name) => (Object.hasOwn(splitFolders, name.toLowerCase()) ? splitFolders[name.toLowerCase()] : undefined))
  return names.length > 0 && splits.includes('train') && !splits.includes(undefined) && foldersIn(join(directory, names[0])).length > 0
}

function filesBelow(directory: string, folder: string, media: Media, others: string[]): string[] {
  const paths: string[] = []
  for (const name of list(join(directory, folder))) {
    const path = `${folder}/${name}`
    const extension = extname(name).toLowerCase()
    if (media.extensions.includes(extension)) paths.push(path)
    else if (media.otherExtensions.includes(extension)) others.push(path)
    else if (statSync(join(directory, path), { throwIfNoEntry: false })?.isDirectory())
      paths.push(...filesBelow(directory, path, media, others))
  }
  return paths
}

function nothingFound(directory: string, media: Media, others: readonly string[]): string {
  const { files, things, label } = media
  if (others.length > 0) {
    return `${directory} holds no ${files}, but ${others.length} others such as ${others[0]}; convert them, e.g. ${media.convert(extname(others[0]))}`
  }
  const loose = list(directory).filter((name) => media.extensions.includes(extname(name).toLowerCase())).length
  if (loose > 0)
    return `${directory} holds ${loose} ${files} but no label folders; put the ${things} of each ${label} into a sub-folder named after it`
  return `${directory} holds no ${media.kind === 'audio' ? 'audio' : 'images'}; it takes one sub-folder of ${files} per ${label}`
}
