// Loading and running: predictions, wrong inputs, and the largest sums the format admits.

import { expect, test } from 'vitest'
import { crc32 } from './crc32.ts'
import { BadModelError, encodeModel, load, toInt16, type IntegerModel } from './index.ts'
import { referenceLogits } from './testing/random-model.ts'

/** One raw-audio layer over the whole clip: `taps` weights of `weight` for each of two classes, the second negated. */
function wholeClip(taps: number, weight: number, overrides: { readonly multiplier?: number; readonly shift?: number } = {}): IntegerModel {
  const range = { containerBits: 16, bits: 16, zeroPoint: 0, min: -32768, max: 32767 } as const
  const negated = weight === -128 ? 127 : -weight
  return {
    name: 'whole',
    classes: ['up', 'down'],
    frontEnd: { kind: 'raw', sampleRate: 16000, samples: taps },
    tensors: [
      { name: 'input', shape: [taps, 1, 1], scale: 2 ** -15, ...range },
      { name: 'logits', shape: [1, 1, 2], scale: 2 ** -10, ...range },
    ],
    layers: [
      {
        op: 'convolution',
        name: 'filter',
        input: 0,
        output: 1,
        kernelSize: [taps, 1],
        stride: [1, 1],
        padding: [0, 0, 0, 0],
        groups: 1,
        weightBits: 8,
        weights: Int8Array.from({ length: 2 * taps }, (_, i) => (i < taps ? weight : negated)),
        bias: new Int32Array(2),
        multiplier: new Int32Array(2).fill(overrides.multiplier ?? 2 ** 30),
        shift: new Int8Array(2).fill(overrides.shift ?? -16),
      },
    ],
  }
}

test('a raw-audio layer of 400 taps runs at the extremes of int16 and int8', () => {
  const model = wholeClip(400, -128)
  const loaded = load(encodeModel(model))
  for (const sample of [-32768, 32767]) {
    const pcm = new Int16Array(400).fill(sample)
    expect([...loaded.run(pcm)]).toEqual(referenceLogits(model, pcm))
  }
})

test('one tap more than int32 holds is refused', () => {
  expect(() => encodeModel(wholeClip(511, -128))).not.toThrow()
  expect(() => encodeModel(wholeClip(512, -128))).toThrow(BadModelError)
})

test('a file of an older version runs where its arena still has room, else the version is what is wrong', () => {
  const changed = (version: number, arenaBytes?: number): Uint8Array => {
    const bytes = encodeModel(wholeClip(4, 64))
    const view = new DataView(bytes.buffer)
    view.setUint32(4, version, true)
    if (arenaBytes !== undefined) view.setUint32(80, arenaBytes, true)
    view.setUint32(12, crc32(bytes.subarray(16)), true)
    return bytes
  }
  const clip = new Int16Array(4).fill(100)
  for (const version of [1, 2, 3]) expect(load(changed(version), 'old.bw').run(clip)).toEqual(load(changed(4)).run(clip))
  expect(() => load(changed(1, 16), 'old.bw')).toThrow('old.bw: is of format version 1, which this bitwright cannot run: export it again')
  expect(() => load(changed(4, 16), 'new.bw')).toThrow('new.bw: tensor 0: lies outside the arena')
  for (const version of [0, 5, 2 ** 32 - 1]) expect(() => load(changed(version))).toThrow(`is of format version ${version}, which`)
})

test('a prediction names the class and its softmax probability', () => {
  // (100 * 4 * 64) / 2^1 / 2^4 = 800 units of 2^-10.
  const model = load(encodeModel(wholeClip(4, 64, { shift: -4 })))
  const { label, index, scores, logits } = model.predict(new Int16Array(4).fill(100))
  expect([label, index, ...logits]).toEqual(['up', 0, 800, -800])
  const whole = Math.round(65535 / (1 + Math.exp(-1600 / 1024)))
  expect([...scores]).toEqual([Math.fround(whole / 65535), Math.fround((65535 - whole) / 65535)])
  expect(model.predict(new Float32Array(4).fill(100 / 32768)).logits).toEqual(logits)
})

test('floats become 16-bit samples, clipped, silence for what is no number', () => {
  expect([...toInt16(Float32Array.of(0, 1, -1, 0.5, 2, NaN, -1e9))]).toEqual([0, 32767, -32768, 16384, 32767, 0, -32768])
})

test('a clip or features of the wrong length are a RangeError with both lengths', () => {
  const model = load(encodeModel(wholeClip(4, 1)))
  expect(() => model.run(new Int16Array(3))).toThrow('whole: clip has 3 samples, the model takes 4')
  expect(() => model.runFeatures(new Float32Array(5))).toThrow(RangeError)
})

test('an image goes in as its pixels less 128', () => {
  const { tensors, ...rest } = wholeClip(4, 64, { shift: -4 })
  const image: IntegerModel = {
    ...rest,
    frontEnd: { kind: 'image', height: 4, width: 1, channels: 1 },
    tensors: [{ ...tensors[0], containerBits: 8, bits: 8, scale: 2 ** -7, min: -128, max: 127 }, tensors[1]],
  }
  const model = load(encodeModel(image))
  expect(model.frontEnd).toEqual(image.frontEnd)
  // 64 * (100 + 0 - 128 + 127) / 2^1 / 2^4
  expect([...model.run(Uint8Array.of(228, 128, 0, 255))]).toEqual([198, -198])
  expect(model.runFeatures(Float32Array.of(100 / 128, 0, -1, 127 / 128))).toEqual(model.run(Uint8Array.of(228, 128, 0, 255)))
  expect(model.predict(Uint8Array.of(255, 255, 255, 255)).label).toBe('up')
  expect(() => model.run(new Uint8Array(5))).toThrow('whole: image has 5 bytes, the model takes 4 x 1 x 1')
  expect(() => model.run(new Int16Array(4))).toThrow('whole: takes the pixels of an image')
  expect(() => load(encodeModel(wholeClip(4, 1))).run(new Uint8Array(4))).toThrow('whole: takes 16-bit samples')
  const [input, logits] = image.tensors
  expect(() => encodeModel({ ...image, tensors: [{ ...input, min: -127 }, logits] })).toThrow(/input tensor does not fit/)
  expect(() => encodeModel({ ...image, frontEnd: { kind: 'image', height: 2, width: 2, channels: 1 } })).toThrow(/differs from \[2,2,1\]/)
})

test('a loaded model keeps its own copy of the file', () => {
  const bytes = encodeModel(wholeClip(4, 64, { shift: -4 }))
  const model = load(bytes)
  bytes.fill(0)
  load(encodeModel(wholeClip(9, 3)))
  expect([...model.run(new Int16Array(4).fill(100))]).toEqual([800, -800])
})

test('a loaded model keeps its own copy of the bytes, of a Buffer too', () => {
  const bytes = Buffer.from(encodeModel(wholeClip(400, -128)))
  const model = load(bytes)
  const pcm = new Int16Array(400).fill(-32768)
  const logits = load(bytes).run(pcm)
  bytes.fill(0)
  expect(model.run(pcm)).toEqual(logits)
})
