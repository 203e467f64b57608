// Looks at a data set before anybody trains on it: what is in it, how it would be split, and what is likely to spoil the result.

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { RunError } from '../errors.ts'
import type { SkippedFile, SplitName } from './dataset.ts'
import type { Progress } from './decode.ts'
import { type ClassCounts, classTable, formatSkipped } from './inspect-table.ts'
import { planDataset, planProblems, splitNames, type Plan, type PlanOptions, type SplitMode } from './plan.ts'
import { scanTree, silenceLabel, unknownLabel } from './scan.ts'
import { decodeWav } from './wav.ts'

export interface Inspection {
  readonly directory: string
  /** How the clips were split; see PlanOptions. */
  readonly split: SplitMode
  readonly classes: readonly ClassCounts[]
  /** Files per sample rate, most first. */
  readonly sampleRates: readonly { readonly hertz: number; readonly files: number }[]
  /** Lengths of the recordings before cropping. */
  readonly seconds: { readonly minimum: number; readonly median: number; readonly maximum: number }
  /** Speakers that file names tell; 0 where they tell none. */
  readonly speakers: number
  readonly backgroundRecordings: number
  /** All samples zero. */
  readonly silentClips: readonly string[]
  /** Ten samples or more at full scale. */
  readonly clippedClips: readonly string[]
  readonly skipped: readonly SkippedFile[]
  /** One sentence each; those that begin with `training would be refused` have to be mended. */
  readonly warnings: readonly string[]
}

interface Findings {
  readonly rates: Map<number, number>
  readonly seconds: number[]
  readonly silent: string[]
  readonly clipped: string[]
  readonly skipped: SkippedFile[]
  /** Clips with the same bytes as an earlier one. */
  readonly twins: { readonly first: number; readonly second: number }[]
}

/** Reads every clip that the options would use. Throws a UsageError where there is nothing to look at. */
export async function inspectDataset(directory: string, options: PlanOptions = {}, onProgress?: Progress): Promise<Inspection> {
  const tree = scanTree(directory)
  const plan = planDataset(tree, options)
  const findings: Findings = { rates: new Map(), seconds: [], silent: [], clipped: [], skipped: [], twins: [] }
  const digests = new Map<string, number>()
  for (const [index, { path }] of plan.clips.entries()) {
    look(join(directory, path), path, index, findings, digests)
    if (index % 64 === 63 || index === plan.clips.length - 1) {
      onProgress?.(index + 1, plan.clips.length)
      await setImmediate()
    }
  }
  const lengths = findings.seconds.toSorted((a, b) => a - b)
  const count = (label: number, split: SplitName) => plan.clips.filter((clip) => clip.label === label && clip.split === split).length
  const total = (name: string, label: number, split: SplitName) => count(label, split) + (name === silenceLabel ? plan.silence[split] : 0)
  return {
    directory,
    split: plan.mode,
    classes: plan.classes.map((name, label) => ({
      name,
      train: total(name, label, 'train'),
      validation: total(name, label, 'validation'),
      test: total(name, label, 'test'),
    })),
    sampleRates: [...findings.rates].map(([hertz, files]) => ({ hertz, files })).toSorted((a, b) => b.files - a.files),
    seconds: { minimum: lengths[0] ?? 0, median: lengths[lengths.length >> 1] ?? 0, maximum: lengths.at(-1) ?? 0 },
    speakers: new Set(plan.clips.flatMap(({ speaker }) => speaker ?? [])).size,
    backgroundRecordings: tree.background.length,
    silentClips: findings.silent,
    clippedClips: findings.clipped,
    skipped: findings.skipped,
    warnings: warn(plan, findings, tree.background.length),
  }
}

function look(file: string, path: string, index: number, findings: Findings, digests: Map<string, number>): void {
  try {
    const bytes = readFileSync(file)
    const { samples, sampleRate } = decodeWav(bytes)
    findings.rates.set(sampleRate, (findings.rates.get(sampleRate) ?? 0) + 1)
    findings.seconds.push(samples.length / sampleRate)
    let atFullScale = 0
    let silent = true
    for (const value of samples) {
      if (value !== 0) silent = false
      if (value >= 32767 / 32768 || value <= -32767 / 32768) atFullScale++
    }
    if (silent) findings.silent.push(path)
    if (atFullScale >= 10) findings.clipped.push(path)
    const digest = createHash('sha1').update(bytes).digest('base64')
    const first = digests.get(digest)
    if (first === undefined) digests.set(digest, index)
    else if (!silent) findings.twins.push({ first, second: index })
  } catch (error) {
    const reason = error instanceof RunError ? error.message : `cannot be read (${(error as NodeJS.ErrnoException).code ?? String(error)})`
    findings.skipped.push({ path, reason })
  }
}

