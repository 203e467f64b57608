// A study from request to model: data, search, training, quantization, conversion, evaluation, report. Every stage appends its events and
// leaves a checkpoint after each epoch; an epoch's draws are keyed by its number, so a run that was interrupted ends with the same bits.
import { openBackend, Engine, type ParameterStore } from '@bitwright/engine'
import { encodeModel } from '@bitwright/runtime'
import { performance } from 'node:perf_hooks'
import { RunError, UsageError } from '../errors.ts'
import { hardwareOf } from './hardware-of.ts'
import { countNetwork } from '../network/counts.ts'
import { isWeighted, storedWeightBits } from '../network/graph.ts'
import type { Network } from '../network/network.ts'
import { renderReport } from '../report/report.ts'
import { Budget, costOf } from '../search/budget.ts'
import { openSource, type SampleSource } from '../training/sample-source.ts'
import { createStore } from '../training/initialize.ts'
import type { Quantization } from '../training/quantization.ts'
import type { EvaluateResult, Hooks, RunResult, SearchSpec, TrainSpec } from './api.ts'
import { type Checkpoint, readCheckpoint, writeCheckpoint } from './checkpoint.ts'
import type { LayerBits, StageName, StudyEvent } from './events.ts'
import { type Journal, openJournal } from './journal.ts'
import { openMember } from './front-member.ts'
import { mistakenImages } from './mistakes.ts'
import { networkByName, networkOf, requireNetwork } from './networks.ts'
import { loadRunData, thingsOf } from './run-data.ts'
import { atomicWrite, discardRun, existingRunDirectory, prepareRunDirectory, type RunDirectory } from './run-directory.ts'
import { scoreModels } from './score.ts'
import { searchStage } from './search-stage.ts'
import { augmentationOf, Interrupted, type Session, type Spec } from './session.ts'
import { checkSameRequest, writeRequest } from './spec.ts'
import { quantize, trainFloat } from './train-stages.ts'

export { evaluateRun } from './evaluate.ts'
export { evaluateStream } from './stream-evaluation.ts'

export function searchStudy(spec: SearchSpec, hooks: Hooks): Promise<RunResult> {
  return study(spec, hooks)
}

export function trainStudy(spec: TrainSpec, hooks: Hooks): Promise<RunResult> {
  return study(spec, hooks)
}

async function study(spec: Spec, hooks: Hooks): Promise<RunResult> {
  const began = performance.now()
  const given = networkOf(spec)
  if (given !== undefined) requireNetwork(given, spec.streaming)
  if (spec.resume) checkSameRequest(spec)
  const directory = prepareRunDirectory(spec.out, spec.resume)
  const before = spec.resume ? readCheckpoint(directory.checkpoint) : undefined
  const seconds = () => (before?.seconds ?? 0) + (performance.now() - began) / 1000
  if (before?.stage === 'done') throw new UsageError(`--resume: the run in ${spec.out} is finished; its model is ${directory.model}`)
  const plan = spec.resume ? undefined : spec
  /** A new run that turns out to be asked for wrongly leaves nothing behind, so that it can be asked for again. */
  let unasked = false
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
      counts: { train: dataset.splits.train.length, validation: dataset.splits.validation.length, test: dataset.splits.test.length },
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
    return await stages(session, before)
  } catch (error) {
    if (error instanceof Interrupted) {
      emit({ type: 'interrupted', stage: error.stage, epoch: error.epoch })
      writeReport(directory, journal, spec.command)
      return { status: 'interrupted', directory: spec.out, evaluations: [], seconds: seconds() }
    }
    unasked = plan !== undefined && error instanceof UsageError
    if (!unasked) emit({ type: 'failed', message: error instanceof Error ? error.message : String(error) })
    throw error
  } finally {
    journal.close()
    backend?.close()
    if (unasked) discardRun(directory)
  }
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
      const excess = budget.excess(budget.price(network))
      if (excess) throw new UsageError(`--network ${spec.network}: ${excess}; raise the limit or train another network`)
    }
    session.save({ stage: 'train', epoch: 0, network, ...(initial && { initial }) })
  }
  const source = openSource(engine, dataset, network.frontEnd, augmentationOf(spec))
  const store = createStore(engine, [network], spec.seed)
  for (const [name, values] of initial ?? []) store.value(name).set(values)
  const resumed = before?.stage === 'train' || before?.stage === 'quantize' ? before : undefined

  let floatParameters =
    resumed?.floatParameters ??
    ('from' in spec && spec.from !== undefined && spec.member === undefined ? floatParametersOf(spec.from, store) : undefined)
  if (!floatParameters) {
    await trainFloat(session, network, store, source, resumed?.trainer)
    floatParameters = store.snapshot()
    session.save({ stage: 'quantize', epoch: 0, network, floatParameters })
  } else {
    store.restore(floatParameters)
  }
  const quantization = await quantize(session, network, store, source, floatParameters, resumed?.stage === 'quantize' ? resumed : undefined)
  return finish(session, store, source, quantization, floatParameters, budget)
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

