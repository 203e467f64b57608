// Long recordings: what is said to be in them is in them, and a seed gives the same samples.
import { describe, expect, it } from 'vitest'
import type { AudioDataset, Sample } from '../data/dataset.ts'
import { composeAudio, signalToNoise } from './compose.ts'
import { wordSpan } from './word-span.ts'

const sampleRate = 16000
const classes = ['low', 'high', '_unknown_', '_silence_']

/** A second with a tone of the class's own pitch between 0.3 and 0.7 s, and a hum of 60 dB less. */
function dataset({ background = [] as Int16Array[], labels = [0, 1, 2, 3] } = {}): AudioDataset {
  const clips = Array.from({ length: 24 }, (_, index): Sample => ({ path: `${index}`, label: labels[index % labels.length], index }))
  const pcm = new Int16Array(clips.length * sampleRate)
  for (const { index, label } of clips) {
    for (let i = 0; i < sampleRate; i++) {
      const tone = i >= 0.3 * sampleRate && i < 0.7 * sampleRate && classes[label] !== '_silence_' ? 8000 : 8
      pcm[index * sampleRate + i] = Math.round(tone * Math.sin((2 * Math.PI * 300 * (label + 1) * i) / sampleRate))
    }
  }
  return {
    kind: 'audio',
    directory: 'tones',
    classes,
    sampleRate,
    samples: sampleRate,
    splits: { train: [], validation: clips.slice(0, 12), test: clips.slice(12) },
    skipped: [],
    pcm,
    background,
  }
}

const noise = Int16Array.from({ length: 3 * sampleRate }, (_, i) => ((i * 7919) % 401) - 200)

/** Energy of a span at a frequency, of all its energy. */
function shareAt(pcm: Int16Array, from: number, to: number, hertz: number): number {
  let [cosine, sine, energy] = [0, 0, 0]
  for (let i = Math.round(from * sampleRate); i < Math.round(to * sampleRate); i++) {
    cosine += pcm[i] * Math.cos((2 * Math.PI * hertz * i) / sampleRate)
    sine += pcm[i] * Math.sin((2 * Math.PI * hertz * i) / sampleRate)
    energy += pcm[i] ** 2
  }
  return (2 * (cosine ** 2 + sine ** 2)) / ((to - from) * sampleRate * energy)
}

const power = (pcm: Int16Array, from: number, to: number): number => {
  const span = pcm.subarray(Math.round(from * sampleRate), Math.round(to * sampleRate))
  return span.reduce((sum, value) => sum + value ** 2, 0) / span.length
}

describe('composeAudio', () => {
  it('puts the words where it says, one after the other, well above the noise', () => {
    const { pcm, words, others } = composeAudio(dataset({ background: [noise] }), { split: 'test', seconds: 120, seed: 3 })
    expect(pcm.length).toBe(120 * sampleRate)
    expect(words.length).toBeGreaterThan(12)
    expect(others.length).toBeGreaterThan(words.length / 2)
    expect(others.every(({ label, start, end }) => label === 2 && shareAt(pcm, start, end, 900) > 0.85)).toBe(true)
    for (const { label, clip } of [...words, ...others]) expect(Number(clip) % 4).toBe(label)
    expect(new Set(words.map(({ label }) => label))).toEqual(new Set([0, 1]))
    let before = 0
    for (const { label, start, end } of words) {
      expect(end - start).toBeCloseTo(0.4, 1)
      expect(start).toBeGreaterThan(before + 0.5)
      before = end
      expect(shareAt(pcm, start, end, 300 * (label + 1))).toBeGreaterThan(0.85)
      // just before the word, its margin of 0.1 s aside, there is the noise alone
      const decibels = 10 * Math.log10(power(pcm, start, end) / power(pcm, start - 0.3, start - 0.15))
      expect(decibels).toBeGreaterThan(signalToNoise.lowest - 1)
      expect(decibels).toBeLessThan(signalToNoise.highest + 1)
    }
  })

  it('gives the same samples for a seed, other ones for another seed or split', () => {
    const make = (split: 'validation' | 'test', seed: number) =>
      composeAudio(dataset({ background: [noise] }), { split, seconds: 20, seed })
    expect(make('test', 1)).toEqual(make('test', 1))
    expect(make('test', 1).pcm).not.toEqual(make('test', 2).pcm)
    expect(make('test', 1).pcm).not.toEqual(make('validation', 1).pcm)
  })

  it('uses every clip before any of them again', () => {
    // 12 test clips of one class: in 12 words each once
    const data = dataset({ labels: [0] })
    for (const { index } of data.splits.test) {
      const from = index * sampleRate
      for (let i = 0; i < sampleRate; i++) {
        const loud = i >= 0.3 * sampleRate && i < (0.4 + 0.02 * (index - 12)) * sampleRate
        data.pcm[from + i] = loud ? Math.round(8000 * Math.sin(i / 5)) : 0
      }
    }
    const { words } = composeAudio(data, { split: 'test', seconds: 60, seed: 0 })
    const lengths = words.slice(0, 12).map(({ start, end }) => (end - start).toFixed(2))
    expect(new Set(lengths).size).toBe(12)
  })

  it('has pink noise where no background is recorded, and no words where there are none', () => {
    const { pcm, words } = composeAudio(dataset({ labels: [3] }), { split: 'test', seconds: 3, seed: 0 })
    expect(words).toEqual([])
    expect(Math.sqrt(power(pcm, 0, 3))).toBeGreaterThan(32768 * 10 ** (-56 / 20))
  })
})

describe('wordSpan', () => {
  it('finds the loud part of a clip to a hundredth of a second, and takes silence whole', () => {
    const clip = new Int16Array(sampleRate)
    clip.fill(30)
    for (let i = 5000; i < 9000; i++) clip[i] = 4000
    const { from, to } = wordSpan(clip, sampleRate)
    expect(from).toBeLessThanOrEqual(5000)
    expect(to).toBeGreaterThanOrEqual(9000)
    expect(to - from).toBeLessThan(4000 + 320)
    expect(wordSpan(new Int16Array(160), sampleRate)).toEqual({ from: 0, to: 160 })
  })
})
