// Which clip goes into which split: by the official hash of Speech Commands, or by speaker with each class in every split.

import { createHash } from 'node:crypto'
import type { SplitName } from './dataset.ts'

export interface Shares {
  readonly validation: number
  readonly test: number
}

/**
 * The split of a Speech Commands file (Warden, arXiv 1804.03209, section 7, `which_set`): SHA-1 of the file name before `_nohash_`, modulo
 * 2^27, as a share of 2^27 - 1. It depends on nothing but the name, so a clip stays in its split when the data grows.
 */
export function hashSplit(path: string, shares: Shares): SplitName {
  const name = path.slice(path.lastIndexOf('/') + 1).replace(/_nohash_.*$/, '')
  const share = (createHash('sha1').update(name).digest().readUInt32BE(16) & 0x7ffffff) / 0x7ffffff
  if (share < shares.validation) return 'validation'
  return share < shares.validation + shares.test ? 'test' : 'train'
}

export interface Grouped {
  /** Clips of one group (one speaker) stay together. */
  readonly group: string
  readonly label: number
}

/**
 * Splits groups so that each split gets about its share of every class: in an order drawn by a salted SHA-1 of the name, each group goes
 * where it lowers most the chi-squared distance between the clips that each split has of each class and should have. Where a class has
 * three clips or more, validation and test aim for at least one of them. Returns the split of each clip.
 */
export function groupSplit(clips: readonly Grouped[], shares: Shares, salt: string): SplitName[] {
  const totals = new Map<number, number>()
  const groups = new Map<string, Map<number, number>>()
  for (const { group, label } of clips) {
    totals.set(label, (totals.get(label) ?? 0) + 1)
    const counts = groups.get(group) ?? new Map<number, number>()
    groups.set(group, counts.set(label, (counts.get(label) ?? 0) + 1))
  }
  const want = { train: new Map<number, number>(), validation: new Map<number, number>(), test: new Map<number, number>() }
  for (const [label, total] of totals) {
    const least = total >= 3 ? 1 : 0.1
    want.validation.set(label, Math.max(least, shares.validation * total))
    want.test.set(label, Math.max(least, shares.test * total))
    want.train.set(label, Math.max(least, total - want.validation.get(label)! - want.test.get(label)!))
  }
  const have = { train: new Map<number, number>(), validation: new Map<number, number>(), test: new Map<number, number>() }
  const chosen = new Map<string, SplitName>()
  const order = [...groups.keys()].map((group) => ({ group, key: createHash('sha1').update(`${salt}/${group}`).digest('hex') }))
  order.sort((a, b) => (a.key < b.key ? -1 : 1))
  for (const { group } of order) {
    let best: SplitName = 'train'
    let lowest = Infinity
    for (const split of ['train', 'test', 'validation'] as const) {
      let change = 0
      for (const [label, count] of groups.get(group)!) {
        const target = want[split].get(label)!
        change += (count * (2 * ((have[split].get(label) ?? 0) - target) + count)) / target / totals.get(label)!
      }
      if (change < lowest) {
        lowest = change
        best = split
      }
    }
    chosen.set(group, best)
    for (const [label, count] of groups.get(group)!) have[best].set(label, (have[best].get(label) ?? 0) + count)
  }
  return clips.map(({ group }) => chosen.get(group)!)
}
