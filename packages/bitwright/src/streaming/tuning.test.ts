// Choosing a detector: its judgement is the shipped detector's, and no other choice of the grid is better.
import { Random } from '@bitwright/engine'
import { Detector } from '@bitwright/runtime'
import { describe, expect, it } from 'vitest'
import { scoreDetections } from './scoring.ts'
import { type Recording, scoreSettings, thresholds, tradeOff, tuneDetector } from './tuning.ts'

const classes = ['yes', 'no', '_unknown_']
const ignoredClasses = ['_unknown_']

/** Scores that rise at words, and now and then where there are none. */
function recording(seed: number): Recording {
  const random = new Random(seed, 'recording')
  const words = Array.from({ length: 40 }, (_, i) => ({ label: random.integer(2), clip: '', start: 3 * i + 1, end: 3 * i + 1.5 }))
  const ghosts = Array.from({ length: 12 }, (_, i) => ({ label: random.integer(2), start: 10 * i + 2.7, end: 10 * i + 2.9 }))
  const peaks = [...words, ...ghosts].map((word) => ({ ...word, height: random.uniform(0.3, 1) }))
  const scored = Array.from({ length: 3000 }, (_, i) => {
    const time = (i + 1) * 0.04
    const scores = Float32Array.from(classes, () => random.uniform(0, 0.1))
    for (const { label, start, end, height } of peaks) {
      const near = Math.max(0, 1 - Math.abs(time - (start + end) / 2 - 0.2) / 0.3)
      scores[label] = Math.max(scores[label], height * Math.min(1, 2 * near) - random.uniform(0, 0.1))
    }
    return { time, scores }
  })
  return { classes, scored, words, others: [], seconds: 120 }
}

describe('tuneDetector', () => {
  it('judges as the detector that ships', () => {
    const one = recording(1)
    for (const smoothingSeconds of [0, 0.2]) {
      for (const refractorySeconds of [0.5, 1]) {
        const settings = { smoothingSeconds, refractorySeconds, ignoredClasses }
        const curve = tradeOff(one, settings)
        expect(curve.map(({ threshold }) => threshold)).toEqual(thresholds)
        for (const point of curve.filter((_, i) => i % 7 === 0)) {
          const { threshold, ...scores } = point
          const detector = new Detector(classes, { ...settings, threshold })
          const detections = one.scored.flatMap((each) => detector.push(each).detection ?? [])
          expect(scores).toEqual(scoreDetections(one, detections))
          expect(scoreSettings(one, { ...settings, threshold })).toMatchObject(scores)
        }
      }
    }
  })

  it('hears the most words within the wanted rate', () => {
    for (const wanted of [30, 120]) {
      const one = recording(2)
      const { settings, scores } = tuneDetector(one, wanted, ignoredClasses)
      expect(scores.falseAcceptsPerHour).toBeLessThanOrEqual(wanted)
      expect(scores.recall).toBeGreaterThan(0.15)
      expect(scoreSettings(one, settings)).toMatchObject(scores)
      for (const smoothingSeconds of [0, 0.1, 0.2, 0.3, 0.5]) {
        for (const refractorySeconds of [0.5, 1]) {
          const within = tradeOff(one, { smoothingSeconds, refractorySeconds, ignoredClasses }).filter(
            (point) => point.falseAcceptsPerHour <= wanted,
          )
          for (const point of within) expect(point.hits).toBeLessThanOrEqual(scores.hits)
        }
      }
    }
    expect(tuneDetector(recording(2), 120, ignoredClasses).scores.hits).toBeGreaterThan(
      tuneDetector(recording(2), 30, ignoredClasses).scores.hits,
    )
  })

  it('takes the fewest false accepts where none of the thresholds keeps the wanted rate', () => {
    // a class that is always sure of itself: every end of it is a false accept
    const scored = Array.from({ length: 400 }, (_, i) => ({
      time: (i + 1) * 0.5,
      scores: Float32Array.of(i % 4 < 2 ? 1 : 0, 0, i % 4 < 2 ? 0 : 1),
    }))
    const one = { classes, scored, words: [{ label: 0, clip: '', start: 0, end: 0.5 }], others: [], seconds: 200 }
    const { scores } = tuneDetector(one, 1, ignoredClasses)
    expect(scores.falseAcceptsPerHour).toBeGreaterThan(1)
  })
})