function warn(plan: Plan, { seconds, silent, skipped, clipped, twins }: Findings, background: number): string[] {
  const { classes, clips } = plan
  const warnings = planProblems(plan).map((problem) => `training would be refused: ${problem}`)
  const say = (count: number, text: string, example = '') => {
    if (count > 0) warnings.push(`${text.replace('#', `${count} ${count === 1 ? 'clip' : 'clips'}`)}${example && `, e.g. ${example}`}`)
  }
  for (const [label, name] of classes.entries()) {
    const missing = splitNames
      .slice(1)
      .filter((split) => plan.silence[split] === 0 && !clips.some((c) => c.label === label && c.split === split))
    if (missing.length > 0) warnings.push(`class ${name} has no clips in ${missing.join(' and ')}`)
  }
  const sizes = classes
    .map((name, label) => ({ name, train: clips.filter((c) => c.label === label && c.split === 'train').length }))
    .filter(({ name, train }) => name !== unknownLabel && name !== silenceLabel && train > 0)
    .toSorted((a, b) => a.train - b.train)
  const [least, most] = [sizes[0], sizes.at(-1)]
  if (least && most && most.train > 3 * least.train) {
    warnings.push(`the classes are unbalanced: ${most.train} training clips of ${most.name}, ${least.train} of ${least.name}`)
  }
  const homes = new Map<string, Set<SplitName>>()
  for (const { speaker, split } of clips) if (speaker) homes.set(speaker, (homes.get(speaker) ?? new Set()).add(split))
  const shared = [...homes].filter(([, splits]) => splits.size > 1).map(([speaker]) => speaker)
  if (shared.length > 0) {
    warnings.push(`${shared.length} speakers are in more than one split, e.g. ${shared[0]}: the accuracy will flatter; use --split speaker`)
  }
  const leaks = twins.filter(({ first, second }) => clips[first].split !== clips[second].split)
  say(leaks.length, '# copied into another split', leaks[0] && `${clips[leaks[0].second].path} is ${clips[leaks[0].first].path}`)
  const doubtful = twins.filter(({ first, second }) => clips[first].label !== clips[second].label)
  say(
    doubtful.length,
    '# with the same sound under another label',
    doubtful[0] && `${clips[doubtful[0].second].path} is ${clips[doubtful[0].first].path}`,
  )
  const mute = silent.filter((path) => !path.startsWith(`${silenceLabel}/`))
  say(mute.length, '# all zero', mute[0])
  if (clipped.length > 0.05 * clips.length) say(clipped.length, '# driven into clipping', clipped[0])
  say(skipped.length, '# that cannot be read and would be skipped', skipped[0] && `${skipped[0].path} ${skipped[0].reason}`)
  say(seconds.filter((length) => length > 1.5).length, '# longer than 1.5 s, of which only the loudest second is used')
  say(seconds.filter((length) => length < 0.2).length, '# shorter than 0.2 s')
  if (background === 0) warnings.push('there is no _background_noise_ folder, so training mixes in no noise')
  return warnings
}

/** The inspection as a table and a list, for a terminal. */
export function formatInspection(report: Inspection): string {
  const { classes, seconds, sampleRates, silentClips, clippedClips, skipped } = report
  const ways = {
    lists: 'by clip lists',
    hash: 'by the Speech Commands hash',
    speaker: report.speakers > 0 ? 'by speaker' : 'by clip',
    folders: 'by folder',
  }
  const facts = [
    ['split', ways[report.split]],
    ['speakers', report.speakers === 0 ? 'not told by the file names' : report.speakers],
    ['sample rates', sampleRates.map(({ hertz, files }) => `${hertz} Hz (${files})`).join(', ')],
    ['length', `${seconds.minimum.toFixed(2)} to ${seconds.maximum.toFixed(2)} s, median ${seconds.median.toFixed(2)} s`],
    ['background', `${report.backgroundRecordings} recordings`],
    ['silent, clipped, broken', `${silentClips.length}, ${clippedClips.length}, ${skipped.length}`],
  ].map(([name, value]) => `${name}: ${value}`)
  const warnings = report.warnings.map((text) => `warning: ${text}`)
  return [report.directory, '', ...classTable(classes), '', ...facts, ...formatSkipped(skipped), ...warnings, ''].join('\n')
}
