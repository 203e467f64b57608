// What the report says of old and new data, with and without the old, finished or not.
import { expect, test } from 'vitest'
import type { Adaptation, Drift, StudyEvent } from '../study/events.ts'
import { renderReport } from './report.ts'

const at = (accuracy: number) => ({ accuracy, confidence: 0.5, count: 80 })
const drift: Drift = {
  distance: 0.5,
  floor: 0.1,
  layers: [
    { id: 'front<b>', shift: 0.6, logVarianceRatio: 0.2, distance: 0.616 },
    { id: 'last', shift: 0.04, logVarianceRatio: 0.02, distance: 0.042 },
  ],
  old: { before: at(0.9), reestimated: at(0.85) },
  new: { before: at(0.4), reestimated: at(0.5) },
  verdict: 'training',
  reason: 'needs training: more & more',
  macs: 5e9,
}
const adaptation: Adaptation = {
  replay: 0.5,
  splits: [
    {
      split: 'test',
      old: { before: 0.91, reestimated: 0.84, adapted: 0.905, count: 81 },
      new: { before: 0.41, reestimated: 0.51, adapted: 0.82, count: 82 },
    },
  ],
  network: 'kept',
  cost: { seconds: 75, macs: 2e12 },
  original: { seconds: 400 },
}
const section = (...events: StudyEvent[]) => /<section class="card" id="lifelong">[^]*?<\/section>/.exec(renderReport(events))?.[0]

test('tells accuracies, cost and layers, and escapes names', () => {
  const text = section({ type: 'drift', ...drift }, { type: 'adaptation', ...adaptation })!
  for (const part of ['Needs training', 'more &amp; more', '90.5 %', '82.0 %', '1:15', '2000G MACs', '6:40', 'front&lt;b&gt;', '0.616'])
    expect(text).toContain(part)
  expect(text.match(/within the noise/g)).toHaveLength(1)
  expect(text).toContain('The network is the one that was deployed')
})

test('has no row for old data that is gone, and stands before the end of a run', () => {
  const { old: _old, ...gone } = drift
  const [{ old: _rows, ...split }] = adaptation.splits
  const text = section({ type: 'drift', ...gone }, { type: 'adaptation', ...adaptation, splits: [split] })!
  expect(text).toContain('new, test')
  expect(text).not.toContain('old, test')
  expect(section({ type: 'drift', ...drift })).toContain('Needs training')
  expect(section()).toBeUndefined()
})
