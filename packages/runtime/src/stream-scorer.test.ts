// Scores of live audio by streaming: those of a window that slides over the same silence and sound, at the same times.

import { expect, test } from 'vitest'
import { encodeModel, load } from './index.ts'
import { SlidingWindowScorer } from './audio-window.ts'
import { createScorer, isStreamable, StreamScorer } from './stream-scorer.ts'
import { streamPlan } from './stream-plan.ts'
import { randomModel, seededDraw } from './testing/random-model.ts'

test('a streaming model scores as its window does, silence before the stream included', () => {
  let compared = 0
  for (let seed = 0; seed < 60; seed++) {
    const draw = seededDraw(9000 + seed)
    const model = load(encodeModel(randomModel(draw, true)))
    const plan = streamPlan(model.integerModel)
    if (model.frontEnd.kind === 'image' || 'reason' in plan) continue
    const { samples, sampleRate } = model.frontEnd
    const { hopSamples, firstSamples } = plan
    const every = 1 + draw(3)
    const audio = Int16Array.from({ length: 10 * hopSamples + draw(hopSamples) }, () => draw(4000) - 2000)
    const scorer = new StreamScorer(model, (every * hopSamples) / sampleRate)
    const scored = [0, 1, 2].flatMap((third) =>
      scorer.push(audio.subarray(Math.floor((third * audio.length) / 3), Math.floor(((third + 1) * audio.length) / 3))),
    )
    // the window that ends, as far as any layer looks, where the hop does
    const before = Math.max(0, firstSamples - hopSamples)
    const padded = new Int16Array(before + audio.length + samples)
    padded.set(audio, before)
    const wanted = []
    for (let hop = every - 1; hop * hopSamples + firstSamples <= before + audio.length; hop += every) {
      const { scores } = model.predict(padded.subarray(hop * hopSamples, hop * hopSamples + samples))
      wanted.push({ time: (firstSamples - before + hop * hopSamples) / sampleRate, scores })
    }
    expect([seed, ...scored]).toEqual([seed, ...wanted])
    compared += scored.length
  }
  expect(compared).toBeGreaterThan(150)
})

test('other models hear a sliding window', () => {
  const models = Array.from({ length: 30 }, (_, seed) => load(encodeModel(randomModel(seededDraw(seed)))))
  const sound = models.filter(({ frontEnd }) => frontEnd.kind !== 'image')
  for (const model of sound) expect(createScorer(model)).toBeInstanceOf(isStreamable(model) ? StreamScorer : SlidingWindowScorer)
  expect(sound.some((model) => !isStreamable(model))).toBe(true)
})
