// Decides, before anything is decoded, which clips a dataset has, their labels and their splits, and what is wrong with that.

import { Random } from '@bitwright/engine'
import { UsageError } from '../errors.ts'
import type { SplitName } from './dataset.ts'
import type { Media } from './media.ts'
import { labelOf, nearest, readClipList, silenceLabel, speakerOf, unknownLabel, type ListEntry, type Tree } from './scan.ts'
import { groupSplit, hashSplit, type Shares } from './splits.ts'

export type SplitMode = 'lists' | 'hash' | 'speaker' | 'folders'

export interface PlanOptions {
  /** Keywords in class order; clips of all other folders become `_unknown_`. Default: every folder is a class, sorted by name. */
  readonly words?: readonly string[]
  /**
   * `lists`: the files given in `lists`, else `validation_list.txt` and `testing_list.txt` of the folder; `hash`: the official hash of the
   * file name; `speaker`: no speaker in two splits and each class in all of them; `auto` (default): folders named after the splits, else the first of these that works.
   */
  readonly split?: Exclude<SplitMode, 'folders'> | 'auto'
  /** Another salt makes another speaker split. */
  readonly salt?: string
  /** Share of the clips in validation and test for `hash` and `speaker`, default 0.1 each. */
  readonly validationShare?: number
  readonly testShare?: number
  /** List files with `path label` or `path` a line; without `train`, that split has all clips that no list names. */
  readonly lists?: { readonly train?: string; readonly validation?: string; readonly test?: string }
  /** Have a `_silence_` class. Default: with `words`, or where the folder or the lists have one. */
  readonly silence?: boolean
  /** Have an `_unknown_` class. Default: where there are clips for it. */
  readonly unknown?: boolean
  /** Those of a trained model, in its order, in place of `words`: the data may have fewer of them, and no other. */
  readonly classes?: readonly string[]
}

export interface PlannedClip {
  readonly path: string
  readonly label: number
  readonly speaker?: string
  readonly split: SplitName
}

export interface Plan {
  readonly classes: readonly string[]
  readonly mode: SplitMode
  readonly media: Media
  readonly clips: readonly PlannedClip[]
  /** How many silence clips to crop from the background in each split; zero where the data has its own. */
  readonly silence: Readonly<Record<SplitName, number>>
  /** The classes are given: some may have no clips at all. */
  readonly isForModel?: true
}

export const splitNames: readonly SplitName[] = ['train', 'validation', 'test']
const leastTrainClips = 3

interface Labelled extends ListEntry {
  readonly split?: SplitName
}

/** Plans a dataset. Throws a UsageError for words, lists or options that cannot be meant; `planProblems` says whether it can be trained on. */
export function planDataset(tree: Tree, options: PlanOptions): Plan {
  const shares = checkOptions(options)
  const mode = options.split ?? 'auto'
  const listed = options.lists ?? (tree.lists.validation || tree.lists.test ? tree.lists : undefined)
  if (mode === 'lists' || (mode === 'auto' && listed)) {
    if (!listed) throw new UsageError(`${tree.directory} has no validation_list.txt or testing_list.txt; use --split hash or speaker`)
    return finish(tree, options, 'lists', readLists(tree, listed, options.lists === undefined))
  }
  if (mode === 'auto' && tree.splits) return finish(tree, options, 'folders', byFolders(tree.splits, shares))
  const files: Labelled[] = [...tree.folders.values()].flat().map((path) => ({ path }))
  if (mode !== 'speaker' && (mode === 'hash' || files.some(({ path }) => speakerOf(path) !== undefined))) {
    const hashed = files.map((entry) => ({ ...entry, split: hashSplit(entry.path, shares) }))
    const plan = finish(tree, options, 'hash', hashed)
    if (mode === 'hash' || (planProblems(plan).length === 0 && everywhere(plan))) return plan
  }
  return finish(tree, options, 'speaker', files, shares)
}

