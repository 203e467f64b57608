// The end of a run: from trained parameters to the integer model, held against its price, and to its scores and the report.
import { encodeModel } from '@bitwright/runtime'
import type { ParameterStore } from '@bitwright/engine'
import type { Dataset } from '../data/dataset.ts'
import { RunError } from '../errors.ts'
import { countNetwork } from '../network/counts.ts'
import { isWeighted, storedWeightBits } from '../network/graph.ts'
import type { Network } from '../network/network.ts'
import { gatherReport } from '../report/report-data.ts'
import { renderReport } from '../report/report.ts'
import { type Budget, costOf } from '../search/budget.ts'
import type { Quantization } from '../training/quantization.ts'
import type { SampleSource } from '../training/sample-source.ts'
import type { EvaluateResult, RunResult } from './api.ts'
import type { FinalistResult, LayerBits } from './events.ts'
import { hardwareOf } from './hardware-of.ts'
import type { Journal } from './journal.ts'
import { mistakenImages } from './mistakes.ts'
import { thingsOf } from './run-data.ts'
import { atomicWrite, type RunDirectory } from './run-directory.ts'
import { scoreModels } from './score.ts'
import type { Session } from './session.ts'

/** What a run has trained. */
export interface Trained {
  readonly store: ParameterStore
  readonly source: SampleSource
  readonly quantization: Quantization
  readonly floatParameters: Float32Array
}

export interface Ending {
  /** What is scored; default: all. */
  readonly splits?: Dataset['splits']
  /** More to say of the run once its model is there. */
  readonly last?: (model: Uint8Array, evaluations: readonly EvaluateResult[]) => Promise<Partial<RunResult>>
}

/** Converts, checks against the budget and the fake-quantized network, evaluates, writes model, architecture and report. */
export async function finish(
  session: Session,
  { store, source, quantization, floatParameters }: Trained,
  budget: Budget,
  { splits = session.dataset.splits, last }: Ending = {},
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
        splits[split],
        (done, total) => session.hooks.onProgress({ stage: 'evaluate', done, total, text: thingsOf(dataset) }),
      )
      const { integerLogits, ...shown } = result
      const { classes: _classes, things: _things, ...scores } = shown
      const mistakes = mistakenImages(dataset, splits[split], integerLogits)
      emit({ type: 'evaluation', ...scores, ...(mistakes.length > 0 && { mistakes }) })
      results.push(shown)
    }
    return results
  })
  const more = await last?.(bytes, evaluations)
  return conclude(
    session,
    { store, quantization, floatParameters },
    { model: directory.model, network, cost, layers, evaluations, ...more },
  )
}

/** The end of every run: its last checkpoint, event and report. */
export function conclude(
  session: Session,
  { store, quantization, floatParameters }: Omit<Trained, 'source'>,
  result: Pick<RunResult, 'model' | 'cost' | 'layers' | 'evaluations'> & { readonly network: Network },
): RunResult {
  const { spec, directory, emit } = session
  const { model, network } = result
  session.save({
    stage: 'done',
    epoch: 0,
    network,
    floatParameters,
    trainer: { updates: 0, parameters: store.snapshot(), quantization: quantization.state() },
  })
  const front = session.journal.events.findLast((event) => event.type === 'front')
  const finalists = finalistsOf(session.journal)
  emit({ type: 'finished', ...(model !== undefined && { model }), report: directory.report, seconds: session.seconds() })
  writeReport(directory, session.journal, spec.command)
  return {
    status: 'finished',
    directory: spec.out,
    report: directory.report,
    ...(front && { front: front.members }),
    ...(finalists.length > 0 && { finalists }),
    ...result,
    seconds: session.seconds(),
  }
}

function finalistsOf({ events }: Journal): FinalistResult[] {
  return gatherReport(events).candidates.flatMap(({ id, network, cost, accuracies, sharedScore, chosen = false, dropped }) =>
    accuracies === undefined
      ? []
      : [
          {
            id,
            network,
            cost,
            accuracies,
            ...(sharedScore !== undefined && { sharedScore }),
            chosen,
            ...(dropped !== undefined && { dropped }),
          },
        ],
  )
}

export function layerBits(network: Network): LayerBits[] {
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

export function writeReport(directory: RunDirectory, journal: Journal, command: string): void {
  atomicWrite(directory.report, renderReport([...journal.events], { command }))
}
