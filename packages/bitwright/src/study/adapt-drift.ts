// The first stage of an adaptation: how far the new data lies from the old, what taking norms and ranges anew from it recovers without any training,
// and what follows. Ours throughout; docs/hqnas.md says why.
import type { Engine, ParameterStore } from '@bitwright/engine'
import { decodeModel, encodeModel } from '@bitwright/runtime'
import type { Dataset, Sample } from '../data/dataset.ts'
import { withoutBits } from '../network/transform.ts'
import type { Network } from '../network/network.ts'
import { countNetwork } from '../network/counts.ts'
import { percent } from '../report/units.ts'
import { argMax } from '../training/evaluate.ts'
import { integerLogits } from '../training/integer-evaluator.ts'
import { chunkStatistics, compared, dealt, statisticsIn } from '../training/layer-drift.ts'
import type { Quantization } from '../training/quantization.ts'
import { Recalibration } from '../training/recalibrate.ts'
import { type Batches, reestimate } from '../training/reestimate.ts'
import { partOf } from '../training/replay-source.ts'
import { openSource, type SampleSource } from '../training/sample-source.ts'
import type { Drift, Standing } from './events.ts'
import { scoreModels } from './score.ts'
import { augmentationOf, type Session } from './session.ts'
import type { TrainedCheckpoint } from './trained-run.ts'

/** A finished run's network, its parameters in the store. */
export interface Deployed {
  readonly network: Network
  readonly store: ParameterStore
  readonly quantization: Quantization
  readonly floatParameters: Float32Array
  /** Accuracy on its validation data as the run recorded it. */
  readonly recorded?: { readonly accuracy: number; readonly count: number }
}

/** The comparison, and the network with norms and ranges taken anew. */
export interface Compared {
  readonly drift: Drift
  /** The integer models as it was deployed, and so. */
  readonly models: { readonly before: Uint8Array; readonly reestimated: Uint8Array }
  readonly trained: TrainedCheckpoint
}

/** Batches that norms are taken from. */
const mostBatches = 32

/** Accuracy and confidence of an integer model. */
export async function standing(model: Uint8Array, dataset: Dataset, samples: readonly Sample[], threads: number): Promise<Standing> {
  const { scale } = decodeModel(model).tensors.at(-1)!
  const all = await integerLogits(model, dataset, samples, { threads })
  let confidence = 0
  for (const logits of all) {
    const best = logits[argMax(logits)]
    confidence += 1 / logits.reduce((sum, logit) => sum + Math.exp(scale * (logit - best)), 0) / Math.max(1, all.length)
  }
  const right = all.filter((logits, i) => argMax(logits) === samples[i].label).length
  return { accuracy: right / Math.max(1, samples.length), confidence, count: samples.length }
}

/** Compares, and leaves the network in the store with norms and ranges taken anew. */
export async function compareData(session: Session, deployed: Deployed): Promise<Compared> {
  const { engine, dataset, spec } = session
  const { network, store, quantization } = deployed
  const parts = { old: partOf(dataset, 'old'), new: partOf(dataset, 'new') }
  const hasOld = parts.old.splits.train.length > 0
  const open = (part: Dataset) => openSource(engine, part, network.frontEnd, augmentationOf(spec))
  const sources = { old: open(parts.old), new: open(parts.new) }
  const layers = await layerDrift(engine, deployed, hasOld ? sources.old : undefined, sources.new, spec.seed)

  const stands = (of: Uint8Array, part: Dataset) => standing(of, dataset, part.splits.validation, spec.threads)
  const converted = async (source: SampleSource) => encodeModel(await scoreModels.convert(engine, network, store, source, quantization))
  // made anew, so that a run of another version can go on too
  const model = await converted(hasOld ? sources.old : sources.new)
  const before = { new: await stands(model, parts.new), ...(hasOld && { old: await stands(model, parts.old) }) }
  const batchesOf = (source: SampleSource): Batches => {
    const order = source.epochOrder(spec.seed, 0)
    const size = Math.min(spec.batchSize, order.length)
    const count = Math.min(mostBatches, Math.floor(order.length / size))
    return { source, seed: spec.seed, batches: Array.from({ length: count }, (_, i) => order.slice(i * size, (i + 1) * size)) }
  }
  const fresh = batchesOf(sources.new)
  const samples = await reestimate(engine, store, quantization, fresh, hasOld ? batchesOf(sources.old) : undefined)
  const reestimated = await converted(open(dataset))
  const after = { new: await stands(reestimated, parts.new), ...(hasOld && { old: await stands(reestimated, parts.old) }) }
  const trained = {
    trainer: { updates: 0, parameters: store.snapshot(), quantization: quantization.state() },
    floatParameters: await floatForm(engine, network, store, deployed.floatParameters, fresh),
  }
  const scored = 2 * ((before.old?.count ?? 0) + before.new.count)
  const measured = {
    ...layers.compared,
    ...(before.old && after.old && { old: { before: before.old, reestimated: after.old } }),
    ...(!before.old && deployed.recorded && { recorded: deployed.recorded }),
    new: { before: before.new, reestimated: after.new },
    macs: (layers.samples + samples + fresh.batches.flat().length + scored) * countNetwork(network).macs,
  }
  return { drift: { ...measured, ...verdict(measured) }, models: { before: model, reestimated }, trained }
}

