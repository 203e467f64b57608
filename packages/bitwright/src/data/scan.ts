// Finds the clips of a folder-per-label tree: every sub-folder is a label, `_background_noise_` holds recordings for augmentation.

import { readdirSync, readFileSync, statSync } from 'node:fs'
import { extname, join } from 'node:path'
import { UsageError } from '../errors.ts'

export const unknownLabel = '_unknown_'
export const silenceLabel = '_silence_'
export const backgroundFolder = '_background_noise_'

export interface Tree {
  readonly directory: string
  /** WAV paths by label folder, relative to the directory, sorted; without the background. */
  readonly folders: ReadonlyMap<string, readonly string[]>
  readonly background: readonly string[]
  /** Lists that lie in the folder itself, as Speech Commands has them. */
  readonly lists: { readonly validation?: string; readonly test?: string }
}

const otherAudio = ['.flac', '.mp3', '.ogg', '.opus', '.m4a', '.aac', '.aif', '.aiff', '.webm']

/** Lists the tree. Throws a UsageError when the path is no folder or holds no clips. */
export function scanTree(directory: string): Tree {
  const found = statSync(directory, { throwIfNoEntry: false })
  if (!found) throw new UsageError(`${directory}: no such folder; --data takes a folder with one sub-folder of WAV files per word`)
  if (!found.isDirectory()) throw new UsageError(`${directory} is a file; --data takes a folder with one sub-folder of WAV files per word`)
  const folders = new Map<string, string[]>()
  const others: string[] = []
  let background: string[] = []
  for (const name of list(directory)) {
    if (!statSync(join(directory, name), { throwIfNoEntry: false })?.isDirectory()) continue
    const clips = wavFiles(directory, name, others)
    if (name === backgroundFolder) background = clips
    else if (clips.length > 0) folders.set(name, clips)
  }
  if (folders.size === 0) throw new UsageError(nothingFound(directory, others))
  const own = (name: string) => (statSync(join(directory, name), { throwIfNoEntry: false })?.isFile() ? join(directory, name) : undefined)
  return { directory, folders, background, lists: { validation: own('validation_list.txt'), test: own('testing_list.txt') } }
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
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw new UsageError(`${file}: the clip list cannot be read (${(error as NodeJS.ErrnoException).code})`)
  }
  const known = new Set([...tree.folders.values()].flat())
  const entries = new Map<string, ListEntry>()
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim()
    if (line === '') continue
    const labelled = /\.wav$/i.test(line) ? undefined : /^(.*\S)\s+(\S+)$/.exec(line)
    const path = (labelled?.[1] ?? line).replaceAll('\\', '/').replace(/^\.\//, '')
    if (!known.has(path)) {
      if (ignoreMissing) continue
      throw new UsageError(`${file}, line ${index + 1}: the clip ${path} is not in ${tree.directory}`)
    }
    entries.set(path, { path, label: labelled?.[2] })
  }
  if (entries.size === 0 && !ignoreMissing) throw new UsageError(`${file}: the clip list is empty; it takes one "path label" a line`)
  return [...entries.values()]
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

function wavFiles(directory: string, folder: string, others: string[]): string[] {
  const clips: string[] = []
  for (const name of list(join(directory, folder))) {
    const path = `${folder}/${name}`
    const extension = extname(name).toLowerCase()
    if (extension === '.wav') clips.push(path)
    else if (otherAudio.includes(extension)) others.push(path)
    else if (statSync(join(directory, path), { throwIfNoEntry: false })?.isDirectory()) clips.push(...wavFiles(directory, path, others))
  }
  return clips
}

function nothingFound(directory: string, others: readonly string[]): string {
  if (others.length > 0) {
    return `${directory} holds no WAV files, but ${others.length} others such as ${others[0]}; convert them, e.g. ffmpeg -i in${extname(others[0])} out.wav`
  }
  const loose = list(directory).filter((name) => extname(name).toLowerCase() === '.wav').length
  if (loose > 0)
    return `${directory} holds ${loose} WAV files but no label folders; put the clips of each word into a sub-folder named after it`
  return `${directory} holds no audio; it takes one sub-folder of WAV files per word`
}
