// MFCC and log-mel of core/ against a float64 reference written from the definitions (a direct Fourier sum, Math.log, Math.cos), and the
// same bits from every build of it, whether frames are computed one by one or side by side.

import { describe, expect, test } from 'vitest'
import { configBytes, prepareFrontEnd } from './front-end.ts'
import { computeFeatures, spectralFrames, type IntegerSpectralFrontEnd } from './index.ts'
import { Machine } from './machine.ts'
import { compileTimeout, Host } from './testing/host.ts'
import { seededDraw } from './testing/random-model.ts'
import { hasHostCompiler, hasSanitizers } from './tools/build-core.ts'
import { createWasmCore } from './wasm-core.ts'

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

/** Front ends of all kinds and sizes, with numbers of frames that fill no vector. */
function randomFrontEnd(draw: (below: number) => number): IntegerSpectralFrontEnd {
  const windowSamples = 2 + draw(draw(4) === 0 ? 1200 : 200)
  const hopSamples = 1 + draw(2 * windowSamples)
  const samples = Math.max(hopSamples, windowSamples + draw(21) * hopSamples + draw(hopSamples))
  const melBands = 1 + draw(draw(4) === 0 ? 128 : 40)
  const kind = draw(2) === 0 ? 'mfcc' : 'logmel'
  const coefficients = kind === 'mfcc' ? 1 + draw(melBands) : melBands
  const lowHz = draw(3) * 300
  return {
    kind,
    sampleRate: 16000,
    samples,
    windowSamples,
    hopSamples,
    melBands,
    coefficients,
    lowHz,
    highHz: lowHz + 100 + draw(8000 - lowHz - 99),
  }
}

const sounds: readonly ((samples: number, seed: number) => Int16Array)[] = [
  clip,
  (samples) => new Int16Array(samples),
  (samples) => new Int16Array(samples).fill(-32768),
  // a loud tone, clipped
  (samples) => Int16Array.from({ length: samples }, (_, n) => Math.max(-32768, Math.min(32767, Math.round(1e5 * Math.sin(0.3 * n))))),
  (samples, seed) => {
    const draw = seededDraw(seed)
    return Int16Array.from({ length: samples }, () => draw(65536) - 32768)
  },
]

const randomCases = Array.from({ length: 120 }, (_, seed) => {
  const config = randomFrontEnd(seededDraw(seed))
  return { config, pcm: sounds[seed % sounds.length](config.samples, seed) }
})

/** Features of WebAssembly's core, each frame alone. */
function frameByFrame(machine: Machine, config: IntegerSpectralFrontEnd, pcm: Int16Array): Float32Array {
  machine.reset()
  prepareFrontEnd(machine, config)
  const values = spectralFrames(config) * config.coefficients
  const [at, to] = [machine.take(2 * pcm.length), machine.take(4 * values)]
  const { buffer } = machine.core.memory
  new Int16Array(buffer, at, pcm.length).set(pcm)
  machine.core.features(at, spectralFrames(config), to)
  return new Float32Array(buffer, to, values).slice()
}

const bits = (features: Float32Array): Int32Array => new Int32Array(features.buffer, features.byteOffset, features.length)

test('frames side by side have the bits of each frame alone', () => {
  const machine = new Machine(createWasmCore())
  for (const { config, pcm } of randomCases) {
    expect(bits(computeFeatures(config, pcm)), JSON.stringify(config)).toEqual(bits(frameByFrame(machine, config, pcm)))
  }
  const counts = randomCases.map(({ config }) => spectralFrames(config))
  for (const rest of [0, 1, 2, 3]) expect(counts.some((frames) => frames > 4 && frames % 4 === rest)).toBe(true)
  expect(counts.some((frames) => frames < 4)).toBe(true)
})

describe.skipIf(!hasHostCompiler())('host builds (skipped without cc)', () => {
  test.each([
    ['with sanitizers, where there are any', { sanitize: hasSanitizers() }],
    ['for this processor', { sanitize: false, native: true }],
  ])(
    '%s: the bits of WebAssembly, frame by frame and side by side',
    (_, options) => {
      const host = new Host(options)
      try {
        const own = configurations.map((config, i) => ({ config, pcm: clip(config.samples, i) }))
        const cases = [...own, ...randomCases]
        const results = host.run(cases.map(({ config, pcm }) => ({ kind: 'features', first: configBytes(config), second: pcm })))
        results.forEach(({ status, bytes }, i) => {
          expect(status).toBe(0)
          const { config, pcm } = cases[i]
          expect(Buffer.compare(bytes, new Uint8Array(computeFeatures(config, pcm).buffer)), JSON.stringify(config)).toBe(0)
        })
      } finally {
        host.close()
      }
    },
    compileTimeout,
  )
})