/** The samples of one list file, labelled with the given classes, all in the test split. */
export function planList(tree: Tree, listFile: string, classes: readonly string[]): Plan {
  const clips = readClipList(listFile, tree).map(({ path, label }) => {
    const name = label ?? labelOf(tree, path)
    const own = classes.indexOf(name)
    const index = own >= 0 || name === silenceLabel ? own : classes.indexOf(unknownLabel)
    if (index < 0) throw new UsageError(`${listFile}: ${path} is labelled ${name}; the model's classes are ${classes.join(', ')}`)
    return { path, label: index, speaker: speakerOf(path), split: 'test' as const }
  })
  return { classes, mode: 'lists', media: tree.media, clips, silence: { train: 0, validation: 0, test: 0 } }
}

/** What makes the plan unfit for training, one sentence each; empty when nothing does. */
export function planProblems({ classes, clips, silence, mode, isForModel, media: { things } }: Plan): string[] {
  const problems: string[] = []
  if (classes.length < 2) problems.push(`there is only one class (${classes.join()}); at least two are needed`)
  for (const split of splitNames) {
    if (clips.some((clip) => clip.split === split) || silence[split] > 0) continue
    const remedy =
      mode === 'lists' ? 'check the lists' : mode === 'hash' ? 'use --split speaker' : `collect more ${things} or enlarge its share`
    problems.push(`the ${split} split is empty; ${remedy}`)
  }
  for (const [label, name] of classes.entries()) {
    const count = clips.filter((clip) => clip.split === 'train' && clip.label === label).length
    if (count >= leastTrainClips || (name === silenceLabel && silence.train > 0)) continue
    if (isForModel && !clips.some((clip) => clip.label === label)) continue
    const remedy = mode === 'hash' ? 'collect more or use --split speaker' : 'collect more or leave the class out'
    problems.push(`class ${name} has ${count} training ${things}, at least ${leastTrainClips} are needed; ${remedy}`)
  }
  return problems
}

function everywhere({ classes, clips }: Plan): boolean {
  const seen = new Set(clips.map(({ split, label }) => `${split} ${label}`))
  return classes.every((name, label) => name === silenceLabel || splitNames.every((split) => seen.has(`${split} ${label}`)))
}

function checkOptions({ validationShare = 0.1, testShare = 0.1, words }: PlanOptions): Shares {
  for (const [name, share] of Object.entries({ validationShare, testShare })) {
    if (!(share > 0 && share <= 0.45)) throw new UsageError(`${name} is ${share}; it has to be above 0 and at most 0.45`)
  }
  if (words?.length === 0) throw new UsageError('--words names no word')
  for (const [index, word] of (words ?? []).entries()) {
    if (words!.indexOf(word) !== index) throw new UsageError(`--words names ${word} twice`)
    if (word === unknownLabel || word === silenceLabel) throw new UsageError(`--words: ${word} is no keyword, it is added where it belongs`)
  }
  return { validation: validationShare, test: testShare }
}

/** A split that has no folder takes its share of the training samples, by a hash of their paths. */
function byFolders(splits: ReadonlyMap<string, SplitName>, shares: Shares): Labelled[] {
  const present = new Set(splits.values())
  const missing = { validation: present.has('validation') ? 0 : shares.validation, test: present.has('test') ? 0 : shares.test }
  return [...splits].map(([path, split]) => ({
    path,
    split: split === 'train' ? hashSplit(path.replaceAll('/', ' '), missing) : split,
  }))
}

function readLists(tree: Tree, lists: NonNullable<PlanOptions['lists']>, ignoreMissing: boolean): Labelled[] {
  const entries = new Map<string, Labelled & { file: string }>()
  for (const split of splitNames) {
    const file = lists[split]
    if (!file) continue
    for (const entry of readClipList(file, tree, ignoreMissing)) {
      const earlier = entries.get(entry.path)
      if (earlier) throw new UsageError(`${entry.path} is in two splits: in ${earlier.file} and in ${file}`)
      entries.set(entry.path, { ...entry, split, file })
    }
  }
  const rest: Labelled[] = []
  if (!lists.train) {
    for (const path of [...tree.folders.values()].flat()) if (!entries.has(path)) rest.push({ path, split: 'train' })
  }
  return [...rest, ...entries.values()]
}

