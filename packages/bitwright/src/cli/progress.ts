// Progress of a study as one line: stage, epoch, accuracy, time left. On a terminal the line is redrawn in place; elsewhere (a log
// file, CI) a plain line appears at intervals and whenever a stage ends.
import type { EpochsSpec, Progress } from '../study/api.ts'
import type { StageName, StudyEvent } from '../study/events.ts'
import { duration, percent } from '../report/units.ts'

export interface ProgressTarget {
  readonly isTTY?: boolean
  readonly columns?: number
  write(text: string): unknown
}

export interface ProgressReporter {
  onEvent(event: StudyEvent): void
  onProgress(progress: Progress): void
  /** A line that stays, above the moving one. */
  say(line: string): void
  /** Removes the moving line. */
  finish(): void
}

const redrawMs = 100
const plainLineMs = 10_000
const stageLabels: Record<StageName, string> = {
  data: 'reading data',
  drift: 'comparing data',
  warmup: 'warm-up',
  search: 'search',
  finalists: 'finalists',
  train: 'train',
  quantize: 'quantize',
  convert: 'convert',
  evaluate: 'evaluate',
}
const trainedStages = ['warmup', 'search', 'train', 'quantize'] as const
/** Stages whose epochs tell nothing of the later ones': a search steps along several networks at once, none of them the one it will choose. */
const searchStages: readonly StageName[] = ['warmup', 'search']

type EpochEvent = Extract<StudyEvent, { type: 'epoch' }>

