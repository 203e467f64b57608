// One integer model, one answer: random models on the WebAssembly and host builds of core/ against the reference interpreter.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { layerInputs, planArena, tensorBytes } from './arena.ts'
import {
  decodeModel,
  encodeModel,
  type IntegerLayer,
  type IntegerModel,
  load,
  type Model,
  modelInfo,
  packings,
  packModel,
} from './index.ts'
import { loadNative, nativeMissing } from './native.ts'
import { log2Q16, quantizeFeatures, requantize } from './reference.ts'
import { compileTimeout, Host } from './testing/host.ts'
import { randomAttention } from './testing/random-attention.ts'
import { inOneContainer, randomClip, randomFilters, randomModel, referenceLogits, seededDraw } from './testing/random-model.ts'
import { randomSeparable } from './testing/random-separable.ts'
import { hasHostCompiler, hasSanitizers } from './tools/build-core.ts'

const cases = Array.from({ length: 600 }, (_, seed) => {
  const draw = seededDraw(seed < 300 ? seed : seed + 288) // where all changes of container come up
  const families = [undefined, 'plain', 'dsp', 'helium'] as const
  const drawn =
    seed < 240
      ? randomModel(draw)
      : seed < 380
        ? randomSeparable(draw, seed >= 300)
        : seed < 440
          ? randomFilters(draw)
          : randomAttention(draw)
  const [random, target] = [seed % 8 < 4 && seed < 300 ? inOneContainer(drawn) : drawn, families[seed % families.length]]
  const model = target ? packModel(random, target) : random
  return { seed, model, bytes: encodeModel(model), clip: randomClip(draw, model.frontEnd) }
})

test('requantize rounds as gemmlowp does', () => {
  // Ties of the high multiply go up, ties of the shift away from zero.
  expect(requantize(1, 2 ** 30, 0)).toBe(1)
  expect(requantize(-1, 2 ** 30, 0)).toBe(0)
  expect(requantize(6, 2 ** 30, -1)).toBe(2)
  expect(requantize(-6, 2 ** 30, -1)).toBe(-2)
  expect(requantize(-(2 ** 31), -(2 ** 31), 0)).toBe(2 ** 31 - 1)
  expect(requantize(2 ** 30, 2 ** 30, 3)).toBe(2 ** 30)
})

test('the integer logarithm is within 1.2 units of the true one', () => {
  const draw = seededDraw(7)
  for (let i = 0; i < 5000; i++) {
    const value = 1 + draw(2 ** (1 + draw(32)) - 1)
    expect(Math.abs(log2Q16(value) - Math.log2(value) * 65536)).toBeLessThan(1.2)
  }
  expect([log2Q16(1), log2Q16(2), log2Q16(2 ** 31), log2Q16(0)]).toEqual([0, 65536, 31 * 65536, 0])
})

/** Every random model against the reference; the kinds of layers among them are seen. */
async function agreesWithReference(open: (file: Uint8Array) => Model | Promise<Model>): Promise<void> {
  const seen = new Set<string>()
  for (const { seed, model, bytes, clip } of cases) {
    const draw = seededDraw(40_000 + seed)
    const loaded = await open(bytes)
    const raw = model.frontEnd.kind === 'raw'
    const values = clip instanceof Uint8Array ? Int16Array.from(clip, (pixel) => pixel - 128) : clip
    seen.add(model.frontEnd.kind)
    if (raw || clip instanceof Uint8Array) expect([seed, ...loaded.run(clip)]).toEqual([seed, ...referenceLogits(model, values)])
    const [height, width, channels] = model.tensors[0].shape
    // Every third lies half way between two values, where ties go to even.
    const features = Float32Array.from({ length: height * width * channels }, (_, i) =>
      i % 3 === 0 ? (draw(60) - 29.5) * model.tensors[0].scale : (draw(4000) / 1000 - 2) * (raw ? 1 : 30),
    )
    const quantized = quantizeFeatures(model.tensors[0], features)
    expect([seed, ...loaded.runFeatures(features)]).toEqual([seed, ...referenceLogits(model, quantized)])
    const plan = planArena(model)
    for (const layer of model.layers) {
      for (const input of layer.op === 'reshape' ? [] : layerInputs(layer)) {
        const [x, y] = [input, layer.output].map((t) => ({
          from: plan.tensors[t],
          bytes: tensorBytes(model.tensors[t]),
          ...model.tensors[t],
        }))
        if (x.from >= y.from + y.bytes || y.from >= x.from + x.bytes) continue
        seen.add(`${layer.op === 'convolution' && layer.groups > 1 ? 'depthwise' : layer.op} in place`)
        if (x.containerBits !== y.containerBits) seen.add(`${layer.op} from ${x.containerBits} to ${y.containerBits} bits in place`)
      }
      seen.add(layer.op === 'convolution' ? `${layer.groups > 1 ? 'depthwise' : 'dense'} ${layer.weightBits}` : layer.op)
      if (layer.op === 'attend') {
        const [rows, columns] = model.tensors[layer.output].shape
        for (const [i, name] of ['query', 'key', 'value'].entries()) seen.add(`${name} ${model.tensors[layer.inputs[i]].containerBits}`)
        seen.add(rows * columns === 1 ? 'one position' : (rows * columns) % 2 === 1 ? 'an odd number of positions' : 'positions')
      }
      if (layer.op === 'convolution')
        seen
          .add(layer.cutoffs ? 'made weights' : layer.oddWeights ? 'odd weights' : 'weights')
          .add(layer.logOffset ? 'logarithm' : layer.accumulatorShift ? 'shifted sums' : 'linear')
          .add(`input ${model.tensors[layer.input].containerBits}`)
          .add(`${layer.compact ? 'compact' : 'wide'} ${layer.groups > 1 ? 'depthwise' : 'dense'}`)
          .add(`${layer.packing ?? 'stream'} ${layer.weightBits}`)
    }
  }
  for (const kind of ['dense', 'depthwise', 'stream', ...packings])
    for (let bits = 1; bits <= 8; bits++) expect(seen).toContain(`${kind} ${bits}`)
  for (const kind of [
    'made weights',
    'odd weights',
    'raw',
    'mfcc',
    'image',
    'add',
    'averagePool',
    'requantize',
    'reshape',
    'crop',
    'attend',
    ...[2, 4, 8, 16].flatMap((bits) => ['query', 'key', 'value'].map((name) => `${name} ${bits}`)),
    'one position',
    'an odd number of positions',
    'logarithm',
    'shifted sums',
    'compact dense',
    'compact depthwise',
    'wide dense',
    'wide depthwise',
    'input 2',
    'input 4',
    'input 8',
    'input 16',
    'depthwise in place',
    'convolution in place',
    'add in place',
    'requantize in place',
    ...['2 to 4', '2 to 8', '4 to 2', '4 to 8', '8 to 2', '8 to 4'].map((change) => `convolution from ${change} bits in place`),
  ])
    expect(seen).toContain(kind)
}

