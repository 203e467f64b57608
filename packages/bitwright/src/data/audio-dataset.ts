// Loads a folder of labelled recordings as an AudioDataset: planned and checked first, then decoded once, in parallel, into shared memory.

import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { Random } from '@bitwright/engine'
import { RunError, UsageError } from '../errors.ts'
import { readPcm } from './clip.ts'
import type { AudioDataset, SkippedFile } from './dataset.ts'
import { decodeAll, type Progress } from './decode.ts'
import { planDataset, planList, planProblems, splitNames, type Plan, type PlanOptions } from './plan.ts'
import { plannedSplits, refuseBroken } from './planned.ts'
import { scanTree, silenceLabel, type Tree } from './scan.ts'

export interface DecodeOptions {
  /** Length of every clip, default 1 s: shorter recordings are centred between zeros, of longer ones the loudest stretch is taken. */
  readonly seconds?: number
  /** Default 16000 Hz; other rates are resampled. */
  readonly sampleRate?: number
  /** Throw a RunError at a broken file instead of skipping it. */
  readonly strict?: boolean
  /** Default: one per processor. */
  readonly threads?: number
}

export interface AudioDatasetOptions extends PlanOptions, DecodeOptions {}

/**
 * Loads a dataset. Classes are the words in the order given (sorted if not), then `_unknown_`, `_silence_`. Throws a UsageError, before
 * anything is decoded, for a path, word, list or split that cannot be trained on, and a RunError when broken files leave too little.
 */
export async function loadAudioDataset(directory: string, options: AudioDatasetOptions = {}, onProgress?: Progress): Promise<AudioDataset> {
  const tree = scanTree(directory)
  const plan = planDataset(tree, options)
  const [problem] = planProblems(plan)
  if (problem) throw new UsageError(`${directory}: ${problem}`)
  return decodePlan(tree, plan, options, onProgress)
}

/** Loads the clips of one list file, labelled with the given classes, as the `test` split; for evaluating a finished model. */
export async function loadClipList(
  directory: string,
  listFile: string,
  classes: readonly string[],
  options: DecodeOptions = {},
  onProgress?: Progress,
): Promise<AudioDataset> {
  const tree = scanTree(directory)
  return decodePlan(tree, planList(tree, listFile, classes), options, onProgress)
}

async function decodePlan(tree: Tree, plan: Plan, options: DecodeOptions, onProgress?: Progress): Promise<AudioDataset> {
  const { seconds = 1, sampleRate = 16000, threads = availableParallelism(), strict = false } = options
  if (!(seconds > 0 && seconds <= 60)) throw new UsageError(`clips of ${seconds} s; seconds has to be above 0 and at most 60`)
  const samples = Math.round(seconds * sampleRate)
  const rows = plan.clips.length + splitNames.reduce((sum, split) => sum + plan.silence[split], 0)
  const pcm = new Int16Array(new SharedArrayBuffer(rows * samples * 2))
  const paths = plan.clips.map(({ path }) => path)
  const next = new Int32Array(new SharedArrayBuffer(4))
  const failed = await decodeAll({ directory: tree.directory, paths, sampleRate, samples, pcm, next }, threads, onProgress)

  const skipped: SkippedFile[] = [...failed].map(([index, reason]) => ({ path: paths[index], reason }))
  const background: Int16Array[] = []
  for (const path of tree.background) {
    try {
      background.push(repeatTo(readPcm(join(tree.directory, path), sampleRate), samples))
    } catch (error) {
      if (!(error instanceof RunError)) throw error
      skipped.push({ path, reason: error.message })
    }
  }
  if (skipped.length > 0) refuseBroken(tree.directory, plan, skipped, failed, strict)

  const splits = plannedSplits(plan, failed)
  let row = plan.clips.length
  let number = 0
  for (const split of splitNames) {
    for (let i = 0; i < plan.silence[split]; i++, row++) {
      const path = `${silenceLabel}/${number}`
      cropSilence(background, number++, pcm.subarray(row * samples, (row + 1) * samples))
      splits[split].push({ path, label: plan.classes.indexOf(silenceLabel), index: row })
    }
  }
  return { kind: 'audio', directory: tree.directory, classes: plan.classes, sampleRate, samples, splits, skipped, pcm, background }
}

/** A silence clip: a stretch of a background recording at a volume drawn from [0, 1), or zeros where there is no background. */
function cropSilence(background: readonly Int16Array[], number: number, out: Int16Array): void {
  if (background.length === 0) return
  const random = new Random(0, 'silence', number)
  const recording = background[random.integer(background.length)]
  const start = random.integer(recording.length - out.length + 1)
  const volume = random.uniform()
  for (let i = 0; i < out.length; i++) out[i] = Math.round(recording[start + i] * volume)
}

/** Repeats a recording that is shorter than a clip, so that every stretch of a clip's length lies inside. */
function repeatTo(recording: Int16Array, samples: number): Int16Array {
  if (recording.length >= samples) return recording
  return Int16Array.from({ length: samples }, (_, i) => recording[i % recording.length])
}