/** `now` in milliseconds; `epochs` as planned, for the time left; `renamed`: other words for a stage. */
export function createProgress(
  target: ProgressTarget,
  epochs: EpochsSpec | undefined,
  now: () => number = () => performance.now(),
  renamed: Partial<Record<StageName, string>> = {},
): ProgressReporter {
  const labels = { ...stageLabels, ...renamed }
  let stage: StageName | undefined
  let within: Progress | undefined
  let last: EpochEvent | undefined
  let drawnAt = -Infinity
  const stageStart = new Map<StageName, number>()
  const doneAtStart = new Map<StageName, number>()
  const secondsPerEpoch = new Map<StageName, number>()
  /** Epochs that an earlier sitting has done. */
  let before: { readonly stage: StageName; readonly epoch: number } | undefined

  /** Epochs of the stage that are done. */
  const epochsDone = (current: EpochEvent | undefined): number => current?.epoch ?? (before?.stage === stage ? before!.epoch : 0)

  function line(): string {
    if (stage === undefined) return ''
    const parts = [labels[stage]]
    const current = last?.stage === stage ? last : undefined
    const planned = current?.epochs ?? plannedEpochs(stage)
    if (planned) parts.push(`epoch ${Math.min(planned, epochsDone(current) + (within ? 1 : 0)) || 1}/${planned}`)
    if (within && within.total > 0) parts.push(`${bar(within.done / within.total)} ${within.done}/${within.total} ${within.text}`)
    if (current) parts.push(...metrics(current))
    const left = secondsLeft(current)
    if (left !== undefined) parts.push(`${duration(left)} left${searchStages.includes(stage) ? ' of the search' : ''}`)
    return parts.join('  ')
  }

  function plannedEpochs(name: StageName): number | undefined {
    return epochs && (trainedStages as readonly StageName[]).includes(name) ? epochs[name as keyof EpochsSpec] : undefined
  }

  /** What is left of the search, or of the trainings, at the pace of this stage's epochs or the latest known. */
  function secondsLeft(current: EpochEvent | undefined): number | undefined {
    if (stage === 'finalists' && within) return secondsByShare(within)
    if (!epochs || stage === undefined || !(trainedStages as readonly StageName[]).includes(stage)) return undefined
    const fraction = within && within.total > 0 ? within.done / within.total : 0
    let pace = secondsPerEpoch.get(stage)
    if (pace === undefined && fraction > 0.05) pace = (now() - (stageStart.get(stage) ?? now())) / 1000 / fraction
    pace ??= [...secondsPerEpoch.values()].at(-1)
    if (pace === undefined) return undefined
    const kind = searchStages.includes(stage)
    const later = trainedStages
      .slice(trainedStages.indexOf(stage as (typeof trainedStages)[number]) + 1)
      .filter((name) => searchStages.includes(name) === kind)
    const here = Math.max(0, (current?.epochs ?? epochs[stage as keyof EpochsSpec]) - epochsDone(current) - fraction)
    return pace * (here + later.reduce((sum, name) => sum + epochs[name], 0))
  }

  /** Of a stage without epochs of its own, by the share of it that this sitting has done. */
  function secondsByShare({ stage: name, done, total }: Progress): number | undefined {
    const start = doneAtStart.get(name)
    if (start === undefined || done <= start) return undefined
    return ((now() - (stageStart.get(name) ?? now())) / 1000 / (done - start)) * (total - done)
  }

  function draw(force: boolean): void {
    const time = now()
    if (target.isTTY) {
      if (!force && time - drawnAt < redrawMs) return
      target.write(`\r${line().slice(0, Math.max(1, (target.columns ?? 80) - 1))}\u001b[K`)
    } else {
      if (!force && time - drawnAt < plainLineMs) return
      target.write(`${line()}\n`)
    }
    drawnAt = time
  }

  function say(text: string): void {
    target.write(target.isTTY ? `\r\u001b[K${text}\n` : `${text}\n`)
    if (target.isTTY && stage !== undefined) draw(true)
  }

  return {
    say,
    onEvent(event) {
      if (event.type === 'stage') {
        within = undefined
        if (event.state === 'started') {
          stage = event.stage
          stageStart.set(stage, now())
          draw(true)
        } else if (stage === event.stage) {
          const summary = line()
          stage = undefined
          const took = event.seconds === undefined ? '' : `  done in ${duration(event.seconds)}`
          say(`${last?.stage === event.stage ? summary.replace(/ {2}\S+( \S+)? left( of the search)?$/, '') : labels[event.stage]}${took}`)
        }
      } else if (event.type === 'epoch') {
        stage = event.stage
        last = event
        within = undefined
        secondsPerEpoch.delete(event.stage)
        secondsPerEpoch.set(event.stage, event.seconds)
        draw(event.epoch === event.epochs)
      } else if (event.type === 'started') {
        say(`backend ${event.backend}, ${event.threads} ${event.threads === 1 ? 'thread' : 'threads'}`)
      } else if (event.type === 'data') {
        const { train, validation, test } = event.counts
        const earlier = event.old ? `; before: ${event.old.train}, ${event.old.validation}, ${event.old.test}` : ''
        const skipped = event.skipped > 0 ? `, ${event.skipped} broken files skipped` : ''
        say(
          `${event.classes.length} classes; ${event.things ?? 'clips'}: ${train} training, ${validation} validation, ${test} test${earlier}${skipped}`,
        )
      } else if (event.type === 'drift') {
        say(event.reason)
      } else if (event.type === 'pruned') {
        say(`pruned: ${event.channels} of ${event.of} channels; ${event.after.flashBytes} of ${event.before.flashBytes} bytes are left`)
      } else if (event.type === 'resumed') {
        // a search's checkpoints count its warm-up's epochs
        const warmup = event.stage === 'search' ? (epochs?.warmup ?? 0) : 0
        before =
          event.fromEpoch < warmup ? { stage: 'warmup', epoch: event.fromEpoch } : { stage: event.stage, epoch: event.fromEpoch - warmup }
        say(
          `resumed at ${labels[before.stage]}${before.epoch > 0 ? `, after ${before.stage === 'finalists' ? 'training' : 'epoch'} ${before.epoch}` : ''}`,
        )
      }
    },
    onProgress(progress) {
      if (progress.stage !== stage) stageStart.set(progress.stage, now())
      if (!doneAtStart.has(progress.stage)) doneAtStart.set(progress.stage, progress.done)
      stage = progress.stage
      within = progress
      draw(false)
    },
    finish() {
      if (target.isTTY && stage !== undefined) target.write('\r\u001b[K')
      stage = undefined
    },
  }
}

function metrics(event: EpochEvent): string[] {
  const parts = [`loss ${event.trainLoss.toFixed(3)}`]
  if (event.validationAccuracy !== undefined) parts.push(`validation ${percent(event.validationAccuracy)}`)
  else if (event.trainAccuracy !== undefined) parts.push(`training ${percent(event.trainAccuracy)}`)
  if (event.averageWeightBits !== undefined && event.averageActivationBits !== undefined) {
    parts.push(`bits ${event.averageWeightBits.toFixed(2)}/${event.averageActivationBits.toFixed(2)}`)
  }
  if (event.expectedMacs !== undefined) parts.push(`${(event.expectedMacs / 1e6).toFixed(1)}M MACs`)
  return parts
}

function bar(fraction: number): string {
  const width = 12
  const filled = Math.round(Math.min(1, Math.max(0, fraction)) * width)
  return '█'.repeat(filled) + '░'.repeat(width - filled)
}
