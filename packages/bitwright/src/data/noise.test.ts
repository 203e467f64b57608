import { describe, expect, it } from 'vitest'
import { Random } from '@bitwright/engine'
import { hum, mixBabble, pinkNoise, whiteNoise } from './noise.ts'

const rate = 16000

/** Mean power per bin around a frequency, from a plain discrete Fourier sum over segments of 2048. */
function density(samples: Float32Array, frequency: number): number {
  let power = 0
  let bins = 0
  for (let k = Math.round((frequency * 2048) / rate) - 4; k <= Math.round((frequency * 2048) / rate) + 4; k++) {
    for (let start = 0; start + 2048 <= samples.length; start += 2048) {
      let re = 0
      let im = 0
      for (let i = 0; i < 2048; i++) {
        re += samples[start + i] * Math.cos((2 * Math.PI * k * i) / 2048)
        im += samples[start + i] * Math.sin((2 * Math.PI * k * i) / 2048)
      }
      power += re * re + im * im
      bins++
    }
  }
  return power / bins
}

const decibels = (a: number, b: number) => 10 * Math.log10(a / b)
const rms = (samples: Float32Array) => Math.sqrt(samples.reduce((sum, v) => sum + v * v, 0) / samples.length)

describe('noise', () => {
  const length = 3 * rate

  it('is flat when white and falls by three decibels an octave when pink', () => {
    const white = whiteNoise(length, new Random(1, 'white'))
    const pink = pinkNoise(length, new Random(1, 'pink'))
    for (const frequency of [400, 1600, 6400]) expect(Math.abs(decibels(density(white, frequency), density(white, 3200)))).toBeLessThan(1.5)
    expect(Math.abs(decibels(density(pink, 400), density(pink, 1600)) - 6)).toBeLessThan(1.5)
    expect(Math.abs(decibels(density(pink, 1600), density(pink, 6400)) - 6)).toBeLessThan(1.5)
  })

  it('hums at the mains frequency', () => {
    const samples = hum(length, rate, new Random(1, 'hum'))
    expect(decibels(density(samples, 50), density(samples, 3000))).toBeGreaterThan(20)
  })

  it('has the level it says, with babble made of the speech alone', () => {
    const speech = [1, 2].map((n) => Float32Array.from({ length: 4000 }, (_, i) => Math.sin((i * n) / 20)))
    const babble = mixBabble(length, speech, new Random(1, 'babble'))
    const all = [whiteNoise(length, new Random(2)), pinkNoise(length, new Random(2)), hum(length, rate, new Random(2)), babble]
    for (const samples of all) {
      expect(rms(samples)).toBeCloseTo(0.1, 3)
      expect(Math.max(...samples.map(Math.abs))).toBeLessThanOrEqual(1)
    }
    expect(rms(babble.subarray(0, rate))).toBeGreaterThan(0.05)
    expect(mixBabble(100, [], new Random(1)).every((v) => v === 0)).toBe(true)
  })
})