/** These parameters without quantizers, their norms taken from some batches; the store is left as it was. */
export async function floatForm(
  engine: Engine,
  network: Network,
  store: ParameterStore,
  parameters: Float32Array,
  { source, batches, seed }: Batches,
): Promise<Float32Array> {
  const before = store.snapshot()
  store.restore(parameters)
  const recalibration = new Recalibration(engine, withoutBits(network), store, batches[0].length)
  await recalibration.run(source, batches, { seed, epoch: 0 })
  recalibration.dispose()
  const float = store.snapshot()
  store.restore(before)
  return float
}

/** Of the float network; samples of classes that only one side has are left out. */
async function layerDrift(
  engine: Engine,
  { network, store, floatParameters }: Deployed,
  old: SampleSource | undefined,
  fresh: SampleSource,
  seed: number,
) {
  const plain = withoutBits(network)
  const orders = [...(old ? [old] : []), fresh].map((source) => ({ source, order: source.epochOrder(seed, 0) }))
  const labels = orders.map(({ order }) => new Set(order.map(({ label }) => label)))
  const common = orders.map(({ source, order }) => ({
    source,
    order: order.filter(({ label }) => labels.every((own) => own.has(label))),
  }))
  const before = store.snapshot()
  store.restore(floatParameters)
  for (const count of [8, 4, 2]) {
    const sets = common.map(({ source, order }) => ({ source, chunks: dealt(order, seed, count) }))
    const { statistics, samples } = await chunkStatistics(engine, plain, store, sets)
    if (samples === 0) continue
    const result = compared(old ? statistics[0] : statisticsIn(store, plain), statistics.at(-1)!)
    store.restore(before)
    return { compared: result, samples }
  }
  store.restore(before)
  return { compared: { distance: 0, floor: 0, layers: [] }, samples: 0 }
}

type Measured = Omit<Drift, 'verdict' | 'reason'>

/** Accuracy that counts as lost or gained: a point, or what chance makes of these numbers of samples. */
export function tolerance(a: { accuracy: number; count: number }, b: { accuracy: number; count: number }): number {
  const variance = ({ accuracy, count }: typeof a) => (accuracy * (1 - accuracy)) / Math.max(1, count)
  return Math.max(0.01, Math.sqrt(variance(a) + variance(b)))
}

/** What follows from the measurements, and why. */
export function verdict({ distance, floor, old, recorded, new: fresh }: Measured): Pick<Drift, 'verdict' | 'reason'> {
  const known = old?.before ?? recorded ?? fresh.before
  const holds = (now: Standing) => known.accuracy - now.accuracy <= tolerance(known, now)
  const keeps = !old || old.before.accuracy - old.reestimated.accuracy <= 0.01
  const far = `${distance.toFixed(3)} standard deviations, two halves of the ${old ? 'old' : 'new'} data up to ${floor.toFixed(3)}`
  const fell = `${percent(fresh.before.accuracy)} against ${percent(known.accuracy)} on the old`
  if (distance <= floor && holds(fresh.before))
    return { verdict: 'none', reason: `no drift: the layers' statistics differ by ${far}; accuracy on the new data is ${fell}` }
  if (holds(fresh.reestimated) && keeps && fresh.reestimated.accuracy >= fresh.before.accuracy - 0.01)
    return {
      verdict: 'statistics',
      reason: `statistics only: the layers' statistics differ by ${far}; with norms and ranges taken anew, accuracy on the new data is ${percent(fresh.reestimated.accuracy)} (before: ${fell})`,
    }
  if (holds(fresh.before))
    return { verdict: 'none', reason: `no drift that matters: the layers' statistics differ by ${far}, but accuracy holds: ${fell}` }
  const forgets = holds(fresh.reestimated) && !keeps ? ' but forget the old' : ''
  return {
    verdict: 'training',
    reason: `needs training: the layers' statistics differ by ${far}; accuracy on the new data is ${fell}, and norms and ranges taken anew reach ${percent(fresh.reestimated.accuracy)}${forgets}`,
  }
}
