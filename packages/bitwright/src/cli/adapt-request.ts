// From the flags of `adapt` and the request of the run that is adapted to the request of the one that comes of it, checked.
import { z } from 'zod'
import { UsageError } from '../errors.ts'
import { targetTime } from '../hardware/targets.ts'
import type { AdaptedSpec } from '../study/adapt.ts'
import type { BudgetSpec, DataSpec } from '../study/api.ts'
import { openFinishedRun } from '../study/finished-run.ts'
import { inputOf } from '../study/networks.ts'
import { adaptEpochs, defaultReplay } from './adapt.ts'
import * as fields from './fields.ts'
import { shellCommand } from './shell-command.ts'
import { dataSpec, studyFields } from './study-request.ts'

const { split, salt, trainList, validationList, testList, strict, flash, ram, macs, latency, target } = studyFields
const { learningRate, seed, threads, backend, resume, json } = studyFields
const schema = z
  .object({ split, salt, trainList, validationList, testList, strict, flash, ram, macs, latency, target })
  .extend({ learningRate, seed, threads, backend, resume, json })
  .extend({
    data: fields.path('the folder with the new clips or images'),
    replay: fields.replay().default(defaultReplay),
    epochs: fields.adaptEpochs(adaptEpochs).default(adaptEpochs),
    candidates: fields.integer(1, 100_000).default(48),
    force: fields.present(),
    out: fields.path('the folder of the run that comes of it').optional(),
  })
type Flags = z.output<typeof schema>

/** @throws UsageError naming the flag that is wrong */
export function adaptRequest(run: string, options: Record<string, unknown>, args: readonly string[]): { spec: AdaptedSpec; json: boolean } {
  const flags = fields.validate(schema, options)
  const { request, network } = openFinishedRun(run)
  const input = inputOf(request)
  const flip = request.data.flip ?? true
  const data: DataSpec = {
    ...dataSpec({ ...flags, words: undefined, seconds: undefined, imageSize: undefined, flip }),
    input,
    classes: network.classes,
  }
  const kept = withoutOrigin(request as AdaptedSpec)
  const spec: AdaptedSpec = {
    ...kept,
    ...('joint' in kept && kept.joint && { joint: { ...kept.joint, candidates: flags.candidates, start: 'shared' as const } }),
    data,
    adapt: {
      from: run,
      old: [...(request.adapt?.old ?? []), { ...request.data, input }],
      replay: flags.replay,
      force: flags.force,
    },
    ...pricing(run, request as AdaptedSpec, flags),
    ...(flags.learningRate !== undefined && { learningRate: flags.learningRate }),
    epochs: flags.epochs,
    seed: flags.seed,
    threads: flags.threads,
    backend: flags.backend,
    out: flags.out ?? `${run.replace(/[\\/]+$/, '')}-adapted`,
    resume: flags.resume,
    command: shellCommand('adapt', args),
  }
  return { spec, json: flags.json }
}

/** A request without what it says of how its network came about: that is there now. */
function withoutOrigin(request: AdaptedSpec): AdaptedSpec {
  const said = new Set(['from', 'member', 'prune', 'learningRate'])
  return Object.fromEntries(Object.entries(request).filter(([key]) => !said.has(key))) as unknown as AdaptedSpec
}

/** Limits and target of the run, those given in their place. */
function pricing(run: string, request: AdaptedSpec, flags: Flags): { budget: BudgetSpec; target?: string } {
  const budget = {
    ...request.budget,
    ...(flags.flash !== undefined && { flashBytes: flags.flash }),
    ...(flags.ram !== undefined && { ramBytes: flags.ram }),
    ...(flags.macs !== undefined && { macs: flags.macs }),
    ...(flags.latency !== undefined && { latencyMs: flags.latency }),
  }
  const on = flags.target ?? request.target
  if (on !== undefined) targetTime(on)
  if (budget.latencyMs !== undefined && on === undefined)
    throw new UsageError(`--latency: needs --target, such as --target cortex-m4@80MHz, since ${run} has none`)
  return { budget, ...(on !== undefined && { target: on }) }
}
