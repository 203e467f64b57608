// ONNX files: their structure, read back by a decoder of the tests' own, and their logits in ONNX Runtime beside those of our runtime.
import type { Engine } from '@bitwright/engine'
import { encodeModel, type IntegerConvolution, type IntegerLayer, type IntegerModel, load, spectralFrames } from '@bitwright/runtime'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { randomClip, randomModel, seededDraw } from '@bitwright/runtime/testing'
import { randomAttention } from '@bitwright/runtime/testing/random-attention'
import type { AudioDataset } from '../data/dataset.ts'
import { withoutBits } from '../network/transform.ts'
import type { SampleSource } from '../training/sample-source.ts'
import { Evaluator } from '../training/evaluate.ts'
import { openEngine, toneDataset, toneGraphNetwork, toneSource } from '../training/testing/tones.ts'
import { floatNetwork } from './float-network.ts'
import { onnxModel } from './onnx.ts'
import { floatOnnxModel } from './onnx-float.ts'
import { convertedNetwork } from './testing/converted-networks.ts'
import { type OnnxFile, readOnnx } from './testing/onnx-reader.ts'
import { onnxRuntime, onnxRuntimeReason } from './testing/onnxruntime.ts'

/** Every name is made once, before it is read; the one output is made. */
function checkNames({ nodes, constants, inputs, outputs }: OnnxFile): void {
  const known = new Set([...constants.keys(), ...inputs.map(({ name }) => name)])
  expect(known.size).toBe(constants.size + inputs.length)
  for (const { name, output, inputs: read } of nodes) {
    for (const each of read) expect(known, `${name} reads ${each}`).toContain(each)
    expect(known).not.toContain(output)
    known.add(output)
  }
  for (const { name } of outputs) expect(known).toContain(name)
}

/** One convolution from raw audio to logits, with these weights. */
function oneLayer(layer: Partial<IntegerConvolution>): IntegerModel {
  const weights = layer.weights ?? Int8Array.of(1, 1)
  const [samples, channels] = [weights.length / 2, 2]
  const range = { containerBits: 16, bits: 16, zeroPoint: 0, min: -32768, max: 32767 } as const
  const convolution: IntegerConvolution = {
    op: 'convolution',
    name: 'logits',
    input: 0,
    output: 1,
    kernelSize: [samples, 1],
    stride: [1, 1],
    padding: [0, 0, 0, 0],
    groups: 1,
    weightBits: 8,
    weights,
    bias: Int32Array.of(300, -5),
    multiplier: Int32Array.of(2 ** 30, -(2 ** 30)),
    shift: Int8Array.of(-7, -7),
    ...layer,
  }
  return {
    name: 'one',
    classes: ['ja', 'nein, "nö"'],
    frontEnd: { kind: 'raw', sampleRate: 16_000, samples },
    tensors: [
      { name: 'input', shape: [samples, 1, 1], scale: 2 ** -15, ...range },
      { name: 'logits', shape: [1, 1, channels], scale: 2 ** -8, ...range },
    ],
    layers: [convolution],
  }
}

const weightsOf = (file: OnnxFile) => file.constants.get('logits.weights')!

