// New samples mixed with a share of old ones, so that what was learned before is not forgotten (experience replay, e.g. Rolnick et al.,
// arXiv 1811.11682). The share holds in every stretch of an epoch, and so in every batch of any size, to within one sample. An epoch goes
// through the new samples once, in the order that they have alone; the old ones go on where the last epoch left them, so that all come
// round equally often.
import { type Engine, Random, type Stored } from '@bitwright/engine'
import type { AugmentationKey } from '../data/augment.ts'
import type { Dataset, Sample } from '../data/dataset.ts'
import { splitNames } from '../data/plan.ts'
import type { FrontEnd } from '../network/network.ts'
import { openSource, type SampleSource, type SourceOptions } from './sample-source.ts'

export type Part = 'old' | 'new'

/** Whether a sample is one of the old data. */
export const isOld = ({ oldRows = 0 }: Dataset, { index }: Sample): boolean => index < oldRows

/** The old or the new samples alone, with the rows that they have in the whole. */
export function partOf(dataset: Dataset, part: Part): Dataset {
  const isOwn = (sample: Sample) => isOld(dataset, sample) === (part === 'old')
  const { train, validation, test } = dataset.splits
  return { ...dataset, splits: { train: train.filter(isOwn), validation: validation.filter(isOwn), test: test.filter(isOwn) } }
}

/** How many of the first `count` places are for old samples. */
const oldAmong = (count: number, share: number): number => Math.floor(count * share + 1e-9)

export class ReplaySource implements SampleSource {
  /** All new samples, and of the old as many as the share asks for, as far as there are. */
  readonly dataset: Dataset
  private readonly source: SampleSource
  private readonly parts: Readonly<Record<Part, SampleSource>>
  private readonly share: number

  /** @param share of the old samples, 0 to less than 1 */
  constructor(
    engine: Engine,
    dataset: Dataset,
    frontEnd: FrontEnd,
    { share, seed, ...options }: SourceOptions & { share: number; seed: number },
  ) {
    const open = (own: Dataset) => openSource(engine, own, frontEnd, options)
    const [old, fresh] = [partOf(dataset, 'old'), partOf(dataset, 'new')]
    this.source = open(dataset)
    this.parts = { old: open(old), new: open(fresh) }
    this.share = share
    const splits = splitNames.map((split) => {
      const wanted = Math.round((fresh.splits[split].length * share) / (1 - share))
      const order = new Random(seed, 'replayed', split).permutation(old.splits[split].length)
      return [split, [...Array.from(order.subarray(0, wanted), (i) => old.splits[split][i]), ...fresh.splits[split]]]
    })
    this.dataset = { ...dataset, splits: Object.fromEntries(splits) as Dataset['splits'] }
  }

  epochOrder(seed: number, epoch: number): Sample[] {
    const { share, parts } = this
    const fresh = parts.new.epochOrder(seed, epoch)
    const total = Math.floor(fresh.length / (1 - share) + 1e-9)
    const count = total - fresh.length
    const olds = count === 0 ? [] : this.replayed(seed, epoch * count, count)
    let old = 0
    return Array.from({ length: total }, (_, place) => (oldAmong(place + 1, share) > old ? olds[old++] : fresh[place - old]))
  }

  /** Old samples from this place of the endless row of their epochs on. */
  private replayed(seed: number, from: number, count: number): Sample[] {
    const samples: Sample[] = []
    const first = this.parts.old.epochOrder(seed, 0)
    const { length } = first
    for (let at = from; samples.length < count;) {
      const pass = Math.floor(at / length)
      const order = pass === 0 ? first : this.parts.old.epochOrder(seed, pass)
      const taken = order.slice(at % length, (at % length) + count - samples.length)
      samples.push(...taken)
      at += taken.length
    }
    return samples
  }

  fill(input: Stored, samples: readonly Sample[], key: AugmentationKey | null): void {
    this.source.fill(input, samples, key)
  }
}
