// The detector against a reading of its rules from the start of the stream at every score, and each rule by an example.

import { describe, expect, it } from 'vitest'
import { defaultDetectorSettings, Detector, type DetectorSettings, type Detection } from './detector.ts'
import type { TimedScores } from './audio-window.ts'
import { seededDraw, type Draw } from './testing/random-model.ts'

const classes = ['yes', 'no', 'go', '_unknown_', '_silence_']

/** Scores that stay with one class for a while, at uneven times. */
function randomScores(draw: Draw, count: number): TimedScores[] {
  let [time, loudest] = [0, 0]
  return Array.from({ length: count }, () => {
    if (draw(5) === 0) loudest = draw(classes.length)
    time += (1 + draw(4)) / 20
    const weights = classes.map((_, index) => (index === loudest ? 100 + draw(900) : draw(300)))
    const sum = weights.reduce((a, b) => a + b)
    return { time, scores: Float32Array.from(weights, (weight) => weight / sum) }
  })
}

/** The rules as docs/web.md states them. */
function reference(scored: readonly TimedScores[], settings: DetectorSettings): { detections: Detection[]; smoothed: number[][] } {
  const { smoothingSeconds, threshold, refractorySeconds, ignoredClasses } = settings
  const limits = classes.map((label) => (typeof threshold === 'number' ? threshold : (threshold[label] ?? 0.6)))
  const smoothed = scored.map(({ time }, now) => {
    const window = scored.slice(0, now + 1).filter((other, i) => i === now || time - other.time < smoothingSeconds - 1e-6)
    return classes.map((_, c) => Math.fround(window.reduce((sum, { scores }) => sum + scores[c], 0) / window.length))
  })
  const detections: Detection[] = []
  for (const [now, { time }] of scored.entries()) {
    const ranked = classes
      .map((label, index) => ({ label, index, score: smoothed[now][index], time }))
      .filter(({ label, index, score }) => !ignoredClasses.includes(label) && score >= limits[index])
      .toSorted((a, b) => b.score - a.score || a.index - b.index)
    const last = detections.at(-1)
    if (ranked.length === 0) continue
    if (last && time - last.time < refractorySeconds - 1e-6) continue
    const since = last
      ? smoothed.slice(
          scored.findIndex((other) => other.time === last.time),
          now + 1,
        )
      : []
    const stayedUp = last?.index === ranked[0].index && since.every((scores) => scores[last.index] >= limits[last.index])
    if (!stayedUp) detections.push(ranked[0])
  }
  return { detections, smoothed }
}

const run = (scored: readonly TimedScores[], settings?: Partial<DetectorSettings>) => {
  const detector = new Detector(classes, settings)
  return scored.map((scores) => detector.push(scores))
}
const detectionsOf = (scored: readonly TimedScores[], settings?: Partial<DetectorSettings>) =>
  run(scored, settings).flatMap(({ detection }) => detection ?? [])

/** One score a tenth of a second, given as the score of `yes`. */
const yes = (...scores: number[]): TimedScores[] =>
  scores.map((score, i) => ({ time: (i + 1) / 10, scores: Float32Array.of(score, 0, 0, 1 - score, 0) }))

describe('Detector', () => {
  it('follows the rules read from the start of the stream', () => {
    let total = 0
    for (let seed = 0; seed < 60; seed++) {
      const draw = seededDraw(seed)
      const scored = randomScores(draw, 120)
      const threshold = draw(2) ? 0.3 + draw(50) / 100 : { yes: 0.35, no: 0.5 }
      const settings = { smoothingSeconds: draw(8) / 10, threshold, refractorySeconds: draw(12) / 10, ignoredClasses: ['_silence_', 'go'] }
      const expected = reference(scored, settings)
      const judged = run(scored, settings)
      expect(judged.flatMap(({ detection }) => detection ?? [])).toEqual(expected.detections)
      expect(judged.map(({ smoothed }) => [...smoothed])).toEqual(expected.smoothed)
      total += expected.detections.length
    }
    expect(total).toBeGreaterThan(300)
  })

  it('detects a word once while its score stays up, and again after it fell', () => {
    const settings = { smoothingSeconds: 0, refractorySeconds: 0.2 }
    expect(detectionsOf(yes(0.1, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9), settings).map(({ time }) => time)).toEqual([0.2])
    expect(detectionsOf(yes(0.1, 0.9, 0.9, 0.3, 0.9, 0.9), settings).map(({ time }) => time)).toEqual([0.2, 0.5])
  })

  it('detects nothing within the refractory time, and what is still up when it ends', () => {
    expect(detectionsOf(yes(0.9, 0.1, 0.9, 0.9, 0.9, 0.9, 0.9), { smoothingSeconds: 0, refractorySeconds: 0.5 })).toMatchObject([
      { label: 'yes', index: 0, time: 0.1 },
      { label: 'yes', index: 0, time: 0.6 },
    ])
  })

  it('averages: one loud score is no word', () => {
    expect(detectionsOf(yes(0.1, 1, 0.1, 0.1))).toEqual([])
    // three tenths of a second hold three scores, whatever the times' last bits are
    expect(run(yes(0.3, 0.6, 0.9, 0.6)).map(({ smoothed }) => Number(smoothed[0].toFixed(4)))).toEqual([0.3, 0.45, 0.6, 0.7])
  })

  it('never detects an ignored class, and takes settings on the way', () => {
    const silence = Array.from({ length: 20 }, (_, i) => ({ time: i / 10, scores: Float32Array.of(0, 0, 0, 0.4, 0.6) }))
    expect(detectionsOf(silence)).toEqual([])
    expect(detectionsOf(silence, { ignoredClasses: [] })).toMatchObject([{ label: '_silence_' }])
    const detector = new Detector(classes, { smoothingSeconds: 0, threshold: 1 })
    const [first, second] = yes(0.5, 0.5)
    expect(detector.push(first).detection).toBeUndefined()
    detector.configure({ threshold: 0.4 })
    expect(detector.push(second).detection).toMatchObject({ label: 'yes' })
  })

  it.each([
    [{ smoothingSeconds: -1 }, 'smoothingSeconds -1: must be a number of seconds, zero or more'],
    [{ refractorySeconds: NaN }, 'refractorySeconds NaN: must be a number of seconds, zero or more'],
    [{ threshold: 0 }, 'threshold 0: must be above 0, at most 1'],
    [{ threshold: { yes: 2 } }, 'threshold of yes 2: must be above 0, at most 1'],
    [{ threshold: 'high' as unknown as number }, 'threshold high: must be above 0, at most 1'],
    [{ ignoredClasses: 'yes' as unknown as string[] }, 'ignoredClasses: must be a list of class names'],
  ])('refuses %o', (settings, message) => {
    expect(() => new Detector(classes, settings)).toThrow(message)
  })

  it('has defaults that it accepts', () => {
    expect(() => new Detector(classes, defaultDetectorSettings)).not.toThrow()
  })
})