function finish(tree: Tree, options: PlanOptions, mode: SplitMode, entries: readonly Labelled[], shares?: Shares): Plan {
  const labels = entries.map(({ path, label }) => label ?? labelOf(tree, path))
  const explicit = entries.some(({ label }) => label !== undefined)
  const present = new Set(labels)
  const named = explicit ? new Set(entries.flatMap(({ label }) => label ?? [])) : present
  const given = options.classes
  const isWord = (name: string) => name !== unknownLabel && name !== silenceLabel
  const words = given?.filter(isWord) ?? options.words ?? [...named].filter(isWord).toSorted()
  for (const word of given ? [] : words) if (!present.has(word)) throw new UsageError(wordMissing(word, present, tree))
  const others = labels.some((name) => name === unknownLabel || (name !== silenceLabel && !words.includes(name)))
  if (options.unknown && !others)
    throw new UsageError(`${tree.directory} has no ${tree.media.things} of other words for the ${unknownLabel} class`)
  const strange = labels.find((name) => isWord(name) && !words.includes(name))
  if (given && strange !== undefined && !given.includes(unknownLabel))
    throw new UsageError(`${tree.directory}: has the class ${strange}, which the model does not know; it knows ${given.join(', ')}`)
  const withUnknown = given?.includes(unknownLabel) ?? options.unknown ?? others
  const withSilence =
    given?.includes(silenceLabel) ??
    options.silence ??
    (present.has(silenceLabel) || (tree.media.kind === 'audio' && options.words !== undefined && !explicit))
  const classes = [...words, ...(withUnknown ? [unknownLabel] : []), ...(withSilence ? [silenceLabel] : [])]

  const kept = entries.flatMap((entry, i) => {
    const own = classes.indexOf(labels[i])
    const label = own >= 0 || labels[i] === silenceLabel ? own : classes.indexOf(unknownLabel)
    return label < 0 ? [] : [{ path: entry.path, label, speaker: speakerOf(entry.path), split: entry.split }]
  })
  const drawn = shares
    ? groupSplit(
        kept.map(({ path, label, speaker }) => ({ group: speaker ?? path, label })),
        shares,
        options.salt ?? '',
      )
    : undefined
  const all: PlannedClip[] = kept.map((clip, i) => ({ ...clip, split: drawn?.[i] ?? clip.split! }))
  const isTask = options.words !== undefined || (given !== undefined && given.length > words.length)
  const clips = isTask && !explicit ? subsample(all, classes, words.length) : all
  const keywords = countBySplit(clips.filter(({ label }) => label < words.length))
  const ownSilence = !withSilence || present.has(silenceLabel)
  const made = (split: SplitName) => (ownSilence || keywords[split] === 0 ? 0 : Math.max(leastTrainClips, Math.floor(keywords[split] / 10)))
  return {
    classes,
    mode,
    media: tree.media,
    clips,
    silence: { train: made('train'), validation: made('validation'), test: made('test') },
    ...(given && { isForModel: true as const }),
  }
}

/**
 * Keeps of unknown and silence what the papers keep (research/papers.md, section 0): a tenth of the keyword clips in validation and test. In
 * training up to as many as keyword clips stay, of which each epoch draws its tenth.
 */
function subsample(clips: readonly PlannedClip[], classes: readonly string[], words: number): PlannedClip[] {
  const keywords = countBySplit(clips.filter(({ label }) => label < words))
  const kept = new Set<PlannedClip>(clips.filter(({ label }) => label < words))
  for (let label = words; label < classes.length; label++) {
    for (const split of splitNames) {
      const pool = clips.filter((clip) => clip.label === label && clip.split === split)
      const count = split === 'train' ? keywords.train : Math.max(1, Math.floor(keywords[split] / 10))
      const order = new Random(0, 'subsample', classes[label], split).permutation(pool.length)
      for (const index of order.subarray(0, count)) kept.add(pool[index])
    }
  }
  return clips.filter((clip) => kept.has(clip))
}

function countBySplit(clips: readonly PlannedClip[]): Record<SplitName, number> {
  const counts = { train: 0, validation: 0, test: 0 }
  for (const { split } of clips) counts[split]++
  return counts
}

function wordMissing(word: string, present: ReadonlySet<string>, tree: Tree): string {
  const names = [...present].filter((name) => name !== silenceLabel && name !== unknownLabel).toSorted()
  const near = nearest(word, names)
  return `--words: ${tree.directory} has no ${tree.media.things} of ${word}${near ? `, did you mean ${near}?` : ';'} There are ${names.join(', ')}`
}