describe('onnxModel', () => {
  it('is opset 25, with named input and output, classes, front end and true widths', () => {
    const model = oneLayer({ weights: Int8Array.of(1, -2, 1, 0, -1, 1), weightBits: 2 })
    const file = readOnnx(onnxModel(model))
    expect(file).toMatchObject({ irVersion: 13, opset: 25, name: 'one' })
    expect(file.inputs).toEqual([{ name: 'audio', type: 'float', shape: [1, 3] }])
    expect(file.outputs).toEqual([{ name: 'logits', type: 'float', shape: [1, 2] }])
    expect(file.metadata['bitwright.format']).toBe('bw-1')
    const parsed = Object.fromEntries(
      Object.entries(file.metadata)
        .slice(1)
        .map(([key, value]) => [key, JSON.parse(value)]),
    )
    expect(parsed).toEqual({
      'bitwright.classes': model.classes,
      'bitwright.frontEnd': model.frontEnd,
      'bitwright.weightBits': { logits: 2 },
      'bitwright.activationBits': { input: 16, logits: 16 },
    })
    checkNames(file)
  })

  it.each([
    [1, [-1, 1, 1, -1, 1, 1], 'int2', 2],
    [2, [-2, 1, 0, -1, 1, 1], 'int2', 2],
    [2, [-3, 3, 1, -1, 1, 1], 'int4', 3],
    [3, [-7, 7, 1, -1, 5, 1], 'int4', 3],
    [3, [-4, 3, 0, -1, 2, 1], 'int4', 3],
    [4, [-8, 7, 0, -1, 2, 1], 'int4', 3],
    [4, [-15, 15, 1, -1, 3, 1], 'int8', 6],
    [5, [-16, 15, 0, -1, 2, 1], 'int8', 6],
    [8, [-128, 127, 0, -1, 2, 1], 'int8', 6],
  ])('%i bits of %j are %s', (weightBits, values, type, bytes) => {
    const multiplier = Int32Array.of(2 ** 30, 2 ** 30)
    const file = readOnnx(onnxModel(oneLayer({ weights: Int8Array.from(values), weightBits, multiplier })))
    expect(weightsOf(file)).toEqual({ type, shape: [2, 1, 3, 1], values, bytes })
    expect(file.constants.get('logits.weights.zeroPoint')).toMatchObject({ type, values: [0, 0] })
  })

  it('takes scales and biases from the multipliers, and the sign of a negative one into the weights', () => {
    const model = oneLayer({ weights: Int8Array.of(3, 4, -128, 6), accumulatorShift: 3 })
    const file = readOnnx(onnxModel(model))
    // a unit is 2^-8 steps of 2^-8, with its three bits of shift; the input's is 2^-15
    const unit = 2 ** -16
    expect(weightsOf(file)).toMatchObject({ type: 'int16', values: [3, 4, 128, -6] })
    expect(file.constants.get('logits.weights.scale')!.values).toEqual([unit * 8 * 2 ** 15, unit * 8 * 2 ** 15])
    expect(file.constants.get('logits.biased.offset')!.values).toEqual([300 * unit, 5 * unit])
  })

  it('writes layers with weights as convolutions and keeps their shapes', () => {
    for (let seed = 0; seed < 60; seed++) {
      const draw = seededDraw(seed)
      const model = randomModel(draw)
      const hasForm = model.layers.every(isPositive)
      if (!hasForm) {
        expect(() => onnxModel(model)).toThrow(/^layer ".*": its factor .* not above 0/)
        continue
      }
      const file = readOnnx(onnxModel(model))
      checkNames(file)
      const convolutions = model.layers.filter((layer) => layer.op === 'convolution')
      const nodes = file.nodes.filter(({ op }) => op === 'Conv')
      expect(nodes.length).toBe(convolutions.length)
      convolutions.forEach((layer, i) => {
        const [top, bottom, left, right] = layer.padding
        expect(nodes[i].attributes).toEqual({
          kernel_shape: layer.kernelSize,
          strides: layer.stride,
          pads: [top, left, bottom, right],
          group: [layer.groups],
        })
      })
      expect(file.nodes.some(({ op }) => ['MatMul', 'Gemm'].includes(op))).toBe(false)
    }
  })

  it('adds biases after the convolutions, or gives them to the convolutions', () => {
    const conv = (file: OnnxFile) => file.nodes.find(({ op }) => op === 'Conv')!
    const added = readOnnx(onnxModel(oneLayer({})))
    expect(conv(added).inputs).toHaveLength(2)
    expect(added.nodes.find(({ op }) => op === 'Add')!.inputs[0]).toBe(conv(added).output)
    const given = readOnnx(onnxModel(oneLayer({}), { integerConvolutions: true }))
    expect(given.nodes.some(({ op }) => op === 'Add')).toBe(false)
    expect(given.constants.get(conv(given).inputs[2])!.values).toEqual(added.constants.get('logits.biased.offset')!.values)
  })

  it('names a layer that ONNX has no form for', () => {
    expect(() => onnxModel(oneLayer({ logOffset: Uint32Array.of(1, 0) }))).toThrow('layer "logits": a logarithm without an offset')
  })
})

