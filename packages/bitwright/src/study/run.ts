// A study from request to model: data, search, training, quantization, conversion, evaluation, report.
import type { ParameterStore } from '@bitwright/engine'
import { UsageError } from '../errors.ts'
import { Budget } from '../search/budget.ts'
import type { Hooks, RunResult, SearchSpec, TrainSpec } from './api.ts'
import { type Checkpoint, readCheckpoint } from './checkpoint.ts'
import { bestFinalist } from './finalists.ts'
import { finish } from './finish.ts'
import { finishGraph } from './finish-graph.ts'
import { openMember } from './front-member.ts'
import { hardwareOf } from './hardware-of.ts'
import { networkByName, networkOf, requireNetwork } from './networks.ts'
import { existingRunDirectory } from './run-directory.ts'
import { searchStage } from './search-stage.ts'
import type { Session, Spec } from './session.ts'
import { sitting } from './sitting.ts'
import { requireFit } from './pruning.ts'
import { trainNetwork } from './train-network.ts'

export { evaluateRun } from './evaluate.ts'
export { evaluateStream } from './stream-evaluation.ts'

export const searchStudy = (spec: SearchSpec, hooks: Hooks): Promise<RunResult> => study(spec, hooks)
export const trainStudy = (spec: TrainSpec, hooks: Hooks): Promise<RunResult> => study(spec, hooks)

async function study(spec: Spec, hooks: Hooks): Promise<RunResult> {
  const given = networkOf(spec)
  if (given !== undefined) requireNetwork(given, spec.streaming)
  return sitting(spec, hooks, stages)
}

async function stages(session: Session, before: Checkpoint | undefined): Promise<RunResult> {
  const { spec, engine, dataset } = session
  const budget = new Budget({
    budget: spec.budget,
    hardware: hardwareOf(spec),
    weightBits: spec.weightBits,
    activationBits: spec.activationBits,
  })
  let network = before?.network
  let initial = before?.initial
  if (!network) {
    if ('space' in spec) {
      const finalists = before?.stage === 'finalists' ? undefined : await searchStage(session, spec, budget, before)
      ;({ network, initial } = await bestFinalist(session, finalists, budget, before))
    } else if (spec.from !== undefined && spec.member !== undefined) {
      ;({ network, initial } = openMember(engine, spec.from, spec.member, dataset))
    } else {
      network = networkByName(spec.network, dataset, spec.streaming, spec.weightBits === 'searched')
    }
    if (!('space' in spec)) requireFit(spec, network, budget)
    session.save({ stage: 'train', epoch: 0, network, ...(initial && { initial }) })
  }
  const from = 'from' in spec && spec.member === undefined ? spec.from : undefined
  const start = {
    ...(initial && { initial }),
    ...(from !== undefined && { floatParameters: (store: ParameterStore) => floatParametersOf(from, store) }),
  }
  const trained = await trainNetwork(session, network, start, budget, before)
  const end = dataset.kind === 'graph' ? finishGraph : finish
  return end(session, trained, budget)
}

/** The float parameters that a finished run of the same network left. */
function floatParametersOf(run: string, store: ParameterStore): Float32Array {
  const { checkpoint } = existingRunDirectory(run)
  const saved = readCheckpoint(checkpoint)
  if (saved?.stage !== 'done' || !saved.floatParameters)
    throw new UsageError(`--from ${run}: that run is not finished; finish it with --resume`)
  if (saved.floatParameters.length !== store.snapshot().length)
    throw new UsageError(`--from ${run}: that run trained another network; leave --network away`)
  return saved.floatParameters
}
