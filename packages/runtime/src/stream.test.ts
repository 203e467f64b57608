// Streams of random models: at every hop the logits of the whole window, bit for bit, on the WebAssembly and host builds; and what a stream
// takes, predicted to the byte.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseModel } from './decode.ts'
import { sealImage } from './encode.ts'
import { encodeModel, type IntegerLayer, type IntegerModel, load } from './index.ts'
import { loadNative, nativeMissing } from './native.ts'
import { streamPlan } from './stream-plan.ts'
import { compileTimeout, Host } from './testing/host.ts'
import { randomModel, seededDraw } from './testing/random-model.ts'
import { hasHostCompiler, hasSanitizers } from './tools/build-core.ts'

const cases = Array.from({ length: 200 }, (_, seed) => {
  const draw = seededDraw(5000 + seed)
  const model = randomModel(draw, true)
  if (model.frontEnd.kind === 'image') throw new Error('images do not stream')
  const { samples } = model.frontEnd
  const plan = streamPlan(model)
  const loudness = 2 ** (4 + draw(12))
  const length = 'reason' in plan ? samples : plan.firstSamples + draw(12 * plan.hopSamples)
  const audio = Int16Array.from({ length }, () => draw(2 * loudness) - loudness)
  return { seed, model, bytes: encodeModel(model), audio, samples, plan }
})
const streaming = cases.flatMap((each) => ('reason' in each.plan ? [] : [{ ...each, plan: each.plan }]))
/** By seed. */
const expected = new Map<number, number[][]>()

/** Logits of whole windows, hop by hop; behind the recording's end, where no layer looks any more, there is noise. */
function windows({ seed, bytes, audio, samples, plan }: (typeof streaming)[number]): number[][] {
  const known = expected.get(seed)
  if (known) return known
  const { hopSamples, firstSamples } = plan
  const model = load(bytes)
  const results: number[][] = []
  expected.set(seed, results)
  for (let at = 0; at + firstSamples <= audio.length; at += hopSamples) {
    const window = Int16Array.from({ length: samples }, (_, i) => (i * 7919) % 2000)
    window.set(audio.subarray(at, at + samples))
    results.push([...model.run(window)])
  }
  return results
}

test('most random models stream, with all kinds of layers, lengths and rates', () => {
  expect(streaming.length).toBeGreaterThan(150)
  const seen = new Set<string>()
  for (const { model, plan } of streaming) {
    seen.add(model.frontEnd.kind).add(plan.hopSamples === 1 ? 'every sample' : 'hops')
    if ('hopSamples' in model.frontEnd) seen.add(model.frontEnd.hopSamples > model.frontEnd.windowSamples ? 'gaps' : 'overlap')
    for (const layer of model.layers) for (const kind of kindsOf(model, layer)) seen.add(kind)
  }
  for (const kind of [
    'raw',
    'mfcc',
    'logmel',
    'hops',
    'every sample',
    'gaps',
    'overlap',
    'crop',
    'add',
    'add cropped',
    'reshape',
    'requantize',
  ])
    expect(seen).toContain(kind)
  for (const kind of [
    'dense',
    'depthwise',
    'sum of early and late',
    'average of rows',
    'average of a row',
    'skips rows',
    'split bytes',
    'made weights',
    'logarithm',
  ])
    expect(seen).toContain(kind)
  const reasons = new Set(cases.flatMap(({ plan }) => ('reason' in plan ? [plan.reason.replace(/^layer \S+: /, '')] : [])))
  expect(reasons).toContain('adds maps that come at different rates')
})

/** The row of the input with which a map's first row is there, by walking back. */
function firstRow(model: IntegerModel, tensor: number): number {
  const maker = model.layers.find(({ output }) => output === tensor)
  if (!maker) return 0
  if ('inputs' in maker) return Math.max(...maker.inputs.map((input) => firstRow(model, input)))
  const rows = 'kernelSize' in maker ? maker.kernelSize[0] - 1 : model.tensors[maker.input].shape[0] - model.tensors[tensor].shape[0]
  return firstRow(model, maker.input) + rows * stepOf(model, maker.input)
}

/** Rows of the input between rows of a map. */
function stepOf(model: IntegerModel, tensor: number): number {
  const maker = model.layers.find(({ output }) => output === tensor)
  if (!maker) return 1
  return stepOf(model, 'inputs' in maker ? maker.inputs[0] : maker.input) * ('stride' in maker ? maker.stride[0] : 1)
}

function kindsOf(model: IntegerModel, layer: IntegerLayer): string[] {
  const { shape, containerBits } = model.tensors[layer.output]
  const kinds: string[] = [layer.op]
  if ((shape[1] * shape[2] * containerBits) % 8 !== 0) kinds.push('split bytes')
  if (layer.op === 'add' && model.layers.some((other) => other.op === 'crop' && layer.inputs.includes(other.output)))
    kinds.push('add cropped')
  if (layer.op === 'add') {
    const [a, b] = layer.inputs.map((input) => firstRow(model, input))
    if (a !== b) kinds.push('sum of early and late')
  }
  if (layer.op === 'averagePool') kinds.push(layer.kernelSize[0] > 1 ? 'average of rows' : 'average of a row')
  if (layer.op === 'convolution') {
    kinds.push(layer.groups > 1 ? 'depthwise' : 'dense')
    if (layer.stride[0] > layer.kernelSize[0]) kinds.push('skips rows')
    if (layer.cutoffs) kinds.push('made weights')
    if (layer.logOffset) kinds.push('logarithm')
  }
  return kinds
}

