// One sitting of a run: its folder, journal, backend and data, and what becomes of it when it is interrupted or fails. Every stage appends its
// events and leaves a checkpoint after each epoch; an epoch's draws are keyed by its number, so a run that was interrupted ends with the same bits.
import { openBackend, Engine } from '@bitwright/engine'
import { performance } from 'node:perf_hooks'
import type { Dataset } from '../data/dataset.ts'
import { UsageError } from '../errors.ts'
import { partOf } from '../training/replay-source.ts'
import type { Hooks, RunResult } from './api.ts'
import { type Checkpoint, readCheckpoint, writeCheckpoint } from './checkpoint.ts'
import type { StageName, StudyEvent } from './events.ts'
import { writeReport } from './finish.ts'
import { openJournal } from './journal.ts'
import { loadRunData, thingsOf } from './run-data.ts'
import { discardRun, prepareRunDirectory } from './run-directory.ts'
import { Interrupted, type Session, type Spec } from './session.ts'
import { checkSameRequest, writeRequest } from './spec.ts'

/** The stages of a run, from a checkpoint on where there is one. */
export type Stages = (session: Session, before: Checkpoint | undefined) => Promise<RunResult>

export async function sitting(spec: Spec, hooks: Hooks, stages: Stages): Promise<RunResult> {
  const began = performance.now()
  if (spec.resume) checkSameRequest(spec)
  const directory = prepareRunDirectory(spec.out, spec.resume)
  const before = spec.resume ? readCheckpoint(directory.checkpoint) : undefined
  const seconds = () => (before?.seconds ?? 0) + (performance.now() - began) / 1000
  if (before?.stage === 'done') throw new UsageError(`--resume: the run in ${spec.out} is finished; its model is ${directory.model}`)
  const plan = spec.resume ? undefined : spec
  /** A new run that turns out to be asked for wrongly, or to have nothing to do, leaves nothing behind, so that it can be asked for again. */
  let isKept = true
  const journal = openJournal(directory.journal)
  const emit = (event: StudyEvent): void => {
    journal.append(event)
    hooks.onEvent(event)
  }
  let backend: Awaited<ReturnType<typeof openBackend>> | undefined
  try {
    if (plan) writeRequest(plan)
    backend = await openBackend({
      backend: spec.backend,
      threads: spec.threads,
      onNotice: (line) => hooks.onNotice?.(line),
    })
    const opened = backend
    if (!spec.resume)
      emit({
        type: 'started',
        command: spec.command,
        spec: { ...spec },
        version: '0.1.0',
        backend: opened.description,
        threads: spec.threads,
      })
    else emit({ type: 'resumed', fromEpoch: before?.epoch ?? 0, stage: before ? (before.stage as StageName) : 'data' })
    const stage = async <T>(name: StageName, work: () => Promise<T>): Promise<T> => {
      const start = performance.now()
      emit({ type: 'stage', stage: name, state: 'started' })
      const result = await work()
      emit({ type: 'stage', stage: name, state: 'finished', seconds: (performance.now() - start) / 1000 })
      return result
    }
    const dataset = await stage('data', () => loadRunData(spec, hooks))
    emit({
      type: 'data',
      directory: spec.data.directory,
      classes: dataset.classes,
      skipped: dataset.skipped.length,
      things: thingsOf(dataset),
      ...countsOf(dataset),
    })
    const session: Session = {
      spec,
      hooks,
      directory,
      journal,
      dataset,
      emit,
      seconds,
      stage,
      engine: new Engine(opened),
      save: (checkpoint) => writeCheckpoint(directory.checkpoint, { ...checkpoint, seconds: seconds() }),
      between: (name, text) => (done, total) => {
        hooks.onProgress({ stage: name, done, total, text })
        return !hooks.shouldStop()
      },
    }
    const result = await stages(session, before)
    isKept = result.status !== 'unchanged'
    return result
  } catch (error) {
    if (error instanceof Interrupted) {
      emit({ type: 'interrupted', stage: error.stage, epoch: error.epoch })
      writeReport(directory, journal, spec.command)
      return { status: 'interrupted', directory: spec.out, evaluations: [], seconds: seconds() }
    }
    isKept = plan === undefined || !(error instanceof UsageError)
    if (isKept) emit({ type: 'failed', message: error instanceof Error ? error.message : String(error) })
    throw error
  } finally {
    journal.close()
    backend?.close()
    if (!isKept) discardRun(directory)
  }
}

const counted = ({ splits: { train, validation, test } }: Dataset) => ({
  train: train.length,
  validation: validation.length,
  test: test.length,
})

function countsOf(dataset: Dataset) {
  if (dataset.oldRows === undefined) return { counts: counted(dataset) }
  return { counts: counted(partOf(dataset, 'new')), old: counted(partOf(dataset, 'old')) }
}
