// The sliding window against the whole window: every score has the bits of the model run on the last samples of the stream.

import { describe, expect, it } from 'vitest'
import { hopSamplesOf, SlidingWindowScorer } from './audio-window.ts'
import { encodeModel, load, type IntegerModel, type Model } from './index.ts'
import { randomModel, seededDraw } from './testing/random-model.ts'

const noise = (length: number, seed: number) => {
  const draw = seededDraw(seed)
  return Int16Array.from({ length }, () => draw(65536) - 32768)
}

/** Random models of one kind of front end; of those for audio, such as answer differently to different windows. */
function models(kind: IntegerModel['frontEnd']['kind'], count: number): Model[] {
  const found: Model[] = []
  for (let seed = 0; found.length < count; seed++) {
    const integerModel = randomModel(seededDraw(seed))
    if (integerModel.frontEnd.kind !== kind) continue
    // so small a scale that every logit shows in the scores
    const tensors = integerModel.tensors.map((tensor) => ({ ...tensor, scale: 2 ** -7 }))
    const model = load(encodeModel({ ...integerModel, tensors }))
    const { frontEnd } = model
    const answers = [1, 2, 3, 4].map((clip) =>
      frontEnd.kind === 'image' ? clip : model.predict(noise(frontEnd.samples, clip)).scores.join(),
    )
    if (new Set(answers).size > 2) found.push(model)
  }
  return found
}

describe('SlidingWindowScorer', () => {
  it.each(['raw', 'mfcc', 'logmel'] as const)('gives the scores of the whole window at every hop: %s', (kind) => {
    const answers = new Set<string>()
    for (const [seed, model] of models(kind, 10).entries()) {
      if (model.frontEnd.kind === 'image') throw new Error('no audio')
      const { samples, sampleRate } = model.frontEnd
      const draw = seededDraw(seed)
      // shorter and longer than the window, in frames or not
      for (const hopSeconds of [0.001, 0.01 + draw(100) / 5000, (1.7 * samples) / sampleRate]) {
        const hop = hopSamplesOf(model, hopSeconds)
        const stream = noise(Math.min(2 * samples + 3 * hop + draw(50), 60 * hop), seed)
        const scorer = new SlidingWindowScorer(model, hopSeconds)
        const scored = []
        for (let at = 0; at < stream.length;) {
          const end = at + 1 + draw(2 * hop)
          scored.push(...scorer.push(stream.subarray(at, end)))
          at = end
        }
        expect(scored.length).toBe(Math.floor(stream.length / hop))
        for (const [i, { time, scores }] of scored.entries()) {
          const end = (i + 1) * hop
          expect(time).toBe(end / sampleRate)
          const window = new Int16Array(samples)
          const heard = stream.subarray(Math.max(0, end - samples), end)
          window.set(heard, samples - heard.length)
          const expected = model.predict(window)
          expect(scores, `${kind} ${seed}, hop ${hop}, window ${i}`).toEqual(expected.scores)
          answers.add(expected.scores.join())
        }
      }
    }
    expect(answers.size).toBeGreaterThan(40)
  })

  it('rounds a hop to whole frames, and refuses images and impossible hops', () => {
    const [mfcc] = models('mfcc', 1)
    const { frontEnd } = mfcc
    if (frontEnd.kind !== 'mfcc') throw new Error('no mfcc')
    expect(hopSamplesOf(mfcc, (2.4 * frontEnd.hopSamples) / frontEnd.sampleRate)).toBe(2 * frontEnd.hopSamples)
    expect(hopSamplesOf(mfcc, 1e-9)).toBe(frontEnd.hopSamples)
    for (const hop of [0, -1, NaN, Infinity])
      expect(() => new SlidingWindowScorer(mfcc, hop)).toThrow(`hopSeconds ${hop}: must be above zero`)
    expect(() => new SlidingWindowScorer(models('image', 1)[0])).toThrow('takes images, not audio')
  })
})
