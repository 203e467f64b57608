// Listening in Node: events against the scorer and the detector run by hand on the whole recording, and every way a stream can be bad.

import { beforeAll, describe, expect, it } from 'vitest'
import { SlidingWindowScorer } from './audio-window.ts'
import { Detector } from './detector.ts'
import { computeFeatures, encodeModel, isStreamable, load, type Model, resample, toInt16 } from './index.ts'
import type { Listener } from './listener.ts'
import { quantizeFeatures } from './reference.ts'
import { withBalancedClasses } from './testing/balanced-model.ts'
import { randomModel, seededDraw } from './testing/random-model.ts'

let model: Model
beforeAll(() => {
  for (let seed = 0; !model; seed++) {
    const drawn = randomModel(seededDraw(seed))
    const { frontEnd, tensors, layers } = drawn
    if (frontEnd.kind !== 'mfcc' || 'logOffset' in layers.at(-1)! || isStreamable(load(encodeModel(drawn)))) continue
    const clips = Array.from({ length: 9 }, (_, clip) => toInt16(noise(frontEnd.samples, clip)))
    const inputs = clips.map((pcm) => quantizeFeatures(tensors[0], computeFeatures(frontEnd, pcm)))
    const candidate = load(encodeModel(withBalancedClasses(drawn, inputs)))
    if (new Set(clips.map((pcm) => candidate.predict(pcm).label)).size > 2) model = candidate
  }
})

const settings = { smoothingSeconds: 0.1, threshold: 0.3, refractorySeconds: 0.2 }

const noise = (length: number, seed: number) => {
  const draw = seededDraw(seed)
  let level = 0
  return Float32Array.from({ length }, (_, i) => {
    if (i % 4000 === 0) level = 2 ** -draw(12)
    return level * (draw(65536) / 32768 - 1)
  })
}

/** The stream's events in the order they came. */
function collect(listener: Listener): [string, unknown][] {
  const events: [string, unknown][] = []
  listener.addEventListener('scores', ({ detail }) => events.push(['scores', detail]))
  listener.addEventListener('detection', ({ detail }) => events.push(['detection', detail]))
  return events
}

/** What should be heard of a recording at 16 kHz, the end's silence included. */
function expected(recording: Int16Array): [string, unknown][] {
  const window = model.frontEnd.kind === 'mfcc' ? model.frontEnd.samples : 0
  const audio = new Int16Array(recording.length + Math.ceil(window / 2))
  audio.set(recording)
  const detector = new Detector(model.classes, settings)
  return new SlidingWindowScorer(model).push(audio).flatMap((scores) => {
    const judged = detector.push(scores)
    const { detection } = judged
    return [
      ['scores', { ...scores, ...judged }] as [string, unknown],
      ...(detection ? [['detection', detection] as [string, unknown]] : []),
    ]
  })
}

const cut = function* <Samples extends Float32Array | Int16Array>(samples: Samples, largest: number): Generator<Samples> {
  const draw = seededDraw(largest)
  for (let at = 0; at < samples.length;) {
    const end = at + 1 + draw(largest)
    yield samples.subarray(at, end) as Samples
    at = end
  }
}

