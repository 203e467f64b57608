// Compact parameters: every code has one wide form of the value it stands for, and the core takes what it can vouch for alone.

import { expect, test } from 'vitest'
import { compactChannel, expandChannel, fractionBits, largestBias, largestScale } from './compact.ts'
import { crc32 } from './crc32.ts'
import { BadModelError, encodeModel, load, modelInfo, type IntegerConvolution, type IntegerModel } from './index.ts'
import { referenceLogits, seededDraw } from './testing/random-model.ts'

/** What a code's scale is worth. */
function worth(scaleExponent: number, scale: number): number {
  const exponent = Math.floor(scale / 2 ** fractionBits)
  const fraction = scale % 2 ** fractionBits
  return exponent === 0 ? fraction * 2 ** scaleExponent : (fraction + 2 ** fractionBits) * 2 ** (scaleExponent + exponent - 1)
}

test('a code is worth its fraction times a power of two, its bias so many of the same part of a step', () => {
  const draw = seededDraw(1)
  for (let i = 0; i < 5000; i++) {
    const form = { scaleExponent: draw(65) - 62, biasExponent: draw(60) - 50 }
    const code = { scale: draw(draw(2) ? 2 ** fractionBits + 2 : largestScale + 1), bias: draw(2 * largestBias + 2) - largestBias - 1 }
    const { bias, multiplier, shift } = expandChannel(form, code)
    const real = worth(form.scaleExponent, code.scale)
    const held = multiplier * 2 ** (shift - 31)
    // below 2^-32 bits are lost, never more than those below 2^-62
    expect(held <= real && real - held < (real < 2 ** -32 ? 2 ** -62 : Number.MIN_VALUE)).toBe(true)
    expect(multiplier >= 0 && multiplier < 2 ** 31 && shift >= -31 && shift <= 30).toBe(true)
    if (real > 0) expect(multiplier).toBeGreaterThan(0)
    // normalised, or rounded once
    if (real >= 2 ** -32) expect(multiplier >= 2 ** 30 || (shift === 0 && real < 0.5 && real >= 2 ** -6)).toBe(true)
    const unit = code.bias === 0 ? 1 : bias / code.bias
    expect(Number.isInteger(Math.log2(unit)) && unit >= 1 && unit <= 2 ** 17).toBe(true)
    if (real > 0 && unit > 1 && unit < 2 ** 17) expect(Math.floor(Math.log2(real * unit)) + 1).toBe(form.biasExponent)
    const back = compactChannel(form, { bias, multiplier, shift })!
    expect(expandChannel(form, back)).toEqual({ bias, multiplier, shift })
    if (real >= 2 ** -32) expect(back).toEqual(code)
  }
})

test('what no code stands for has none', () => {
  const form = { scaleExponent: -40, biasExponent: -8 }
  const held = expandChannel(form, { scale: 0x1e123, bias: -5000 })
  expect(compactChannel(form, held)).toEqual({ scale: 0x1e123, bias: -5000 })
  const { multiplier, bias, shift } = held
  for (const change of [
    { multiplier: multiplier + 1 },
    { multiplier: -multiplier },
    { bias: bias + 1 },
    { bias: bias * 4 },
    { shift: shift + 2 },
  ])
    expect(compactChannel(form, { ...held, ...change })).toBeUndefined()
  expect(compactChannel({ ...form, scaleExponent: -60 }, held)).toBeUndefined()
})

