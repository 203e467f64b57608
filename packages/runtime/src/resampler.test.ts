// The resampler against the windowed sinc summed directly in float64, by tones, and cut into blocks at random.

import { describe, expect, it } from 'vitest'
import { resample, Resampler } from './resampler.ts'
import { seededDraw } from './testing/random-model.ts'

const tone = (frequency: number, rate: number, seconds = 1) =>
  Float32Array.from({ length: Math.round(rate * seconds) }, (_, i) => Math.sin((2 * Math.PI * frequency * i) / rate + 0.3))

const noise = (length: number, seed: number) => {
  const draw = seededDraw(seed)
  return Float32Array.from({ length }, () => draw(65536) / 32768 - 1)
}

/** Largest difference between a signal and a tone, away from the edges, where the filter sees beyond the recording. */
function distance(samples: Float32Array, frequency: number, rate: number, amplitude: number): number {
  const expected = tone(frequency, rate, samples.length / rate)
  let worst = 0
  for (let i = 800; i < samples.length - 800; i++) worst = Math.max(worst, Math.abs(samples[i] - amplitude * expected[i]))
  return worst
}

/** Every output as a sum over the recording of sinc times Kaiser window at their distance, the weights adding up to one. */
function direct(samples: Float32Array, from: number, to: number): Float64Array {
  const bessel0 = (x: number): number => {
    let [sum, term] = [1, 1]
    for (let k = 1; k < 60; k++) sum += term *= (x / 2 / k) ** 2
    return sum
  }
  const cutoff = 0.94 * Math.min(1, to / from)
  const half = Math.ceil(32 / cutoff)
  return Float64Array.from({ length: Math.max(1, Math.round((samples.length * to) / from)) }, (_, i) => {
    const at = (i * from) / to
    let [sum, weights] = [0, 0]
    for (let n = Math.floor(at) - half + 1; n <= Math.floor(at) + half; n++) {
      const x = n - at
      if (Math.abs(x) >= half) continue
      const sinc = x === 0 ? 1 : Math.sin(Math.PI * cutoff * x) / (Math.PI * cutoff * x)
      const weight = sinc * bessel0(8.6 * Math.sqrt(1 - (x / half) ** 2))
      weights += weight
      sum += weight * (samples[n] ?? 0)
    }
    return sum / weights
  })
}

describe('resample', () => {
  const rates = [8000, 11025, 11127, 22050, 24000, 44100, 48000, 96000, 192_000]
  it.each(rates)('keeps tones below both Nyquist frequencies, in amplitude, frequency and phase, from %i Hz', (rate) => {
    for (const frequency of [100, 1000, 0.4 * Math.min(rate, 16000)]) {
      const out = resample(tone(frequency, rate), rate, 16000)
      expect(out.length).toBe(16000)
      expect(distance(out, frequency, 16000, 1)).toBeLessThan(1e-3)
    }
  })

  it.each([22050, 22051, 44100, 48000, 96000])('removes tones above 8 kHz from %i Hz', (rate) => {
    for (const frequency of [8400, 9500, 10900]) {
      expect(distance(resample(tone(frequency, rate), rate, 16000), frequency, 16000, 0)).toBeLessThan(2e-4)
    }
  })

  it.each([8000, 11025])('makes no images above the old Nyquist frequency from %i Hz', (rate) => {
    const out = resample(tone(0.45 * rate, rate), rate, 16000)
    let image = 0
    for (let i = 800; i < out.length - 800; i++) image += out[i] * Math.cos((2 * Math.PI * (0.55 * rate) * i) / 16000)
    expect(Math.abs(image) / out.length).toBeLessThan(1e-3)
  })

  it('has the length that the rates say and keeps a constant', () => {
    const draw = seededDraw(1)
    for (let round = 0; round < 100; round++) {
      const rate = 4000 + draw(60000)
      const length = 1 + draw(500)
      expect(resample(new Float32Array(length), rate, 16000).length).toBe(Math.max(1, Math.round((length * 16000) / rate)))
    }
    const flat = resample(new Float32Array(4000).fill(0.5), 44100, 16000)
    for (const v of flat.subarray(200, -200)) expect(v).toBeCloseTo(0.5, 6)
  })

  it('leaves a recording at the target rate untouched', () => {
    const samples = tone(440, 16000)
    expect(resample(samples, 16000, 16000)).toBe(samples)
  })

  it.each([
    [8000, 16000, 1e-6],
    [44100, 16000, 1e-6],
    [48000, 16000, 1e-6],
    [192_000, 8000, 1e-6],
    [16000, 44100, 1e-6],
    // no simple ratio: filters between the designed ones are interpolated
    [22051, 16000, 1e-4],
    [47999, 16000, 1e-4],
  ])('is the windowed sinc summed directly, from %i to %i Hz', (from, to, tolerance) => {
    const samples = noise(1500, from)
    const expected = direct(samples, from, to)
    const out = resample(samples, from, to)
    expect(out.length).toBe(expected.length)
    for (let i = 0; i < out.length; i++) expect(Math.abs(out[i] - expected[i]), `sample ${i}`).toBeLessThan(tolerance)
  })
})

describe('Resampler', () => {
  it.each([8000, 16000, 22051, 44100, 48000, 192_000])('gives the same bits however a stream at %i Hz is cut', (rate) => {
    const samples = noise(Math.round(rate * 0.3) + 7, rate)
    const resampler = new Resampler(rate, 16000)
    const whole = [...resampler.push(samples), ...resampler.finish()]
    expect(whole.length).toBe(Math.round((samples.length * 16000) / rate))
    const draw = seededDraw(rate)
    for (const largest of [1, 128, 5000]) {
      const cut = new Resampler(rate, 16000)
      const out: number[] = []
      for (let at = 0; at < samples.length;) {
        const end = at + 1 + draw(largest)
        out.push(...cut.push(samples.subarray(at, end)))
        at = end
      }
      out.push(...cut.finish())
      expect(out).toEqual(whole)
    }
  })

  it('is behind its input by half a filter, no more', () => {
    const resampler = new Resampler(48000, 16000)
    const out = resampler.push(noise(48000, 3))
    expect(out.length).toBeGreaterThan(16000 - 40)
    expect(out.length).toBeLessThan(16000)
  })

  it('takes what is no number for silence and the infinite for full scale', () => {
    const samples = noise(3000, 5)
    const clean = samples.slice()
    for (const [at, bad, stands] of [
      [0, NaN, 0],
      [700, Infinity, 1],
      [1500, -Infinity, -1],
      [2999, NaN, 0],
    ] as const) {
      samples[at] = bad
      clean[at] = stands
    }
    expect(resample(samples, 44100, 16000)).toEqual(resample(clean, 44100, 16000))
    expect(resample(new Float32Array(300).fill(NaN), 44100, 16000).every((sample) => sample === 0)).toBe(true)
  })

  it('ends an empty stream without a sample, and refuses impossible rates', () => {
    expect(new Resampler(44100, 16000).finish().length).toBe(0)
    for (const rate of [0, -8000, 44100.5, NaN, Infinity]) {
      expect(() => new Resampler(rate, 16000)).toThrow(`sample rate ${rate}: must be a whole number of hertz above zero`)
    }
  })
})
