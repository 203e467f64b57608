import { describe, expect, it } from 'vitest'
import { Random } from '@bitwright/engine'
import { fillBatch, fillBatchPcm } from './augment.ts'
import type { AudioDataset, Sample } from './dataset.ts'
import { epochOrder } from './sampler.ts'

const samples = 1600
const sampleRate = 1600

function makeDataset(counts: Record<string, number>, background: readonly Int16Array[]): AudioDataset {
  const classes = Object.keys(counts)
  const train: Sample[] = classes.flatMap((name, label) =>
    Array.from({ length: counts[name] }, (_, i) => ({ path: `${name}/${i}.wav`, label, index: 0 })),
  )
  const indexed = train.map((clip, index) => ({ ...clip, index }))
  const random = new Random(11, 'pcm')
  const pcm = Int16Array.from({ length: train.length * samples }, () => random.integer(65536) - 32768)
  return {
    kind: 'audio',
    directory: '',
    classes,
    sampleRate,
    samples,
    splits: { train: indexed, validation: [], test: [] },
    skipped: [],
    pcm,
    background,
  }
}

const noise = (() => {
  const random = new Random(12, 'noise')
  return Int16Array.from({ length: 5000 }, () => random.integer(65536) - 32768)
})()

describe('fillBatch', () => {
  const dataset = makeDataset({ a: 300 }, [noise])
  const clips = dataset.splits.train
  const key = { seed: 5, epoch: 2 }
  const clean = (clip: Sample) => Array.from(dataset.pcm.subarray(clip.index * samples, (clip.index + 1) * samples))

  it('takes clips as they are without a key', () => {
    const floats = new Float32Array(2 * samples).fill(9)
    const integers = new Int16Array(2 * samples).fill(9)
    fillBatch(dataset, [clips[7], clips[3]], null, floats)
    fillBatchPcm(dataset, [clips[7], clips[3]], null, integers)
    const expected = [...clean(clips[7]), ...clean(clips[3])]
    expect([...integers]).toEqual(expected)
    expect([...floats]).toEqual(expected.map((v) => v / 32768))
  })

  it('shifts uniformly within 100 ms to both sides and fills with zeros', () => {
    const out = new Float32Array(clips.length * samples).fill(9)
    fillBatch(dataset, clips, key, out, { noiseProbability: 0, speedChange: 0 })
    const shifts = clips.map((clip, row) => {
      const x = clean(clip)
      const y = out.subarray(row * samples, (row + 1) * samples)
      const shift = Array.from({ length: 321 }, (_, i) => i - 160).find(
        (s) => y[800] * 32768 === x[800 - s] && y[900] * 32768 === x[900 - s],
      )!
      expect(y.every((value, i) => value * 32768 === (x[i - shift] ?? 0))).toBe(true)
      return shift
    })
    expect(Math.min(...shifts)).toBeLessThan(-140)
    expect(Math.max(...shifts)).toBeGreaterThan(140)
    expect(Math.abs(shifts.reduce((a, b) => a + b) / shifts.length)).toBeLessThan(25)
    expect(new Set(shifts).size).toBeGreaterThan(100)
  })

  it('plays clips at speeds within 15 % around their middle, by interpolation', () => {
    const ramp = makeDataset({ a: 200 }, [])
    for (let i = 0; i < ramp.pcm.length; i++) ramp.pcm[i] = (i % samples) * 10 - 8000
    const out = new Float32Array(200 * samples)
    fillBatch(ramp, ramp.splits.train, key, out, { shiftMs: 0 })
    const speeds = Array.from({ length: 200 }, (_, row) => {
      const y = Array.from(out.subarray(row * samples, (row + 1) * samples), (value) => value * 32768)
      const speed = (y[1000] - y[600]) / 4000
      // the middle stays, the slope is the speed, and what a slow clip does not reach is silent
      for (let i = 0; i < samples; i++) {
        const position = (i - 800) * speed + 800
        if (position > 1 && position < samples - 2) expect(Math.abs(y[i] - (position * 10 - 8000))).toBeLessThan(0.05)
        if (position < -1 || position > samples) expect(y[i]).toBe(0)
      }
      return speed
    })
    expect(Math.min(...speeds)).toBeLessThan(0.87)
    expect(Math.min(...speeds)).toBeGreaterThan(0.849)
    expect(Math.max(...speeds)).toBeGreaterThan(1.13)
    expect(Math.max(...speeds)).toBeLessThan(1.151)
  })

  it('interpolates in float64 and rounds to float32, wherever the clip begins and ends', () => {
    const options = { noiseProbability: 0, shiftMs: 1000, speedChange: 0.9 }
    const out = new Float32Array(clips.length * samples).fill(9)
    fillBatch(dataset, clips, key, out, options)
    const lengths = clips.map((clip, row) => {
      const random = new Random(key.seed, 'augmentation', key.epoch, clip.index)
      const shift = random.integer(2 * samples + 1) - samples
      const speed = random.uniform(1 - 0.9, 1 + 0.9)
      const x = clean(clip)
      const expected = Float32Array.from(x, (_, i) => {
        const position = (i - shift - samples / 2) * speed + samples / 2
        const left = Math.floor(position)
        return left < 0 || left + 1 >= samples ? 0 : x[left] + (position - left) * (x[left + 1] - x[left])
      })
      const heard = out.subarray(row * samples, (row + 1) * samples)
      expect(heard.every((value, i) => Object.is(value * 32768, expected[i]))).toBe(true)
      return expected.filter((value) => value !== 0).length
    })
    expect(Math.min(...lengths)).toBe(0)
    expect(Math.max(...lengths)).toBeGreaterThan(samples - 10)
  })

  it('mixes x (1 - v) + noise v with v uniform below 0.1 into four fifths of the clips', () => {
    // On constant clips and a ramp as noise, the slope of the result is v and its height tells where the noise was cut.
    const ramp = makeDataset({ a: 300 }, [Int16Array.from({ length: 5000 }, (_, i) => i)])
    ramp.pcm.fill(20000)
    const out = new Float32Array(300 * samples)
    fillBatch(ramp, ramp.splits.train, key, out, { shiftMs: 0, speedChange: 0 })
    const volumes: number[] = []
    for (let row = 0; row < 300; row++) {
      const y = Array.from(out.subarray(row * samples, (row + 1) * samples), (value) => value * 32768)
      const v = (y[samples - 1] - y[0]) / (samples - 1)
      if (v === 0) continue
      const start = Math.round((y[0] - (1 - v) * 20000) / v)
      expect(start).toBeGreaterThanOrEqual(0)
      expect(start).toBeLessThanOrEqual(5000 - samples)
      for (let i = 0; i < samples; i++) expect(Math.abs(y[i] - (1 - v) * 20000 - v * (start + i))).toBeLessThan(0.2)
      volumes.push(v)
    }
    expect(volumes.length / 300).toBeGreaterThan(0.72)
    expect(volumes.length / 300).toBeLessThan(0.88)
    expect(Math.min(...volumes)).toBeLessThan(0.01)
    expect(Math.max(...volumes)).toBeGreaterThan(0.09)
    expect(Math.max(...volumes)).toBeLessThan(0.1)
  })

  it('gives a clip the same draw in any batch, another in another epoch or with another seed', () => {
    const whole = new Float32Array(8 * samples)
    const single = new Float32Array(samples)
    fillBatch(dataset, clips.slice(0, 8), key, whole)
    fillBatch(dataset, [clips[5]], key, single)
    expect(single).toEqual(whole.slice(5 * samples, 6 * samples))
    for (const other of [
      { ...key, epoch: 3 },
      { ...key, seed: 6 },
    ]) {
      const changed = new Float32Array(samples)
      fillBatch(dataset, [clips[5]], other, changed)
      expect(changed).not.toEqual(single)
    }
  })

  it('puts noise so many dB below a clip where it is asked to, and below a soft one as if it were not', () => {
    const power = (values: ArrayLike<number>) => Array.from(values).reduce((sum, value) => sum + value * value, 0) / values.length
    const options = { noiseProbability: 1, shiftMs: 0, speedChange: 0, signalToNoise: { lowest: 5, highest: 25 } }
    const soft = makeDataset({ a: 60 }, [noise])
    soft.pcm.fill(1)
    for (const data of [dataset, soft]) {
      const out = new Float32Array(60 * samples)
      fillBatch(data, data.splits.train.slice(0, 60), key, out, options)
      const decibels = data.splits.train.slice(0, 60).map((clip, row) => {
        const x = Array.from(data.pcm.subarray(clip.index * samples, (clip.index + 1) * samples), (value) => value / 32768)
        const y = out.subarray(row * samples, (row + 1) * samples)
        // y = (1 - v) x + v n, and n is of full scale, uniform and apart from x
        const level = Math.max(power(x), (1000 / 32768) ** 2)
        const share = data === soft ? 0 : x.reduce((sum, value, i) => sum + value * y[i], 0) / (power(x) * samples)
        const behind = power(y.map((value, i) => value - share * x[i]))
        const v = Math.sqrt(behind / (1 / 3))
        return 10 * Math.log10((level * (1 - v) ** 2) / behind)
      })
      expect(Math.min(...decibels)).toBeGreaterThan(4)
      expect(Math.max(...decibels)).toBeLessThan(26)
      expect(Math.max(...decibels) - Math.min(...decibels)).toBeGreaterThan(12)
    }
  })

  it('gives integers that are the floats, rounded', () => {
    const floats = new Float32Array(40 * samples)
    const integers = new Int16Array(40 * samples)
    fillBatch(dataset, clips.slice(0, 40), key, floats)
    fillBatchPcm(dataset, clips.slice(0, 40), key, integers)
    for (let i = 0; i < integers.length; i++) expect(Math.abs(integers[i] - floats[i] * 32768)).toBeLessThan(0.502)
  })

  it('keeps full scale within range', () => {
    const loud = makeDataset({ a: 20 }, [new Int16Array(samples).fill(-32768)])
    loud.pcm.fill(-32768)
    const out = new Int16Array(20 * samples)
    fillBatchPcm(loud, loud.splits.train, key, out, { noiseVolume: 1, noiseProbability: 1, shiftMs: 0, speedChange: 0 })
    expect(out.every((v) => v === -32768)).toBe(true)
  })
})

