import { expect, it } from 'vitest'
import { scoreDetections, toleranceSeconds } from './scoring.ts'

const words = [
  { label: 0, start: 1, end: 1.5 },
  { label: 1, start: 2, end: 2.5 },
  { label: 0, start: 10, end: 10.5 },
]

it('counts a detection for its word, once, from its start to the tolerance after its end', () => {
  const detections = [
    { index: 1, time: 1.2 }, // another word
    { index: 0, time: 1.7 }, // hit, 0.2 s late
    { index: 0, time: 1.9 }, // the same again
    { index: 1, time: 2.4 }, // hit, 0.1 s early
    { index: 1, time: 6 }, // nothing there
    { index: 0, time: 9.9 }, // too soon
    { index: 0, time: 10.5 + toleranceSeconds + 0.01 }, // too late
  ]
  expect(scoreDetections(words, detections, 1800)).toEqual({
    recall: 2 / 3,
    hits: 2,
    words: 3,
    falseAccepts: 5,
    falseAcceptsPerHour: 10,
    latency: { median: expect.closeTo(0.2, 9), ninetieth: expect.closeTo(0.2, 9) },
  })
})

it('gives each of two words of a kind its own detection', () => {
  const twice = [
    { label: 0, start: 1, end: 1.4 },
    { label: 0, start: 1.8, end: 2.2 },
  ]
  const detections = [
    { index: 0, time: 1.9 },
    { index: 0, time: 2.1 },
  ]
  expect(scoreDetections(twice, detections, 60).hits).toBe(2)
})

it('has no latency where nothing was heard, and no recall where nothing was said', () => {
  const silent = { recall: 0, hits: 0, falseAccepts: 0, falseAcceptsPerHour: 0 }
  expect(scoreDetections(words, [], 60)).toEqual({ ...silent, words: 3 })
  expect(scoreDetections([], [{ index: 0, time: 1 }], 3600)).toEqual({ ...silent, words: 0, falseAccepts: 1, falseAcceptsPerHour: 1 })
})
