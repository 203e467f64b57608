// Prepared layers requantize in float32 where that gives the integers' bits. Every sum there is, one by one, against the reference.

import { expect, test } from 'vitest'
import { encodeModel, type IntegerModel, type IntegerTensor, load } from './index.ts'
import { requantize } from './reference.ts'
import { seededDraw } from './testing/random-model.ts'

const channels = 24

/** One 16-bit sample times one weight a channel is a sum of 16 to 22 bits; its 8-bit value is taken to the logits as it is. */
function oneSample(seed: number) {
  const draw = seededDraw(seed)
  const accumulatorShift = draw(8)
  const weights = Int8Array.from({ length: channels }, () => 1 + draw(100))
  const zeroPoint = seed % 2 ? -128 : draw(60) - 30
  const real = Array.from({ length: channels }, () => (256 / 2 ** accumulatorShift / 2 ** (16 + draw(5))) * (0.5 + draw(1000) / 1000))
  const shift = Int8Array.from(real, (value) => Math.floor(Math.log2(value)) + 1)
  // every fourth a power of two: sums lie half way between two values
  const multiplier = Int32Array.from(real, (value, c) => (c % 4 === 0 ? 2 ** 30 : Math.floor((value / 2 ** shift[c]) * (2 ** 31 - 1))))
  const bias = Int32Array.from({ length: channels }, (_, c) => (c % 3 === 0 ? 0 : draw(2 ** 24) - 2 ** 23))
  const wide = { containerBits: 16, bits: 16, scale: 1, zeroPoint: 0, min: -32768, max: 32767 } as const
  const shape = [1, 1, channels] as const
  const tensors: IntegerTensor[] = [
    { name: 'input', shape: [1, 1, 1], ...wide, scale: 2 ** -15 },
    { name: 'values', shape, containerBits: 8, bits: 8, scale: 1, zeroPoint, min: -128, max: 127 },
    { name: 'logits', shape, ...wide },
  ]
  const window = { kernelSize: [1, 1], stride: [1, 1], padding: [0, 0, 0, 0], groups: 1 } as const
  const model: IntegerModel = {
    name: 'one sample',
    classes: Array.from({ length: channels }, (_, c) => `${c}`),
    frontEnd: { kind: 'raw', sampleRate: 16000, samples: 1 },
    tensors,
    layers: [
      {
        op: 'convolution',
        name: 'values',
        input: 0,
        output: 1,
        ...window,
        weightBits: 8,
        weights,
        ...(accumulatorShift ? { accumulatorShift } : {}),
        bias,
        multiplier,
        shift,
      },
      { op: 'requantize', name: 'logits', input: 1, output: 2, multiplier: Int32Array.of(2 ** 30), shift: Int8Array.of(1) },
    ],
  }
  const value = (sample: number, c: number): number => {
    const sum = sample * weights[c] * 2 ** accumulatorShift + bias[c]
    return Math.max(-128 - zeroPoint, Math.min(127 - zeroPoint, requantize(sum, multiplier[c], shift[c])))
  }
  return { model: load(encodeModel(model)), value }
}

test.each([0, 1, 2, 3])('every sum of 24 channels requantizes exactly, model %i', (seed) => {
  const { model, value } = oneSample(seed)
  const wrong: number[][] = []
  let before: number[] | undefined
  for (let sample = -32768; sample < 32768; sample++) {
    const logits = model.run(Int16Array.of(sample))
    // the reference is slow: it is asked where a value changes, on both sides, and now and then
    const changed = before === undefined || sample % 64 === 0 || logits.some((logit, c) => logit !== before![c])
    if (changed) {
      for (const at of [sample - 1, sample].filter((each) => each >= -32768)) {
        const given = at === sample ? [...logits] : before!
        for (let c = 0; c < channels; c++) if (given[c] !== value(at, c)) wrong.push([at, c, given[c], value(at, c)])
      }
    }
    before = [...logits]
  }
  expect(wrong).toEqual([])
})
