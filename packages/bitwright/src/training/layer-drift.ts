// How far two sets of samples lie from each other as a trained network's layers see them: by the statistics that batch norm would take from
// each (Recalibration). Adapting batch norm to new data is known (Li et al., "Revisiting batch normalization for practical domain adaptation",
// arXiv 1603.04779); taking the distance of its statistics for a measure of drift, and the noise floor from halves, is ours.
//
// A channel's two normal distributions differ by the shift s of their means, in standard deviations, and the logarithm r of their
// variances' ratio; for small moves twice their Kullback-Leibler divergence is s^2 + r^2 / 2. The distance of two layers is the root of its
// mean over the channels, that of two networks the root of the mean over the layers.
import { type Engine, type ParameterStore, Random } from '@bitwright/engine'
import type { Sample } from '../data/dataset.ts'
import type { Network } from '../network/network.ts'
import { statisticShapes } from '../network/parameters.ts'
import { Recalibration } from './recalibrate.ts'
import { batchNormEpsilon } from './record.ts'
import type { SampleSource } from './sample-source.ts'

export interface LayerStatistics {
  readonly id: string
  readonly mean: Float64Array
  readonly variance: Float64Array
}

export interface LayerDrift {
  readonly id: string
  readonly shift: number
  readonly logVarianceRatio: number
  readonly distance: number
}

export interface Distance {
  readonly distance: number
  readonly layers: readonly LayerDrift[]
}

/** Chunks that each of the two sets is dealt into; every half of them is a half of the set. */
const chunksEach = 8
/** Samples of a chunk at most, in batches of this size at most. */
const [mostBatches, mostBatch] = [4, 32]

/** The running statistics that are in the store. */
export function statisticsIn(store: ParameterStore, network: Network): LayerStatistics[] {
  const shapes = statisticShapes(network)
  return shapes
    .filter(({ kind }) => kind === 'mean')
    .map(({ name, node }) => ({
      id: node,
      mean: Float64Array.from(store.value(name)),
      variance: Float64Array.from(store.value(name.replace(/mean$/, 'variance'))),
    }))
}

/**
 * Deals samples into chunks, all of a speaker into one: in a random order, each group to the smallest chunk. Samples without a speaker are
 * groups of their own.
 */
export function dealt(samples: readonly Sample[], seed: number, count = chunksEach): Sample[][] {
  const groups = new Map<string, Sample[]>()
  for (const sample of samples) {
    const key = sample.speaker ?? sample.path
    groups.set(key, [...(groups.get(key) ?? []), sample])
  }
  const chunks: Sample[][] = Array.from({ length: count }, () => [])
  const inOrder = [...groups.values()]
  for (const index of new Random(seed, 'drift').permutation(inOrder.length)) {
    const smallest = chunks.reduce((best, chunk) => (chunk.length < best.length ? chunk : best))
    smallest.push(...inOrder[index])
  }
  return chunks
}

/** Statistics of every chunk, of as many samples each; the store is left as it was. @returns and how many samples that took */
export async function chunkStatistics(
  engine: Engine,
  network: Network,
  store: ParameterStore,
  sets: readonly { readonly source: SampleSource; readonly chunks: readonly (readonly Sample[])[] }[],
): Promise<{ statistics: LayerStatistics[][][]; samples: number }> {
  const fewest = Math.min(...sets.flatMap(({ chunks }) => chunks.map(({ length }) => length)))
  if (fewest === 0) return { statistics: sets.map(() => []), samples: 0 }
  const batch = Math.min(mostBatch, fewest)
  const batches = Math.min(mostBatches, Math.floor(fewest / batch))
  const before = store.snapshot()
  const recalibration = new Recalibration(engine, network, store, batch)
  const statistics: LayerStatistics[][][] = []
  for (const { source, chunks } of sets) {
    const own: LayerStatistics[][] = []
    for (const chunk of chunks) {
      const parts = Array.from({ length: batches }, (_, i) => chunk.slice(i * batch, (i + 1) * batch))
      await recalibration.run(source, parts, null)
      own.push(statisticsIn(store, network))
    }
    statistics.push(own)
  }
  recalibration.dispose()
  store.restore(before)
  return { statistics, samples: statistics.flat().length * batches * batch }
}

