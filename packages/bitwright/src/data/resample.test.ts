import { describe, expect, it } from 'vitest'
import { Random } from '@bitwright/engine'
import { resample } from './resample.ts'

const tone = (frequency: number, rate: number, seconds = 1) =>
  Float32Array.from({ length: Math.round(rate * seconds) }, (_, i) => Math.sin((2 * Math.PI * frequency * i) / rate + 0.3))

/** Largest difference between a signal and a tone, away from the edges, where the filter sees beyond the recording. */
function distance(samples: Float32Array, frequency: number, rate: number, amplitude: number): number {
  const expected = tone(frequency, rate, samples.length / rate)
  let worst = 0
  for (let i = 800; i < samples.length - 800; i++) worst = Math.max(worst, Math.abs(samples[i] - amplitude * expected[i]))
  return worst
}

describe('resample', () => {
  const rates = [8000, 11025, 11127, 22050, 24000, 44100, 48000, 96000]
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
    const random = new Random(1, 'lengths')
    for (let round = 0; round < 100; round++) {
      const rate = 4000 + random.integer(60000)
      const length = 1 + random.integer(500)
      expect(resample(new Float32Array(length), rate, 16000).length).toBe(Math.max(1, Math.round((length * 16000) / rate)))
    }
    const flat = resample(new Float32Array(4000).fill(0.5), 44100, 16000)
    for (const v of flat.subarray(200, -200)) expect(v).toBeCloseTo(0.5, 6)
  })

  it('leaves a recording at the target rate untouched', () => {
    const samples = tone(440, 16000)
    expect(resample(samples, 16000, 16000)).toBe(samples)
  })
})