const paths = (order: readonly Sample[], name: string) => order.filter(({ path }) => path.startsWith(`${name}/`)).map(({ path }) => path)

describe('epochOrder', () => {
  const dataset = makeDataset({ yes: 120, no: 80, _unknown_: 90, _silence_: 7 }, [])
  it('has each keyword clip once and a tenth of unknown and silence', () => {
    const order = epochOrder(dataset, 1, 0)
    expect(order.length).toBe(240)
    expect(new Set(paths(order, 'yes')).size).toBe(120)
    expect(new Set(paths(order, 'no')).size).toBe(80)
    expect(new Set(paths(order, '_unknown_')).size).toBe(20)
    expect(paths(order, '_silence_').length).toBe(20)
    expect(new Set(paths(order, '_silence_')).size).toBe(7)
    expect(epochOrder(dataset, 1, 0, { unknownShare: 0, silenceShare: 0.5 }).length).toBe(300)
  })

  it('is shuffled, the same for a seed and epoch, fresh in each epoch, and meets every unknown clip in time', () => {
    const first = epochOrder(dataset, 1, 0)
    expect(epochOrder(dataset, 1, 0)).toEqual(first)
    expect(epochOrder(dataset, 2, 0)).not.toEqual(first)
    expect(paths(first.slice(0, 120), 'no').length).toBeGreaterThan(20)
    const met = new Set(Array.from({ length: 40 }, (_, epoch) => paths(epochOrder(dataset, 1, epoch), '_unknown_')).flat())
    expect(met.size).toBe(90)
  })

  it('takes everything where the classes are plain folders', () => {
    const plain = makeDataset({ cat: 5, dog: 6 }, [])
    expect(epochOrder(plain, 1, 0).toSorted((a, b) => a.index - b.index)).toEqual(plain.splits.train)
  })
})