/** Of chunks of equal size, those of all of them. */
export function averageOf(chunks: readonly (readonly LayerStatistics[])[]): LayerStatistics[] {
  const mean = (numbers: readonly Float64Array[]) =>
    numbers[0].map((_, channel) => numbers.reduce((sum, of) => sum + of[channel], 0) / numbers.length)
  return chunks[0].map(({ id }, layer) => ({
    id,
    mean: mean(chunks.map((chunk) => chunk[layer].mean)),
    variance: mean(chunks.map((chunk) => chunk[layer].variance)),
  }))
}

const rootMeanSquare = (values: ArrayLike<number>): number => {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i] * values[i]
  return Math.sqrt(sum / Math.max(1, values.length))
}

/** Of b from a; a to b is as far as b to a. */
export function distanceBetween(a: readonly LayerStatistics[], b: readonly LayerStatistics[]): Distance {
  const layers = a.map(({ id, mean, variance }, layer) => {
    const other = b[layer]
    const spread = (of: Float64Array, channel: number) => of[channel] + batchNormEpsilon
    const shifts = mean.map((value, c) => (other.mean[c] - value) / Math.sqrt((spread(variance, c) + spread(other.variance, c)) / 2))
    const ratios = mean.map((_, c) => Math.log(spread(other.variance, c) / spread(variance, c)))
    const [shift, logVarianceRatio] = [rootMeanSquare(shifts), rootMeanSquare(ratios)]
    return { id, shift, logVarianceRatio, distance: Math.hypot(shift, logVarianceRatio / Math.SQRT2) }
  })
  return { distance: rootMeanSquare(layers.map(({ distance }) => distance)), layers }
}

/** All choices of `count` out of `of` indices. */
function choices(of: number, count: number, from = 0): number[][] {
  if (count === 0) return [[]]
  const chosen: number[][] = []
  for (let first = from; first <= of - count; first++) for (const rest of choices(of, count - 1, first + 1)) chosen.push([first, ...rest])
  return chosen
}

/** Every half of the chunks, each beside the other half. */
function halvings(chunks: readonly (readonly LayerStatistics[])[]): [LayerStatistics[], LayerStatistics[]][] {
  return choices(chunks.length, chunks.length >> 1).map((half) => [
    averageOf(half.map((i) => chunks[i])),
    averageOf(chunks.filter((_, i) => !half.includes(i))),
  ])
}

const meanOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length)

/**
 * Halves of new samples against halves of old ones, on average, and the noise floor: the largest distance of two halves of the old. With one
 * set of old statistics alone, e.g. those that training left, the floor is that of the new samples' halves.
 */
export function compared(
  old: readonly (readonly LayerStatistics[])[] | readonly LayerStatistics[],
  fresh: readonly (readonly LayerStatistics[])[],
): Distance & { readonly floor: number } {
  const isOne = (of: typeof old): of is readonly LayerStatistics[] => of.length > 0 && 'mean' in of[0]
  const freshHalves = halvings(fresh)
  const oldHalves = isOne(old) ? freshHalves.map(() => [[...old], [...old]] as const) : halvings(old)
  const between = freshHalves.map(([half], i) => distanceBetween(oldHalves[i][0], half))
  const floor = Math.max(0, ...(isOne(old) ? freshHalves : oldHalves).map(([one, other]) => distanceBetween(one, other).distance))
  const layers = (between[0]?.layers ?? []).map(({ id }, layer) => {
    const mean = (of: keyof Omit<LayerDrift, 'id'>) => meanOf(between.map(({ layers: all }) => all[layer][of]))
    return { id, shift: mean('shift'), logVarianceRatio: mean('logVarianceRatio'), distance: mean('distance') }
  })
  return { distance: meanOf(between.map(({ distance }) => distance)), floor, layers }
}