const form = { scaleExponent: -36, biasExponent: 0 }
function twoLayers(change: Partial<IntegerConvolution> = {}): IntegerModel {
  const range = { containerBits: 8, bits: 8, scale: 1, zeroPoint: 0, min: -128, max: 127 } as const
  const shape = { op: 'convolution', kernelSize: [1, 1], stride: [1, 1], padding: [0, 0, 0, 0], groups: 1, weightBits: 8 } as const
  const parameters = [0x1e000, 0x0001, 0x1ffff].map((scale, c) => expandChannel(form, { scale, bias: 100 * c - 100 }))
  const columns = {
    bias: Int32Array.from(parameters, ({ bias }) => bias),
    multiplier: Int32Array.from(parameters, ({ multiplier }) => multiplier),
    shift: Int8Array.from(parameters, ({ shift }) => shift),
  }
  return {
    name: 'two',
    classes: ['a', 'b', 'c'],
    frontEnd: { kind: 'image', height: 1, width: 1, channels: 2 },
    tensors: [
      { name: 'input', shape: [1, 1, 2], ...range },
      { name: 'first', shape: [1, 1, 3], ...range },
      { name: 'logits', shape: [1, 1, 3], ...range, containerBits: 16, bits: 16, min: -32768, max: 32767 },
    ],
    layers: [
      { ...shape, name: 'first', input: 0, output: 1, compact: form, weights: Int8Array.of(1, 2, -3, 4, 5, -6), ...columns, ...change },
      {
        ...shape,
        name: 'logits',
        input: 1,
        output: 2,
        weights: Int8Array.of(1, 0, 0, 0, 1, 0, 0, 0, 1),
        bias: new Int32Array(3),
        multiplier: new Int32Array(3).fill(2 ** 30),
        shift: new Int8Array(3).fill(1),
      },
    ],
  }
}

test('a layer of four bytes a channel runs as its wide form does, and is five bytes a channel smaller', () => {
  const model = twoLayers()
  const { compact: _, ...wideLayer } = model.layers[0] as IntegerConvolution
  const wide = { ...model, layers: [wideLayer, model.layers[1]] }
  const aligned = (bytes: number): number => Math.ceil(bytes / 4) * 4
  expect(modelInfo(wide).flashBytes - modelInfo(model).flashBytes).toBe(aligned(3 * 9) - 3 * 4)
  expect(encodeModel(model).length).toBe(modelInfo(model).flashBytes)
  for (const pixels of [Uint8Array.of(0, 255), Uint8Array.of(130, 90), Uint8Array.of(255, 255)]) {
    const logits = [...load(encodeModel(model)).run(pixels)]
    expect(logits).toEqual([...load(encodeModel(wide)).run(pixels)])
    expect(logits).toEqual(
      referenceLogits(
        model,
        Int16Array.from(pixels, (pixel) => pixel - 128),
      ),
    )
  }
})

test('parameters that are not what four bytes stand for are refused with the channel named', () => {
  const off = Int32Array.from((twoLayers().layers[0] as IntegerConvolution).multiplier)
  off[2] += 1
  expect(() => encodeModel(twoLayers({ multiplier: off }))).toThrow(/layer first: channel 2 has no compact form: bias \d+, multiplier/)
  expect(() => encodeModel(twoLayers({ bias: new Int32Array(2) }))).toThrow('layer first: 2 biases, expected 3')
  expect(() => encodeModel(twoLayers({ logOffset: new Uint32Array(3).fill(1) }))).toThrow('a log-magnitude has no compact parameters')
  expect(() => encodeModel(twoLayers({ compact: { ...form, scaleExponent: 3 } }))).toThrow('scaleExponent is 3')
})

test('the core refuses forms that it does not know, and biases that could leave int32', () => {
  const record = 84 + 3 * 24
  const changed = (...writes: [at: number, value: number][]): Uint8Array => {
    const bytes = encodeModel(twoLayers())
    for (const [at, value] of writes) bytes[at] = value
    new DataView(bytes.buffer).setUint32(12, crc32(bytes.subarray(16)), true)
    return bytes
  }
  const refused = (...writes: [at: number, value: number][]) => expect(() => load(changed(...writes))).toThrow(BadModelError)
  expect(() => load(changed([record + 11, 1]))).not.toThrow()
  refused([record + 11, 2])
  refused([record + 3, 1]) // a logarithm
  refused([record + 6, 256 - 63])
  refused([record + 6, 3])
  refused([record + 40 + 11, 1], [record + 40, 1]) // an addition
  const parameters = record + 2 * 40
  // the bias of channel 1 with a unit of 2^17: its most beside a sum of at most 7 * 128
  const widest = (bias: number): [number, number][] => [
    [record + 7, 60],
    [parameters + 4, 1],
    [parameters + 6, (bias & 127) << 1],
    [parameters + 7, (bias >> 7) & 255],
  ]
  expect(() => load(changed(...widest(-16383)))).not.toThrow()
  refused(...widest(-16384))
  refused(...widest(-16383), [record + 10, 8])
})