const homes = [
  { home: 'WebAssembly', missing: undefined, open: load },
  { home: 'the addon for this processor (skipped without a C compiler)', missing: await nativeMissing(), open: loadNative },
]
describe.for(homes)('$home', ({ missing, open }) => {
  test.skipIf(missing)('a stream gives the logits of the whole window at every hop, whatever the pieces', async () => {
    for (const each of streaming) {
      const { seed, bytes, audio } = each
      const stream = (await open(bytes)).stream()
      const results: number[][] = []
      for (let at = 0, piece = 0; at < audio.length; piece++) {
        const size = [1, 7, 160, 5000][(seed + piece) % 4]
        for (const logits of stream.push(audio.subarray(at, at + size))) results.push([...logits])
        at += size
      }
      expect([seed, ...results]).toEqual([seed, ...windows(each)])
    }
  })

  test.skipIf(missing)('streams that take turns do not disturb each other', async () => {
    const [a, b] = streaming.slice(0, 2)
    const alone = await Promise.all([a, b].map(async ({ bytes, audio }) => (await open(bytes)).stream().push(audio)))
    const streams = await Promise.all([a, b].map(async ({ bytes }) => (await open(bytes)).stream()))
    const together: Int16Array[][] = [[], []]
    for (let at = 0; at < Math.max(a.audio.length, b.audio.length); at += 50) {
      for (const [i, { audio }] of [a, b].entries()) together[i].push(...streams[i].push(audio.subarray(at, at + 50)))
    }
    expect(together).toEqual(alone)
  })
})

test('a model that cannot stream says why', () => {
  const { model } = streaming.find((each) => each.model.layers[0].op === 'convolution')!
  const [first, ...rest] = model.layers
  if (first.op !== 'convolution') throw new Error('not a convolution')
  const { shape } = model.tensors[first.output]
  const [top, stride] = [first.stride[0], first.stride[0]]
  const longer = [shape[0] + top / stride, shape[1], shape[2]] as const
  const crop: IntegerLayer = { name: 'crop', op: 'crop', input: model.tensors.length, output: first.output }
  const padded: IntegerModel = {
    ...model,
    tensors: [...model.tensors, { ...model.tensors[first.output], name: 'longer', shape: longer }],
    layers: [{ ...first, padding: [top, 0, first.padding[2], first.padding[3]], output: model.tensors.length }, crop, ...rest],
  }
  const loaded = load(encodeModel(padded))
  expect(() => loaded.stream()).toThrow(`random: cannot stream: layer ${first.name}: is padded along time; train it with --streaming`)
})

describe.skipIf(!hasHostCompiler()).each([false, true])('host build, for this very processor: %s (skipped without cc)', (native) => {
  let host: Host
  beforeAll(() => {
    host = new Host({ sanitize: hasSanitizers(), native })
  }, compileTimeout)
  afterAll(() => host?.close())

  test('streams the same, prepared or not, in as many bytes as predicted, clean under the sanitizers', () => {
    const answers = host.run(cases.map(({ bytes, audio }) => ({ kind: 'stream', first: bytes, second: audio })))
    for (const [i, each] of cases.entries()) {
      const { seed, plan, model } = each
      const { status, bytes: answer } = answers[i]
      expect([seed, status]).toEqual([seed, 0])
      if ('reason' in plan) {
        expect([seed, plan.reason, answer.length]).toEqual([seed, plan.reason, 0])
        continue
      }
      const words = new Uint32Array(answer.buffer, answer.byteOffset, 4)
      const { planBytes, stateBytes, hopSamples, firstSamples } = plan
      expect([seed, ...words]).toEqual([seed, planBytes, stateBytes, hopSamples, firstSamples])
      const logits = new Int16Array(answer.slice(16).buffer)
      expect([seed, ...logits]).toEqual([seed, ...windows({ ...each, plan }).flat()])
      expect(logits.length % model.classes.length).toBe(0)
    }
  })

  test('damaged files that open stream harmlessly, in as many bytes as predicted, or not at all', () => {
    const mutants = Array.from({ length: 500 }, (_, seed) => {
      const draw = seededDraw(70_000 + seed)
      const bytes = streaming[draw(streaming.length)].bytes.slice()
      // records lie at the front, names at the end
      for (let i = 0, count = 1 + draw(2); i < count; i++) bytes[84 + draw(200)] = [0, 1, 2, 128, 255, draw(256)][draw(6)]
      sealImage(bytes)
      return bytes
    })
    const audio = streaming[0].audio.subarray(0, 600)
    const answers = host.run(mutants.map((first) => ({ kind: 'stream', first, second: audio })))
    let streams = 0
    for (const [i, { status, bytes: answer }] of answers.entries()) {
      if (status !== 0) continue
      const plan = streamPlan(parseModel(mutants[i], 'mutant'))
      if ('reason' in plan) expect([i, plan.reason, answer.length]).toEqual([i, plan.reason, 0])
      else {
        const words = new Uint32Array(answer.buffer, answer.byteOffset, 4)
        expect([i, ...words]).toEqual([i, plan.planBytes, plan.stateBytes, plan.hopSamples, plan.firstSamples])
        streams++
      }
    }
    expect(streams).toBeGreaterThan(50)
  })
})