/** Converts, checks against the budget and the fake-quantized network, evaluates, writes model, architecture and report. */
async function finish(
  session: Session,
  store: ParameterStore,
  source: SampleSource,
  quantization: Quantization,
  floatParameters: Float32Array,
  budget: Budget,
): Promise<RunResult> {
  const { spec, engine, dataset, directory, emit } = session
  const network = quantization.decided()
  const bytes = await session.stage('convert', async () => {
    const model = await scoreModels.convert(engine, network, store, source, quantization)
    return encodeModel(model)
  })
  const priced = hardwareOf(spec).price(network)
  if (priced.flashBytes !== bytes.length)
    throw new RunError(`convert: the model has ${bytes.length} bytes where ${priced.flashBytes} were predicted`)
  const cost = costOf(priced)
  const excess = budget.excess(cost)
  if (excess) throw new RunError(`convert: the model is over budget: ${excess}`)
  atomicWrite(directory.model, bytes)
  atomicWrite(directory.architecture, `${JSON.stringify(network, undefined, 2)}\n`)
  const layers = layerBits(network)
  emit({ type: 'network', network, cost, layers })

  const evaluations: EvaluateResult[] = await session.stage('evaluate', async () => {
    const results: EvaluateResult[] = []
    for (const split of ['validation', 'test'] as const) {
      const result = await scoreModels.all(
        engine,
        { network, store, source, quantization, floatParameters, model: bytes },
        split,
        dataset.splits[split],
        (done, total) => session.hooks.onProgress({ stage: 'evaluate', done, total, text: thingsOf(dataset) }),
      )
      const { integerLogits, ...shown } = result
      const { classes: _classes, ...scores } = shown
      const mistakes = mistakenImages(dataset, dataset.splits[split], integerLogits)
      emit({ type: 'evaluation', ...scores, ...(mistakes.length > 0 && { mistakes }) })
      results.push(shown)
    }
    return results
  })
  session.save({
    stage: 'done',
    epoch: 0,
    network,
    floatParameters,
    trainer: { updates: 0, parameters: store.snapshot(), quantization: quantization.state() },
  })
  const front = session.journal.events.findLast((event) => event.type === 'front')
  emit({ type: 'finished', model: directory.model, report: directory.report, seconds: session.seconds() })
  writeReport(directory, session.journal, spec.command)
  return {
    status: 'finished',
    directory: spec.out,
    model: directory.model,
    report: directory.report,
    network,
    cost,
    layers,
    ...(front && { front: front.members }),
    evaluations,
    seconds: session.seconds(),
  }
}

function layerBits(network: Network): LayerBits[] {
  const { nodes } = countNetwork(network)
  const byId = new Map(nodes.map((node) => [node.id, node]))
  return network.nodes.filter(isWeighted).map((node) => ({
    id: node.id,
    weightBits: storedWeightBits(node),
    activationBits: node.activationBits ?? 8,
    params: byId.get(node.id)!.params,
    macs: byId.get(node.id)!.macs,
  }))
}

function writeReport(directory: RunDirectory, journal: Journal, command: string): void {
  atomicWrite(directory.report, renderReport([...journal.events], { command }))
}
