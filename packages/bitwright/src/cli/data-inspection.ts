// What `data inspect` finds out: the plan a training would follow, the formats of the files, the broken ones.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { SplitName } from '../data/dataset.ts'
import { planDataset, planProblems, splitNames, type PlanOptions, type SplitMode } from '../data/plan.ts'
import { scanTree } from '../data/scan.ts'
import { readWavHeader } from '../data/wav.ts'
import { RunError } from '../errors.ts'
import { textTable } from './text-table.ts'

export interface Inspection {
  readonly directory: string
  /** Rule by which the clips are split. */
  readonly split: SplitMode
  readonly classes: readonly ({ readonly name: string; readonly speakers: number } & Readonly<Record<SplitName, number>>)[]
  /** Silence clips that are cropped from the background recordings. */
  readonly silence: Readonly<Record<SplitName, number>>
  readonly background: number
  /** Files by format, e.g. "16000 Hz, 16 bit, mono". */
  readonly formats: Readonly<Record<string, number>>
  readonly seconds: { readonly shortest: number; readonly median: number; readonly longest: number }
  readonly broken: readonly { readonly path: string; readonly reason: string }[]
  /** What would stop a training; empty when nothing would. */
  readonly problems: readonly string[]
}

/** @throws UsageError for a path that is no folder of clips, or words and lists that do not fit it. */
export function inspectData(directory: string, options: PlanOptions): Inspection {
  const tree = scanTree(directory)
  const plan = planDataset(tree, options)
  const formats: Record<string, number> = {}
  const broken: { path: string; reason: string }[] = []
  const seconds: number[] = []
  for (const path of [...plan.clips.map((clip) => clip.path), ...tree.background]) {
    try {
      const header = readWavHeader(readFileSync(join(tree.directory, path)))
      const channels = header.channels === 1 ? 'mono' : header.channels === 2 ? 'stereo' : `${header.channels} channels`
      const format = `${header.sampleRate} Hz, ${header.bitsPerSample} bit${header.float ? ' float' : ''}, ${channels}`
      formats[format] = (formats[format] ?? 0) + 1
      if (!tree.background.includes(path)) seconds.push(header.frames / header.sampleRate)
    } catch (error) {
      if (!(error instanceof RunError)) throw error
      broken.push({ path, reason: error.message })
    }
  }
  seconds.sort((a, b) => a - b)
  return {
    directory,
    split: plan.mode,
    classes: plan.classes.map((name, label) => {
      const clips = plan.clips.filter((clip) => clip.label === label)
      const within = (split: SplitName) => clips.filter((clip) => clip.split === split).length
      const speakers = new Set(clips.flatMap(({ speaker }) => speaker ?? [])).size
      return { name, speakers, train: within('train'), validation: within('validation'), test: within('test') }
    }),
    silence: plan.silence,
    background: tree.background.length,
    formats,
    seconds: { shortest: seconds[0] ?? 0, median: seconds[seconds.length >> 1] ?? 0, longest: seconds.at(-1) ?? 0 },
    broken,
    problems: planProblems(plan),
  }
}

export function inspectionText(inspection: Inspection): string {
  const { classes, silence, background, formats, seconds, broken, problems, split, directory } = inspection
  const sum = (name: SplitName) => classes.reduce((total, entry) => total + entry[name], 0)
  const table = textTable([
    ['class', ...splitNames, 'speakers'],
    ...classes.map((entry) => [
      entry.name,
      ...splitNames.map((name) => String(entry[name])),
      entry.speakers > 0 ? String(entry.speakers) : '-',
    ]),
    ['all', ...splitNames.map((name) => String(sum(name))), ''],
  ])
  const silent = splitNames.some((name) => silence[name] > 0)
    ? [`silence    ${splitNames.map((name) => `${silence[name]} ${name}`).join(', ')}, cropped from the background`]
    : []
  const shown = broken.slice(0, 10).map(({ path, reason }) => `  ${path}: ${reason}`)
  return `${[
    `${directory}, split by ${split}`,
    '',
    table,
    '',
    `length     ${seconds.shortest.toFixed(2)} to ${seconds.longest.toFixed(2)} s, median ${seconds.median.toFixed(2)} s`,
    ...Object.entries(formats).map(([format, files]) => `format     ${format}: ${files} files`),
    `background ${background} recordings`,
    ...silent,
    `broken     ${broken.length} files${broken.length > 0 ? ', which are skipped' : ''}`,
    ...shown,
    ...(broken.length > shown.length ? [`  and ${broken.length - shown.length} more`] : []),
    ...(problems.length > 0 ? ['', ...problems.map((problem) => `problem: ${problem}`)] : []),
  ].join('\n')}\n`
}
