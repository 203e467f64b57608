import { type Engine, Tape } from '@bitwright/engine'
import { computeFeatures } from '@bitwright/runtime'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { fillBatch, fillBatchPcm } from '../data/augment.ts'
import { RunError } from '../errors.ts'
import type { SpectralFrontEnd } from '../network/network.ts'
import { frontEndShape } from '../network/shapes.ts'
import { AudioSource } from './audio-source.ts'
import { openEngine, toneDataset } from './testing/tones.ts'

const dataset = toneDataset()
const { samples, sampleRate } = dataset
const clips = dataset.splits.train.slice(10, 13)
const mfcc: SpectralFrontEnd = {
  kind: 'mfcc',
  sampleRate,
  samples,
  windowSamples: 160,
  hopSamples: 80,
  melBands: 20,
  coefficients: 10,
  lowHz: 20,
  highHz: 7000,
}
const key = { seed: 4, epoch: 2 }

let engine: Engine
beforeAll(async () => {
  engine = await openEngine()
})
afterAll(() => engine.backend.close())

it('draws epochs by the shares it is given', () => {
  const names = ['yes', '_unknown_', '_silence_']
  const few = { ...dataset, classes: names }
  const source = new AudioSource(engine, few, { kind: 'raw', sampleRate, samples }, { unknownShare: 0.5, silenceShare: 0.25 })
  const counts = [0, 0, 0]
  for (const { label } of source.epochOrder(1, 0)) counts[label]++
  expect(counts).toEqual([40, 20, 10])
})

/** What `fill` leaves in a map of five clips that was full of ones. */
function filled(source: AudioSource, shape: readonly number[], augmented: boolean): Float32Array {
  const tape = new Tape(engine, { batch: 5, mode: 'evaluate' })
  const { stored } = tape.input(shape[0], shape[1], shape[2])
  const map = engine.floats(stored.offset, 5 * shape[0] * shape[1])
  map.fill(1)
  source.fill(stored, clips, augmented ? key : null)
  const copy = map.slice()
  tape.dispose()
  return copy
}

it.each([false, true])('gives raw audio as floats and clears the other rows (augmented: %s)', (augmented) => {
  const source = new AudioSource(engine, dataset, { kind: 'raw', sampleRate, samples }, { shiftMs: 3 })
  const expected = new Float32Array(5 * samples)
  fillBatch(dataset, clips, augmented ? key : null, expected, { shiftMs: 3 })
  expect(filled(source, [samples, 1, 1], augmented)).toEqual(expected)
  expect(expected.some((value) => value !== 0)).toBe(true)
})

it.each([false, true])('gives features by the code that ships, first time and again (augmented: %s)', (augmented) => {
  const shape = frontEndShape(mfcc)
  const size = shape[0] * shape[1]
  const source = new AudioSource(engine, dataset, mfcc, { shiftMs: 3 })
  const pcm = new Int16Array(clips.length * samples)
  fillBatchPcm(dataset, clips, augmented ? key : null, pcm, { shiftMs: 3 })
  const expected = new Float32Array(5 * size)
  clips.forEach((_, row) => expected.set(computeFeatures(mfcc, pcm.subarray(row * samples, (row + 1) * samples)), row * size))
  for (let time = 0; time < 2; time++) expect(filled(source, shape, augmented)).toEqual(expected)
  // plain features that are kept are not mixed up with augmented ones
  const other = filled(source, shape, !augmented)
  expect(other).not.toEqual(expected)
  expect(filled(source, shape, augmented)).toEqual(expected)
})

it('refuses clips of another length or rate', () => {
  const make = (other: object) => () => new AudioSource(engine, dataset, { kind: 'raw', sampleRate, samples, ...other })
  expect(make({ samples: 500 })).toThrow(RunError)
  expect(make({ samples: 500 })).toThrow('the network takes 500 samples at 16000 Hz, the clips have 400 at 16000 Hz')
  expect(make({ sampleRate: 8000 })).toThrow('the network takes 400 samples at 8000 Hz, the clips have 400 at 16000 Hz')
})
