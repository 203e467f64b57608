// MFCC and log-mel of core/ against a float64 reference written from the definitions (a direct Fourier sum, Math.log, Math.cos).

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { computeFeatures, spectralFrames, type IntegerSpectralFrontEnd } from './index.ts'
import { Host } from './testing/host.ts'
import { seededDraw } from './testing/random-model.ts'
import { hasHostCompiler } from './tools/build-core.ts'

const base = { sampleRate: 16000, samples: 16000, windowSamples: 640, hopSamples: 320, melBands: 40, lowHz: 20, highHz: 4000 } as const
const configurations: readonly IntegerSpectralFrontEnd[] = [
  { ...base, kind: 'mfcc', coefficients: 10 },
  { ...base, kind: 'mfcc', coefficients: 40, windowSamples: 480, hopSamples: 160, highHz: 7600 },
  { ...base, kind: 'logmel', coefficients: 40, windowSamples: 480, hopSamples: 160 },
  { ...base, kind: 'mfcc', coefficients: 13, sampleRate: 8000, samples: 8000, windowSamples: 201, hopSamples: 77, melBands: 17, lowHz: 0 },
  { ...base, kind: 'logmel', coefficients: 5, samples: 300, windowSamples: 16, hopSamples: 7, melBands: 5, highHz: 8000 },
]

/** Speech-like: a few harmonics that glide, their loudness changing, and noise. */
function clip(samples: number, seed: number): Int16Array {
  const draw = seededDraw(seed)
  return Int16Array.from({ length: samples }, (_, n) => {
    let value = (draw(2000) - 1000) * 0.3
    for (let h = 1; h < 6; h++) value += (6000 / h) * Math.sin(h * (0.05 * n + 4e-7 * n * n)) * (1 + Math.sin(n / 900 + h))
    return Math.max(-32768, Math.min(32767, Math.round(value)))
  })
}

const mel = (hertz: number): number => 2595 * Math.log10(1 + hertz / 700)

function referenceFrame(c: IntegerSpectralFrontEnd, pcm: Int16Array): number[] {
  const size = Math.max(8, 2 ** Math.ceil(Math.log2(c.windowSamples)))
  const windowed = Array.from(pcm, (sample, n) => (sample / 32768) * (0.5 - 0.5 * Math.cos((2 * Math.PI * n) / c.windowSamples)))
  const power = Array.from({ length: size / 2 + 1 }, (_, k) => {
    let [re, im] = [0, 0]
    windowed.forEach((value, n) => {
      re += value * Math.cos((2 * Math.PI * ((k * n) % size)) / size)
      im -= value * Math.sin((2 * Math.PI * ((k * n) % size)) / size)
    })
    return re * re + im * im
  })
  const edges = Array.from({ length: c.melBands + 2 }, (_, i) => {
    const m = mel(c.lowHz) + ((mel(c.highHz) - mel(c.lowHz)) * i) / (c.melBands + 1)
    return 700 * (10 ** (m / 2595) - 1)
  })
  const bands = Array.from({ length: c.melBands }, (_, b) => {
    let sum = 0
    power.forEach((value, k) => {
      const hertz = (k * c.sampleRate) / size
      const weight = Math.min((hertz - edges[b]) / (edges[b + 1] - edges[b]), (edges[b + 2] - hertz) / (edges[b + 2] - edges[b + 1]))
      sum += value * Math.max(0, weight)
    })
    return Math.log(sum + 1e-6)
  })
  if (c.kind === 'logmel') return bands
  return Array.from({ length: c.coefficients }, (_, k) => {
    const sum = bands.reduce((total, value, b) => total + value * Math.cos((Math.PI * k * (b + 0.5)) / c.melBands), 0)
    return sum * Math.sqrt((k === 0 ? 1 : 2) / c.melBands)
  })
}

test.each(configurations)('$kind $windowSamples/$hopSamples -> $coefficients follows its definition', (config) => {
  const pcm = clip(config.samples, 1)
  const features = computeFeatures(config, pcm)
  const frames = spectralFrames(config)
  expect(features.length).toBe(frames * config.coefficients)
  for (const frame of [0, 1, Math.floor(frames / 2), frames - 1]) {
    const from = frame * config.hopSamples
    const expected = referenceFrame(config, pcm.subarray(from, from + config.windowSamples))
    const actual = features.subarray(frame * config.coefficients, (frame + 1) * config.coefficients)
    // Measured: 1.5e-5 at most, float32 rounding of sums and of the logarithm.
    expected.forEach((value, i) => expect(Math.abs(actual[i] - value)).toBeLessThan(1e-4))
  }
})

test('frames: 49 of 40/20 ms and 98 of 30/10 ms in a second', () => {
  expect(configurations.slice(0, 2).map(spectralFrames)).toEqual([49, 98])
})

test('silence gives the floor of the logarithm and nothing else', () => {
  const features = computeFeatures({ ...configurations[2] }, new Int16Array(16000))
  for (const value of features) expect(value).toBeCloseTo(Math.log(1e-6), 5)
})

test('a configuration that cannot be, or a clip of another length, is a RangeError', () => {
  const pcm = new Int16Array(16000)
  for (const wrong of [
    { windowSamples: 5000 },
    { hopSamples: 0 },
    { coefficients: 41 },
    { highHz: 8001 },
    { lowHz: NaN },
    { melBands: 200 },
  ]) {
    expect(() => computeFeatures({ ...configurations[0], ...wrong }, pcm)).toThrow(RangeError)
  }
  expect(() => computeFeatures(configurations[0], new Int16Array(15999))).toThrow('15999')
})

describe.skipIf(!hasHostCompiler())('host build (skipped without cc)', () => {
  let host: Host
  beforeAll(() => {
    host = new Host({ sanitize: false })
  })
  afterAll(() => host?.close())

  test('gives the same bits as WebAssembly', () => {
    const jobs = configurations.flatMap((config) =>
      [2, 3].map((seed) => {
        const { kind, sampleRate, samples, windowSamples, hopSamples, melBands, coefficients, lowHz, highHz } = config
        const words = Uint32Array.of(
          ['', 'mfcc', 'logmel'].indexOf(kind),
          sampleRate,
          samples,
          windowSamples,
          hopSamples,
          melBands,
          coefficients,
        )
        const first = new Uint8Array([...new Uint8Array(words.buffer), ...new Uint8Array(Float32Array.of(lowHz, highHz).buffer)])
        return { kind: 'features', first, second: clip(samples, seed), config } as const
      }),
    )
    host.run(jobs).forEach(({ status, bytes }, i) => {
      expect(status).toBe(0)
      expect(Buffer.compare(bytes, new Uint8Array(computeFeatures(jobs[i].config, jobs[i].second).buffer))).toBe(0)
    })
  })
})
