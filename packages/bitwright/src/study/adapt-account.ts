// What an adaptation came to: accuracies on old and new data before, with norms and ranges taken anew, and in the end, and what it cost beside the
// run that it began with.
import { partOf } from '../training/replay-source.ts'
import { type Compared, standing } from './adapt-drift.ts'
import type { EvaluateResult } from './api.ts'
import type { Adaptation, Adapted, StudyEvent } from './events.ts'
import type { FinishedRun } from './finished-run.ts'
import { readJournal } from './journal.ts'
import type { Session } from './session.ts'

/** Multiply-accumulates of a run's search and trainings, undefined where some were not counted; of an epoch that was begun twice, once. */
export function macsOf(events: readonly StudyEvent[]): number | undefined {
  const parts = new Map<string, number | undefined>()
  for (const event of events) {
    if (event.type === 'epoch' && (event.stage === 'train' || event.stage === 'quantize'))
      parts.set(`${event.stage} ${event.epoch}`, event.macs)
    // all epochs of the search are in what its front has cost
    else if (event.type === 'epoch') parts.set('search', parts.get('search'))
    else if (event.type === 'front') parts.set('search', event.macs)
    else if (event.type === 'drift') parts.set('drift', event.macs)
  }
  let sum = 0
  for (const macs of parts.values()) {
    if (macs === undefined) return undefined
    sum += macs
  }
  return sum
}

export async function accountOf(
  session: Session,
  run: {
    readonly compared: Compared
    readonly original: FinishedRun
    readonly model: Uint8Array
    /** Of the new data. */
    readonly evaluations: readonly EvaluateResult[]
    readonly isKept: boolean
    readonly replay: number
  },
): Promise<Adaptation> {
  const { dataset, spec, journal } = session
  const { compared, original, model } = run
  const { drift } = compared
  const old = partOf(dataset, 'old').splits
  const fresh = partOf(dataset, 'new').splits
  const on = async (of: Uint8Array, samples: typeof fresh.test) => (await standing(of, dataset, samples, spec.threads)).accuracy
  const endsAt = (split: 'validation' | 'test') => run.evaluations.find((evaluation) => evaluation.split === split)!.integer!.accuracy
  const validation = ({ before, reestimated }: NonNullable<Drift['old']>, adapted: number): Adapted => ({
    before: before.accuracy,
    reestimated: reestimated.accuracy,
    adapted,
    count: before.count,
  })
  const test = async (samples: typeof fresh.test, adapted: number): Promise<Adapted> => ({
    before: await on(compared.models.before, samples),
    reestimated: await on(compared.models.reestimated, samples),
    adapted,
    count: samples.length,
  })
  const before = readJournal(original.directory.journal)
  const seconds = before.findLast((event) => event.type === 'finished')?.seconds
  const macs = macsOf(before)
  return {
    replay: run.replay,
    splits: [
      {
        split: 'validation',
        ...(drift.old && { old: validation(drift.old, await on(model, old.validation)) }),
        new: validation(drift.new, endsAt('validation')),
      },
      {
        split: 'test',
        ...(drift.old && { old: await test(old.test, await on(model, old.test)) }),
        new: await test(fresh.test, endsAt('test')),
      },
    ],
    network: run.isKept ? 'kept' : 'searched',
    cost: { seconds: session.seconds(), macs: macsOf(journal.events)! },
    original: { ...(seconds !== undefined && { seconds }), ...(macs !== undefined && { macs }) },
  }
}

type Drift = Compared['drift']
