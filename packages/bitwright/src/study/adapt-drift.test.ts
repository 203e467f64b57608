// What follows from a comparison of data, and what an adaptation cost.
import { describe, expect, it } from 'vitest'
import { macsOf } from './adapt-account.ts'
import { tolerance, verdict } from './adapt-drift.ts'
import type { StudyEvent } from './events.ts'

const at = (accuracy: number, count = 10_000) => ({ accuracy, confidence: 0.9, count })
interface Case {
  readonly distance: number
  readonly old?: readonly [number, number]
  readonly fresh: readonly [number, number]
}
const measured = ({ distance, old, fresh }: Case) => ({
  distance,
  floor: 0.1,
  layers: [],
  macs: 0,
  ...(old ? { old: { before: at(old[0]), reestimated: at(old[1]) } } : { recorded: { accuracy: 0.9, count: 10_000 } }),
  new: { before: at(fresh[0]), reestimated: at(fresh[1]) },
})

describe('the verdict', () => {
  it.each([
    ['none', 'nothing differs', { distance: 0.05, old: [0.9, 0.9], fresh: [0.9, 0.9] }, /^no drift: .* 0\.050 standard deviations/],
    [
      'none',
      'the answers hold, and norms anew would spoil them',
      { distance: 0.5, old: [0.9, 0.9], fresh: [0.9, 0.8] },
      /no drift that matters/,
    ],
    [
      'statistics',
      'norms bring it back',
      { distance: 0.5, old: [0.9, 0.9], fresh: [0.7, 0.9] },
      /^statistics only: .* 90\.0 % \(before: 70\.0 %/,
    ],
    [
      'training',
      'norms bring it back at the old cost',
      { distance: 0.5, old: [0.9, 0.85], fresh: [0.7, 0.9] },
      /reach 90\.0 % but forget the old$/,
    ],
    ['training', 'norms are not enough', { distance: 0.5, old: [0.9, 0.9], fresh: [0.7, 0.8] }, /^needs training: .* reach 80\.0 %$/],
    ['training', 'accuracy fell though layers see the same', { distance: 0.05, old: [0.9, 0.9], fresh: [0.7, 0.7] }, /^needs training/],
    ['statistics', 'the old data is gone', { distance: 0.5, fresh: [0.7, 0.9] }, /two halves of the new data up to 0\.100/],
    ['training', 'the old data is gone and it fell', { distance: 0.5, fresh: [0.7, 0.7] }, /70\.0 % against 90\.0 % on the old/],
  ] as const)('%s: %s', (expected, _, given, words) => {
    const { verdict: found, reason } = verdict(measured(given))
    expect(found).toBe(expected)
    expect(reason).toMatch(words)
    expect(reason).not.toContain('\n')
  })

  it('takes for a loss what is more than a point and more than chance', () => {
    expect(tolerance(at(0.9, 1e6), at(0.9, 1e6))).toBe(0.01)
    // one standard error of the difference of two shares of 100 samples
    expect(tolerance(at(0.9, 100), at(0.8, 100))).toBeCloseTo(Math.sqrt(0.09 / 100 + 0.16 / 100), 12)
  })
})

describe('multiply-accumulates of a run', () => {
  const epoch = (stage: 'search' | 'train' | 'quantize', number: number, macs?: number): StudyEvent => ({
    type: 'epoch',
    stage,
    epoch: number,
    epochs: 9,
    learningRate: 0,
    seconds: 0,
    trainLoss: 0,
    ...(macs !== undefined && { macs }),
  })
  const front = (macs?: number): StudyEvent => ({ type: 'front', members: [], chosen: 0, ...(macs !== undefined && { macs }) })

  it('add up, an epoch that was begun twice once', () => {
    const events = [
      epoch('search', 1),
      front(100),
      epoch('train', 1, 10),
      epoch('train', 2, 10),
      epoch('train', 2, 10),
      epoch('quantize', 1, 7),
    ]
    expect(macsOf(events)).toBe(127)
  })

  it('are not known where a part was not counted', () => {
    expect(macsOf([epoch('train', 1), epoch('quantize', 1, 7)])).toBeUndefined()
    expect(macsOf([epoch('search', 1), epoch('train', 1, 3)])).toBeUndefined()
    expect(macsOf([epoch('search', 1), front(), epoch('train', 1, 3)])).toBeUndefined()
  })
})