test('WebAssembly agrees with the reference on random models', () => agreesWithReference(load))

test.skipIf(await nativeMissing())('so does the addon for this processor (skipped without a C compiler)', () =>
  agreesWithReference(async (file) => {
    const model = await loadNative(file)
    expect(model.home).toBe('native')
    return model
  }),
)

test('sums are shifted only where that fits int32 and no logarithm follows', () => {
  const shifted = (accumulatorShift: number, logarithm: boolean): IntegerModel => {
    const isMeant = (layer: IntegerLayer) =>
      layer.op === 'convolution' && layer.input === 0 && (layer.logOffset !== undefined) === logarithm
    const { model } = cases.find(({ model: { frontEnd, layers } }) => frontEnd.kind === 'raw' && layers.some(isMeant))!
    return { ...model, layers: model.layers.map((layer) => (isMeant(layer) ? { ...layer, accumulatorShift } : layer)) }
  }
  expect(() => encodeModel(shifted(1, true))).toThrow(/unknown operation/)
  expect(() => encodeModel(shifted(25, false))).toThrow(/unknown operation/)
  expect(() => encodeModel(shifted(15, false))).toThrow(/2\^accumulatorShift/)
})

test('logits do not depend on which models ran before', () => {
  const [a, b] = [load(cases[0].bytes), load(cases[1].bytes)]
  const first = a.run(cases[0].clip)
  b.run(cases[1].clip)
  expect(a.run(cases[0].clip)).toEqual(first)
})

test('a file decodes to the model it was made from', () => {
  for (const { model, bytes } of cases) expect(decodeModel(bytes)).toEqual(model)
})

test('the size of a file follows from structure, names and widths', () => {
  for (const { model, bytes } of cases) {
    const hollow = model.layers.map((layer) =>
      layer.op === 'convolution' ? { ...layer, weights: new Int8Array(0), bias: new Int32Array(0), multiplier: new Int32Array(0) } : layer,
    )
    expect(modelInfo({ ...model, layers: hollow }).flashBytes).toBe(bytes.length)
    expect(modelInfo(bytes)).toEqual(modelInfo(model))
  }
})

const builds = [{}, { native: true }, { cortex: 'dsp' }, { cortex: 'swar' }] as const
describe.skipIf(!hasHostCompiler()).each(builds)('host build %o (skipped without cc)', (options) => {
  let host: Host
  beforeAll(() => {
    host = new Host({ sanitize: hasSanitizers(), ...options })
  }, compileTimeout)
  afterAll(() => host?.close())

  test('gives the same logits as WebAssembly, prepared or not, clean under the sanitizers', () => {
    const results = host.run(cases.map(({ bytes, clip }) => ({ kind: 'run', first: bytes, second: clip })))
    for (const [i, { seed, bytes, clip }] of cases.entries()) {
      expect(results[i].status).toBe(0)
      expect([seed, ...new Int16Array(results[i].bytes.buffer)]).toEqual([seed, ...load(bytes).run(clip)])
    }
  })
})
