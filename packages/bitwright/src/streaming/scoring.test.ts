import { expect, it } from 'vitest'
import { scoreDetections, toleranceSeconds } from './scoring.ts'

const words = [
  { label: 0, clip: 'a', start: 1, end: 1.5 },
  { label: 1, clip: 'b', start: 2, end: 2.5 },
  { label: 0, clip: 'c', start: 10, end: 10.5 },
]

const others = [
  { label: 2, clip: 'd', start: 5, end: 5.5 },
  { label: 2, clip: 'd', start: 12, end: 12.5 },
]

it('counts a detection for its word, once, from its start to the tolerance after its end', () => {
  const detections = [
    { index: 1, time: 1.2 }, // another word
    { index: 0, time: 1.7 }, // hit, 0.2 s late
    { index: 0, time: 1.9 }, // the same again
    { index: 1, time: 2.4 }, // hit, 0.1 s early
    { index: 1, time: 6 }, // another word
    { index: 0, time: 9.9 }, // too soon
    { index: 0, time: 10.5 + toleranceSeconds + 0.01 }, // too late
    { index: 1, time: 12.6 }, // the clip that was mistaken at 6
  ]
  expect(scoreDetections({ words, others, seconds: 1800 }, detections)).toEqual({
    recall: 2 / 3,
    hits: 2,
    words: 3,
    falseAccepts: 6,
    falseAcceptsOn: { keywords: 2, otherWords: 2, otherClips: 1, noise: 2 },
    falseAcceptsPerHour: 12,
    latency: { median: expect.closeTo(0.2, 9), ninetieth: expect.closeTo(0.2, 9) },
  })
})

it('gives each of two words of a kind its own detection', () => {
  const twice = [
    { label: 0, clip: 'a', start: 1, end: 1.4 },
    { label: 0, clip: 'a', start: 1.8, end: 2.2 },
  ]
  const detections = [
    { index: 0, time: 1.9 },
    { index: 0, time: 2.1 },
  ]
  expect(scoreDetections({ words: twice, others: [], seconds: 60 }, detections).hits).toBe(2)
})

it('has no latency where nothing was heard, and no recall where nothing was said', () => {
  const falseAcceptsOn = { keywords: 0, otherWords: 0, otherClips: 0, noise: 0 }
  const silent = { recall: 0, hits: 0, falseAccepts: 0, falseAcceptsOn, falseAcceptsPerHour: 0 }
  expect(scoreDetections({ words, others, seconds: 60 }, [])).toEqual({ ...silent, words: 3 })
  const ghost = scoreDetections({ words: [], others: [], seconds: 3600 }, [{ index: 0, time: 1 }])
  const noise = { ...falseAcceptsOn, noise: 1 }
  expect(ghost).toEqual({ ...silent, words: 0, falseAccepts: 1, falseAcceptsOn: noise, falseAcceptsPerHour: 1 })
})