describe('model.listen', () => {
  it('gives scores and detections of blocks of any length, floats or 16 bits', async () => {
    const recording = noise(48000, 7)
    const pcm = toInt16(recording)
    const whole = expected(pcm)
    expect(whole.filter(([type]) => type === 'detection').length).toBeGreaterThan(2)
    for (const blocks of [cut(recording, 300), cut(pcm, 5000), [recording], [pcm]]) {
      const listener = model.listen(blocks, { settings })
      const events = collect(listener)
      await listener.done
      expect(events).toEqual(whole)
    }
  })

  it('resamples a stream to the bits that a recording gives', async () => {
    const recording = noise(100_000, 8)
    const whole = expected(toInt16(resample(recording, 44100, 16000)))
    const listener = model.listen(cut(recording, 999), { settings, sampleRate: 44100 })
    const heard: number[] = []
    listener.addEventListener('audio', ({ detail }) => heard.push(...detail))
    const events = collect(listener)
    await listener.done
    expect(events).toEqual(whole)
    expect(Int16Array.from(heard)).toEqual(toInt16(resample(recording, 44100, 16000)))
  })

  it.each([
    ['nothing', new Float32Array(0)],
    ['one sample', Float32Array.of(0.5)],
    ['no numbers', new Float32Array(20000).fill(NaN)],
    ['infinite numbers', new Float32Array(20000).fill(-Infinity)],
    ['numbers far too loud', noise(20000, 1).map((sample) => sample * 1e38)],
    ['silence', new Float32Array(20000)],
  ])('survives %s', async (_, recording) => {
    for (const sampleRate of [16000, 48000]) {
      const listener = model.listen([recording], { sampleRate })
      const events = collect(listener)
      await listener.done
      for (const [, detail] of events) {
        if (typeof detail === 'object' && detail && 'smoothed' in detail) {
          const sum = (detail.smoothed as Float32Array).reduce((a, b) => a + b)
          expect(sum).toBeCloseTo(1, 4)
        }
      }
    }
  })

  it('hears no numbers as silence', async () => {
    const run = async (value: number) => {
      const listener = model.listen([new Float32Array(20000).fill(value)], { sampleRate: 44100 })
      const events = collect(listener)
      await listener.done
      return events
    }
    expect(await run(NaN)).toEqual(await run(0))
  })

  it('hears an hour in one block, and lets others have their turn', async () => {
    const frontEnd = model.frontEnd.kind === 'mfcc' ? model.frontEnd : undefined
    const hour = new Int16Array(3600 * 16000)
    hour.set(toInt16(noise(16000, 2)), hour.length - 16000)
    let turns = 0
    const turn = (): void => void (turns++, (timer = setImmediate(turn)))
    let timer = setImmediate(turn)
    const listener = model.listen([hour], { hopSeconds: 1 })
    const times: number[] = []
    listener.addEventListener('scores', ({ detail }) => times.push(detail.time))
    await listener.done
    clearImmediate(timer)
    expect(times.length).toBe(Math.floor((hour.length + Math.ceil(frontEnd!.samples / 2)) / (times[0] * 16000)))
    expect(turns).toBeGreaterThan(1000)
  })

  it('stops: no event follows, and the source is let go', async () => {
    let isClosed = false
    const endless = async function* () {
      try {
        for (let seed = 0; ; seed++) yield noise(4000, seed)
      } finally {
        isClosed = true
      }
    }
    const source = endless()
    const listener = model.listen(source)
    const events = collect(listener)
    await new Promise<void>((resolve) => listener.addEventListener('scores', () => resolve(), { once: true }))
    await listener.stop()
    const count = events.length
    await listener.stop()
    expect((await source.next()).done || isClosed).toBe(true)
    expect(events.length).toBe(count)
  })

  it('takes settings on the way', async () => {
    const recording = noise(48000, 7)
    const run = async (ignoredClasses: readonly string[]) => {
      const listener = model.listen(cut(recording, 4000), { settings: { ...settings, ignoredClasses: model.classes } })
      const events = collect(listener)
      await listener.configure({ ignoredClasses })
      await listener.done
      return events.filter(([type]) => type === 'detection').length
    }
    expect(await run(model.classes)).toBe(0)
    expect(await run([])).toBeGreaterThan(2)
    const listener = model.listen([])
    await expect(listener.configure({ threshold: 7 })).rejects.toThrow('threshold 7: must be above 0, at most 1')
  })

  it.each([
    ['a bad setting', { settings: { threshold: 0 } }, 'threshold 0: must be above 0, at most 1'],
    ['a bad rate', { sampleRate: 44100.5 }, 'sample rate 44100.5: must be a whole number of hertz above zero'],
    ['a bad hop', { hopSeconds: -1 }, 'hopSeconds -1: must be above zero, at most 3600'],
  ])('fails in one line on %s', async (_, options, message) => {
    await expect(model.listen([new Int16Array(10)], options).done).rejects.toThrow(message)
  })

  it('fails on a block that is no audio, on a source that fails, and on a model of images', async () => {
    await expect(model.listen(['audio'] as unknown as Int16Array[]).done).rejects.toThrow(
      'listen: a block is no Float32Array or Int16Array',
    )
    const broken = async function* () {
      yield new Int16Array(100)
      throw new Error('the cable came off')
    }
    await expect(model.listen(broken()).done).rejects.toThrow('the cable came off')
    let images: Model | undefined
    for (let seed = 0; !images; seed++) {
      const candidate = randomModel(seededDraw(seed))
      if (candidate.frontEnd.kind === 'image') images = load(encodeModel(candidate))
    }
    await expect(images.listen([new Int16Array(10)]).done).rejects.toThrow('takes images, not audio')
  })
})
