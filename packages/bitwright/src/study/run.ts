// A study from request to model: data, search, training, quantization, conversion, evaluation, report.
import type { ParameterStore } from '@bitwright/engine'
import { UsageError } from '../errors.ts'
import { Budget } from '../search/budget.ts'
import { createStore } from '../training/initialize.ts'
import { openSource } from '../training/sample-source.ts'
import type { Hooks, RunResult, SearchSpec, TrainSpec } from './api.ts'
import { type Checkpoint, readCheckpoint } from './checkpoint.ts'
import { finish } from './finish.ts'
import { finishGraph } from './finish-graph.ts'
import { openMember } from './front-member.ts'
import { hardwareOf } from './hardware-of.ts'
import { networkByName, networkOf, requireNetwork } from './networks.ts'
import { existingRunDirectory } from './run-directory.ts'
import { searchStage } from './search-stage.ts'
import { augmentationOf, type Session, type Spec } from './session.ts'
import { sitting } from './sitting.ts'
import { pruneChannels, requireFit } from './pruning.ts'
import { quantize, trainFloat } from './train-stages.ts'

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
      ;({ network, initial } = await searchStage(session, spec, budget, before))
    } else if (spec.from !== undefined && spec.member !== undefined) {
      ;({ network, initial } = openMember(engine, spec.from, spec.member, dataset))
    } else {
      network = networkByName(spec.network, dataset, spec.streaming, spec.weightBits === 'searched')
    }
    if (!('space' in spec)) requireFit(spec, network, budget)
    session.save({ stage: 'train', epoch: 0, network, ...(initial && { initial }) })
  }
  const source = openSource(engine, dataset, network.frontEnd, augmentationOf(spec))
  let store = createStore(engine, [network], spec.seed)
  for (const [name, values] of initial ?? []) store.value(name).set(values)
  const resumed = before?.stage === 'train' || before?.stage === 'quantize' ? before : undefined

  let floatParameters =
    resumed?.floatParameters ??
    ('from' in spec && spec.from !== undefined && spec.member === undefined ? floatParametersOf(spec.from, store) : undefined)
  if (!floatParameters) {
    let trainer = resumed?.trainer
    if (spec.prune !== undefined && !resumed?.pruned)
      ({ network, store, trainer } = await pruneChannels(session, network, store, source, budget, resumed))
    await trainFloat(session, network, store, source, trainer)
    floatParameters = store.snapshot()
    session.save({ stage: 'quantize', epoch: 0, network, floatParameters })
  } else {
    store.restore(floatParameters)
  }
  const quantization = await quantize(session, network, store, source, floatParameters, resumed?.stage === 'quantize' ? resumed : undefined)
  const end = dataset.kind === 'graph' ? finishGraph : finish
  return end(session, { store, source, quantization, floatParameters }, budget)
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