/** Whether a layer that only rescales has a factor that a scale may have; terms of a sum may be subtracted, or nothing. */
function isPositive(layer: IntegerLayer): boolean {
  if (layer.op === 'convolution' || layer.op === 'add' || !('multiplier' in layer)) return true
  return layer.multiplier.every((each) => each > 0)
}

const ort = onnxRuntime()

describe.skipIf(!ort)(`in ${onnxRuntimeReason}`, () => {
  const runtime = ort!
  let engine: Engine
  let dataset: AudioDataset
  let source: SampleSource
  beforeAll(async () => {
    engine = await openEngine(1)
    dataset = toneDataset({ test: 10 })
    source = toneSource(engine, dataset)
  })
  afterAll(() => engine.backend.close())

  const argMax = (values: ArrayLike<number>): number => Array.from(values).indexOf(Math.max(...Array.from(values)))
  const pcmOf = (index: number): Int16Array => dataset.pcm.subarray(index * dataset.samples, (index + 1) * dataset.samples)
  const asAudio = (pcm: Int16Array) => ({
    audio: new runtime.Tensor(
      'float32',
      Float32Array.from(pcm, (v) => v / 32768),
      [1, pcm.length],
    ),
  })

  /** Largest difference of a clip's logits in steps; fails where the answers differ by more than a step. */
  async function differences(model: IntegerModel): Promise<number[]> {
    const session = await runtime.InferenceSession.create(onnxModel(model))
    const ours = load(encodeModel(model))
    const { scale, zeroPoint } = model.tensors[model.layers[model.layers.length - 1].output]
    const result: number[] = []
    for (const { index } of dataset.splits.test) {
      const logits = ours.run(pcmOf(index))
      const { data } = (await session.run(asAudio(pcmOf(index)))).logits
      const theirs = Float64Array.from(data, (value) => value / scale + zeroPoint)
      const largest = Math.max(...theirs.map((value, i) => Math.abs(value - logits[i])))
      result.push(largest)
      if (largest <= 1.01) expect(logits[argMax(logits)] - logits[argMax(data)]).toBeLessThanOrEqual(2)
    }
    return result
  }

  it.each(['mixed', 8, 6, 4, 3, 2, 1] as const)('random networks, bits: %s, give the same logits to a step', async (bits) => {
    const exact: boolean[] = []
    const logarithmic: boolean[] = []
    for (let seed = 0; seed < 12; seed++) {
      const { model, network } = await convertedNetwork(
        engine,
        dataset,
        source,
        dataset.splits.test,
        seed,
        bits === 'mixed' ? undefined : bits,
      )
      const hasLogarithm = network.nodes.some((node) => 'activation' in node && node.activation === 'logMagnitude')
      const toAStep = (await differences(model)).map((steps) => steps <= 1.01)
      if (hasLogarithm) logarithmic.push(...toAStep)
      else exact.push(...toAStep)
    }
    const share = (values: readonly boolean[]): number => values.filter(Boolean).length / values.length
    // all of them on the processors it was tried on; another order of a float sum may turn one over
    expect(share(exact)).toBeGreaterThan(0.99)
    // the core's logarithm is off by up to 1.2 / 65536, so now and then a value is rounded the other way
    expect(share(logarithmic)).toBeGreaterThan(0.96)
  })

  /** A random input of a model: our logits, and the same as ONNX Runtime takes it. */
  function bothInputs(draw: ReturnType<typeof seededDraw>, model: IntegerModel, ours: ReturnType<typeof load>) {
    const [height, width, channels] = model.tensors[0].shape
    if (model.frontEnd.kind === 'mfcc' || model.frontEnd.kind === 'logmel') {
      const features = Float32Array.from(
        { length: height * width },
        () => (draw(2001) / 1000 - 1) * model.tensors[0].scale * 2 ** model.tensors[0].bits,
      )
      return { logits: ours.runFeatures(features), given: { features: new runtime.Tensor('float32', features, [1, height, width]) } }
    }
    const input = randomClip(draw, model.frontEnd)
    const given =
      model.frontEnd.kind === 'image'
        ? { pixels: new runtime.Tensor('uint8', input as Uint8Array, [1, height, width, channels]) }
        : asAudio(input as Int16Array)
    return { logits: ours.run(input), given }
  }

  it('random integer models of all kinds of layers, front ends and zero points', async () => {
    let [same, all] = [0, 0]
    for (let seed = 0; seed < 100; seed++) {
      const draw = seededDraw(seed)
      const model = randomModel(draw)
      if (!model.layers.every(isPositive)) continue
      const session = await runtime.InferenceSession.create(onnxModel(model))
      const ours = load(encodeModel(model))
      const { logits, given } = bothInputs(draw, model, ours)
      const { data } = (await session.run(given)).logits
      const largest = Math.max(...Array.from(data, (value, i) => Math.abs(value / model.tensors.at(-1)!.scale - logits[i])))
      all++
      if (largest <= 1.01) same++
    }
    // double rounding, and logarithms as above
    expect(all).toBeGreaterThan(80)
    expect(same / all).toBeGreaterThan(0.9)
  })

  it('the exact form gives the same bits, whatever the model', async () => {
    let all = 0
    for (let seed = 0; seed < 160; seed++) {
      const draw = seededDraw(seed)
      const model = seed < 120 ? randomModel(draw) : randomAttention(draw)
      const session = await runtime.InferenceSession.create(onnxModel(model, { exact: true }))
      const ours = load(encodeModel(model))
      for (let clip = 0; clip < 3; clip++) {
        const { logits, given } = bothInputs(draw, model, ours)
        const { data } = (await session.run(given)).logits
        const { scale, zeroPoint } = model.tensors[model.layers.at(-1)!.output]
        expect(Array.from(data, (value) => Math.round(value / scale + zeroPoint))).toEqual([...logits])
        all++
      }
    }
    expect(all).toBe(480)
  })

  it('the exact form of converted networks, logarithms included', async () => {
    for (let seed = 0; seed < 12; seed++) {
      const { model } = await convertedNetwork(engine, dataset, source, dataset.splits.test, seed)
      const session = await runtime.InferenceSession.create(onnxModel(model, { exact: true }))
      const ours = load(encodeModel(model))
      const { scale, zeroPoint } = model.tensors[model.layers.at(-1)!.output]
      for (const { index } of dataset.splits.test) {
        const { data } = (await session.run(asAudio(pcmOf(index)))).logits
        expect(Array.from(data, (value) => Math.round(value / scale + zeroPoint))).toEqual([...ours.run(pcmOf(index))])
      }
    }
  })

  const base = { sampleRate: 16000, samples: 8000, windowSamples: 640, hopSamples: 320, melBands: 40, lowHz: 20, highHz: 4000 } as const
  it.each([
    { ...base, kind: 'mfcc', coefficients: 10 },
    { ...base, kind: 'logmel', coefficients: 40, windowSamples: 480, hopSamples: 160 },
    { ...base, kind: 'mfcc', coefficients: 13, sampleRate: 8000, windowSamples: 201, hopSamples: 77, melBands: 17, lowHz: 0 },
  ] as const)('$kind of $windowSamples samples in the graph is what the core computes', async (frontEnd) => {
    // a model that gives the mean of its features
    const frames = spectralFrames(frontEnd)
    const { coefficients } = frontEnd
    const common = { zeroPoint: 0, min: -32768, max: 32767, containerBits: 16, bits: 16 } as const
    const model: IntegerModel = {
      name: 'mean',
      classes: Array.from({ length: coefficients }, (_, i) => `feature ${i}`),
      frontEnd,
      tensors: [
        { name: 'input', shape: [frames, coefficients, 1], scale: 2 ** -9, ...common },
        { name: 'turned', shape: [frames, 1, coefficients], scale: 2 ** -9, ...common },
        { name: 'logits', shape: [1, 1, coefficients], scale: 2 ** -9, ...common },
      ],
      layers: [
        { op: 'reshape', name: 'turned', input: 0, output: 1 },
        {
          op: 'averagePool',
          name: 'logits',
          input: 1,
          output: 2,
          kernelSize: [frames, 1],
          stride: [1, 1],
          multiplier: Int32Array.of(Math.round(2 ** 35 / frames)),
          shift: Int8Array.of(-4),
        },
      ],
    }
    const ours = load(encodeModel(model))
    const session = await runtime.InferenceSession.create(onnxModel(model, { frontEnd: true }))
    const draw = seededDraw(3)
    for (let clip = 0; clip < 4; clip++) {
      const pcm = Int16Array.from({ length: frontEnd.samples }, (_, n) => 8000 * Math.sin(n * (0.01 + 0.2 * clip)) + draw(2000) - 1000)
      const logits = ours.run(pcm)
      const { data } = (await session.run(asAudio(pcm))).logits
      data.forEach((value, c) => expect(Math.abs(value / 2 ** -9 - logits[c])).toBeLessThan(1.01))
    }
  })

  it('networks in float as the engine computes them', async () => {
    for (let seed = 0; seed < 12; seed++) {
      const { network, store } = await convertedNetwork(engine, dataset, source, dataset.splits.test, seed)
      const float = withoutBits(network)
      const evaluator = new Evaluator(engine, float, store)
      const { logits } = await evaluator.logits(source, dataset.splits.test)
      evaluator.dispose()
      const session = await runtime.InferenceSession.create(floatOnnxModel(floatNetwork(float, store)))
      for (const [i, { index }] of dataset.splits.test.entries()) {
        const { data } = (await session.run(asAudio(pcmOf(index)))).logits
        data.forEach((value, c) => expect(value).toBeCloseTo(logits[i][c], 4))
      }
    }
  })

  it("CENet-GCN's graph module: in float as the engine computes it, exactly as the core, and quantized near it", async () => {
    const near: boolean[] = []
    for (const [seed, bits] of [8, 4, 8, 4, 8, 4].entries()) {
      const graph = toneGraphNetwork()
      const { network, store, model } = await convertedNetwork(engine, dataset, source, dataset.splits.test, seed, bits, graph)
      const ours = load(encodeModel(model))
      const float = withoutBits(network)
      const evaluator = new Evaluator(engine, float, store)
      const { logits } = await evaluator.logits(source, dataset.splits.test)
      evaluator.dispose()
      const floatSession = await runtime.InferenceSession.create(floatOnnxModel(floatNetwork(float, store)))
      const exactSession = await runtime.InferenceSession.create(onnxModel(model, { exact: true }))
      const { scale, zeroPoint } = model.tensors.at(-1)!
      for (const [i, { index }] of dataset.splits.test.entries()) {
        const { data } = (await floatSession.run(asAudio(pcmOf(index)))).logits
        data.forEach((value, c) => expect(value).toBeCloseTo(logits[i][c], 4))
        const whole = (await exactSession.run(asAudio(pcmOf(index)))).logits.data
        expect(Array.from(whole, (value) => Math.round(value / scale + zeroPoint))).toEqual([...ours.run(pcmOf(index))])
      }
      near.push(...(await differences(model)).map((steps) => steps <= 1.01))
    }
    // probabilities are in 32767ths in the core: now and then one turns a value to the next step
    expect(near.filter(Boolean).length / near.length).toBeGreaterThan(0.6)
  })
})
