// The integer model against the network it comes from: layer by layer against float64 on random networks, and answer by answer against
// the fake-quantized network on the tape, random and trained.
import { type Engine, Random, type Stored } from '@bitwright/engine'
import { encodeModel, type IntegerConvolution, type IntegerModel, load } from '@bitwright/runtime'
import { interpret } from '@bitwright/runtime/reference'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { AudioDataset, Sample } from '../data/dataset.ts'
import { lowerSkeleton } from '../hardware/lower.ts'
import { classifier, convolution } from '../network/blocks.ts'
import { isView, isWeighted, nodesById, throughViews } from '../network/graph.ts'
import type { Network, NetworkNode, WeightedNetworkNode } from '../network/network.ts'
import { inferShapes } from '../network/shapes.ts'
import { withBits } from '../network/transform.ts'
import { ActivationStatistics } from '../quantizers/index.ts'
import type { SampleSource } from './sample-source.ts'
import { foldOffset } from './convert-channels.ts'
import { convertNetwork, settleNorms } from './convert.ts'
import { Evaluator } from './evaluate.ts'
import { createStore } from './initialize.ts'
import { compareAnswers, integerLogits } from './integer-evaluator.ts'
import { Quantization } from './quantization.ts'
import { withStartBits } from './quantizer-choice.ts'
import { bothAnswers, errorBeyondRounding, initializeWeights, real, startedQuantization } from './testing/quantized.ts'
import { randomizeParameters, randomNetwork } from './testing/random-networks.ts'
import { openEngine, toneClasses, toneDataset, toneNetwork, toneSource } from './testing/tones.ts'
import { calibrate, Trainer } from './trainer.ts'

let engine: Engine
let dataset: AudioDataset
let source: SampleSource
beforeAll(async () => {
  engine = await openEngine(1)
  dataset = toneDataset()
  source = toneSource(engine, dataset)
})
afterAll(() => engine.backend.close())

interface Quantized {
  readonly network: Network
  readonly store: ReturnType<typeof createStore>
  readonly quantization: Quantization
  /** Float weights by id. */
  readonly weights: ReadonlyMap<string, Float32Array>
}

async function quantizedRandomNetwork(seed: number): Promise<Quantized> {
  const random = new Random(seed, 'conversion')
  const network = randomNetwork(random, { kind: 'raw', sampleRate: dataset.sampleRate, samples: dataset.samples }, toneClasses)
  const store = createStore(engine, [network], seed)
  randomizeParameters(random, network, store)
  const granularity = random.integer(2) ? 'channel' : 'tensor'
  const { quantization, weights } = await startedQuantization(engine, dataset, { network, store, seed, granularity })
  // steps as training leaves them: a little off what calibration found
  for (const { id } of network.nodes) {
    for (const narrowed of [false, true]) {
      const [step] = quantization.activationQuantizer(id, narrowed)?.parameters() ?? []
      if (step) step.values[0] *= random.uniform(0.8, 1.5)
    }
  }
  return { network, store, quantization, weights }
}

/** A layer with weights in float64, from the definitions in network.ts. Results [height][width][channels]. */
function weightedReference({ store, quantization, weights, network }: Quantized, node: WeightedNetworkNode, x: Float64Array): Float64Array {
  const shapes = inferShapes(network)
  const [height, width, inputs] = shapes.get(node.inputs[0])!
  const [rows, columns, channels] = shapes.get(node.id)!
  const kernel = node.op === 'linear' ? [1, 1] : node.kernelSize
  const stride = node.op === 'linear' ? [1, 1] : node.stride
  const padding = node.op === 'linear' ? [0, 0, 0, 0] : node.padding
  const depthwise = node.op === 'convolution' && node.groups > 1
  const quantized = weights.get(node.id)!.slice()
  quantization.weightQuantizer(node.id).forward(quantized, quantized)
  const at = (suffix: string, c: number, otherwise: number) =>
    store.has(`${node.id}.${suffix}`) ? store.value(`${node.id}.${suffix}`)[c] : otherwise
  const y = new Float64Array(rows * columns * channels)
  for (let i = 0; i < y.length; i++) {
    const c = i % channels
    const [row, column] = [Math.floor(i / channels / columns), Math.floor(i / channels) % columns]
    let sum = 0
    for (let ky = 0; ky < kernel[0]; ky++) {
      for (let kx = 0; kx < kernel[1]; kx++) {
        const [iy, ix] = [row * stride[0] + ky - padding[0], column * stride[1] + kx - padding[2]]
        if (iy < 0 || ix < 0 || iy >= height || ix >= width) continue
        const tap = ky * kernel[1] + kx
        if (depthwise) sum += x[(iy * width + ix) * inputs + c] * quantized[tap * channels + c]
        else for (let k = 0; k < inputs; k++) sum += x[(iy * width + ix) * inputs + k] * quantized[(tap * inputs + k) * channels + c]
      }
    }
    if (node.activation === 'logMagnitude') sum = Math.log(Math.abs(sum) + 1e-3)
    const normalized =
      node.normalization === 'none'
        ? sum + (node.bias ? at('bias', c, 0) : 0)
        : ((sum - at('mean', c, 0)) / Math.sqrt(at('variance', c, 1) + 1e-5)) * at('scale', c, 1) + at('offset', c, 0)
    const limits = node.activation === 'relu' ? [0, Infinity] : node.activation === 'relu6' ? [0, 6] : [-Infinity, Infinity]
    y[i] = Math.max(limits[0], Math.min(limits[1], normalized))
  }
  return y
}

function reference(quantized: Quantized, node: NetworkNode, inputs: Float64Array[]): Float64Array {
  const shapes = inferShapes(quantized.network)
  if (isWeighted(node)) return weightedReference(quantized, node, inputs[0])
  if (node.op === 'add')
    return inputs[0].map((value, i) => (node.activation === 'relu' ? Math.max(0, value + inputs[1][i]) : value + inputs[1][i]))
  const [height, width, channels] = shapes.get(node.inputs[0])!
  const [kernel, stride] =
    node.op === 'averagePool'
      ? [node.kernelSize, node.stride]
      : [
          [height, width],
          [1, 1],
        ]
  const [rows, columns] = shapes.get(node.id)!
  return Float64Array.from({ length: rows * columns * channels }, (_, i) => {
    const [row, column] = [Math.floor(i / channels / columns), Math.floor(i / channels) % columns]
    let sum = 0
    for (let y = 0; y < kernel[0]; y++) {
      for (let x = 0; x < kernel[1]; x++)
        sum += inputs[0][((row * stride[0] + y) * width + column * stride[1] + x) * channels + (i % channels)]
    }
    return sum / (kernel[0] * kernel[1])
  })
}

/** The tone network with so many taps in its first layer. */
function wideToneNetwork(taps: number): Network {
  const network = toneNetwork()
  const wide = { kernelSize: [taps, 1], padding: [taps, taps, 0, 0] } as const
  return { ...network, nodes: network.nodes.map((node) => (node.id === 'front' ? { ...node, ...wide } : node)) as NetworkNode[] }
}

describe('convertNetwork', () => {
  it('computes every layer of random networks as float64 does, to a fraction of a step', async () => {
    const seen = new Set<string>()
    for (let seed = 0; seed < 40; seed++) {
      const quantized = await quantizedRandomNetwork(seed)
      const { network, quantization } = quantized
      const model = convertNetwork(quantized)
      const { layers, tensors, narrowing } = lowerSkeleton(network)
      const nodes = nodesById(network)
      for (const clip of dataset.splits.test.slice(0, 2)) {
        const values = interpret(model, dataset.pcm.subarray(clip.index * dataset.samples, (clip.index + 1) * dataset.samples))
        for (const node of network.nodes.slice(1)) {
          if (isView(node)) continue
          const layer = model.layers[layers.get(node.id)!]
          const from = 'inputs' in layer ? layer.inputs : [layer.input]
          const inputs = from.map((at) => real(model.tensors[at], values[at]))
          const at = tensors.get(node.id)!
          // a step of the input's smallest weight is what epsilon is rounded to
          const isLogarithm = isWeighted(node) && node.activation === 'logMagnitude'
          const error = errorBeyondRounding(model.tensors[at], values[at], reference(quantized, node, inputs))
          expect([seed, node.id, error < (isLogarithm ? 0.4 : 0.02) || error]).toEqual([seed, node.id, true])
          seen.add(node.op)
          if (isWeighted(node)) seen.add(`weights ${node.weightBits}`).add(`inputs ${node.activationBits}`).add(node.activation)
        }
        for (const [id, at] of narrowing) {
          const layer = model.layers[at] as { input: number; output: number }
          const error = errorBeyondRounding(
            model.tensors[layer.output],
            values[layer.output],
            real(model.tensors[layer.input], values[layer.input]),
          )
          expect([seed, id, error < 0.02 || error]).toEqual([seed, id, true])
          expect(model.tensors[layer.output].scale).toBe(quantization.activationQuantizer(id, true)!.grid().scale)
          seen.add('narrowed')
        }
        for (const [id, at] of tensors) {
          const grid = quantization.activationQuantizer(throughViews(nodes, id))?.grid()
          if (grid) expect(model.tensors[at].scale).toBe(grid.scale)
        }
      }
    }
    for (const kind of ['convolution', 'sinc', 'linear', 'add', 'averagePool', 'narrowed', 'logMagnitude', 'relu6', 'none'])
      expect(seen).toContain(kind)
    for (let bits = 1; bits <= 8; bits++) for (const kind of ['weights', 'inputs']) expect(seen).toContain(`${kind} ${bits}`)
  })

  it('answers as the fake-quantized network does on random networks, nearly always to the same step', async () => {
    const clips = [...dataset.splits.validation, ...dataset.splits.test]
    let [same, within, all] = [0, 0, 0]
    for (let seed = 0; seed < 40; seed++) {
      const quantized = await quantizedRandomNetwork(seed)
      const { model, logits, whole } = await bothAnswers(engine, quantized, dataset, clips)
      clips.forEach((clip, i) => {
        const { differing, largestDifference } = compareAnswers([clip], [logits[i]], [whole[i]], model.tensors.at(-1)!.scale)
        all++
        if (differing.length === 0) same++
        if (largestDifference <= 1) within++
      })
    }
    expect(within / all).toBeGreaterThan(0.995)
    expect(same / all).toBeGreaterThan(0.999)
  })

  it('answers as the trained network does, at 8, 4, 2 and trained bits', async () => {
    const network = toneNetwork()
    const store = createStore(engine, [network], 1)
    const options = { batchSize: 40, optimizer: 'adam', learningRate: 0.01, weightDecay: 0, labelSmoothing: 0.1, seed: 1 } as const
    const trainer = new Trainer(engine, network, store, source, { ...options, epochs: 4, purpose: 'train' })
    for (let epoch = 0; epoch < 4; epoch++) await trainer.epoch(epoch)
    trainer.dispose()
    const trained = store.snapshot()
    const clips = [...dataset.splits.validation, ...dataset.splits.test]
    for (const bits of [8, 4, 2, 'trained'] as const) {
      store.restore(trained)
      const widths = { weightBits: bits, activationBits: bits }
      const start = withStartBits(network, widths)
      const quantization = new Quantization(store, start, { ...widths, granularity: 'channel', penalty: 4 })
      await calibrate(engine, network, store, source, quantization, { seed: 1, batchSize: 40 })
      const tuner = new Trainer(engine, start, store, source, { ...options, learningRate: 0.003, epochs: 2, purpose: 'tune' }, quantization)
      tuner.initializeQuantizers()
      for (let epoch = 0; epoch < 2; epoch++) await tuner.epoch(epoch)
      tuner.dispose()
      const logitsOf = async () => {
        const evaluator = new Evaluator(engine, start, store, { quantization })
        const { logits } = await evaluator.logits(source, clips)
        evaluator.dispose()
        return logits
      }
      const largestLogit = Math.max(...(await logitsOf()).flatMap((row) => [...row].map(Math.abs)))
      const conversion = { network: quantization.decided(), store, quantization, largestLogit }
      const model = convertNetwork(conversion)
      expect(model.tensors.at(-1)!.scale).toBe(Math.fround((2 * largestLogit) / 32767))
      settleNorms(conversion, model)
      expect(convertNetwork(conversion)).toEqual(model)
      const logits = await logitsOf()
      const whole = await integerLogits(model, dataset, clips)
      const { differing, largestDifference } = compareAnswers(clips, logits, whole, model.tensors.at(-1)!.scale)
      expect([bits, differing]).toEqual([bits, []])
      // int16 logits are far finer than one step of an 8-bit value that rounding turns over
      expect(largestDifference).toBeLessThan(bits === 8 ? 300 : 1)
    }
  })

  it('answers as the fake-quantized network does on images, at every width of the first layer', async () => {
    const random = new Random(5, 'images')
    const same = { channels: 6, kernelSize: [3, 3] } as const
    const nodes: NetworkNode[] = [
      { id: 'input', op: 'input', inputs: [], shape: [8, 6, 3] },
      convolution('first', 'input', { ...same, padding: [0, 1, 0, 1] }),
      convolution('second', 'first', { ...same, activation: 'none' }),
      { id: 'add', op: 'add', inputs: ['first', 'second'], activation: 'relu' },
      ...classifier('add', 3),
    ]
    const frontEnd = { kind: 'image', height: 8, width: 6, channels: 3 } as const
    const pictures = Array.from({ length: 20 }, () => Uint8Array.from({ length: 8 * 6 * 3 }, () => random.integer(256)))
    const fill = (input: Stored, clips: readonly Sample[]): void => {
      const { stride } = input
      const values = engine.floats(input.offset, input.batch * 8 * 6 * stride)
      clips.forEach(({ index }, row) =>
        pictures[index].forEach((pixel, i) => (values[(row * 8 * 6 + Math.floor(i / 3)) * stride + (i % 3)] = (pixel - 128) / 128)),
      )
    }
    const clips = pictures.map((_, index) => ({ index, label: 0 })) as unknown as Sample[]
    const statistics = new ActivationStatistics()
    statistics.observe(Array.from({ length: 1000 }, () => random.normal()))
    for (const bits of [8, 4]) {
      const graph: Network = { format: 'bitwright-network-1', name: 'pictures', frontEnd, classes: ['a', 'b', 'c'], nodes }
      const overrides = { first: { weightBits: 8, activationBits: bits } }
      const widths = withBits(graph, { weightBits: 4, activationBits: 4 }, { overrides })
      const store = createStore(engine, [widths], bits)
      const quantization = new Quantization(store, widths, { weightBits: 4, activationBits: 4, granularity: 'channel' })
      for (const { id } of nodes)
        for (const narrowed of [false, true]) quantization.activationQuantizer(id, narrowed)?.initialize(statistics)
      expect(quantization.activationQuantizer('input')).toBeUndefined()
      initializeWeights(engine, widths, store, quantization)
      const evaluator = new Evaluator(engine, widths, store, { quantization, batch: 5 })
      const { logits } = await evaluator.logits({ fill } as unknown as SampleSource, clips)
      evaluator.dispose()
      const model = convertNetwork({ network: quantization.decided(), store, quantization })
      expect(model.tensors[0]).toMatchObject({ scale: 2 ** -7, zeroPoint: 0, min: -128, max: 127 })
      const loaded = load(encodeModel(model))
      const whole = pictures.map((pixels) => loaded.run(pixels))
      const { largestDifference } = compareAnswers(clips, logits, whole, model.tensors.at(-1)!.scale)
      expect([bits, largestDifference <= 1 || largestDifference]).toEqual([bits, true])
      expect(new Set(whole.map((row) => row.join())).size).toBeGreaterThan(10)
    }
  })

  it('gives a channel that batch norm has switched off its offset, whatever it hears', async () => {
    const network = withBits(wideToneNetwork(400), { weightBits: 8, activationBits: 8 })
    const store = createStore(engine, [network], 0)
    const quantization = new Quantization(store, network, { weightBits: 8, activationBits: 8, granularity: 'channel' })
    store.value('front.weight').fill(0.1)
    store.value('front.scale')[2] = 0
    store.value('front.offset').fill(3)[2] = 1.7
    await calibrate(engine, network, store, source, quantization, { seed: 0, batchSize: 30 })
    const model = convertNetwork({ network, store, quantization })
    const { scale, zeroPoint, shape } = model.tensors[1]
    const loud = Int16Array.from({ length: dataset.samples }, () => 32767)
    const [height, , channels] = shape
    const front = interpret(model, loud)[1]
    expect(1.7 / scale + zeroPoint).toBeLessThan(100)
    for (let row = 0; row < height; row++) expect(front[row * channels + 2]).toBe(Math.round(1.7 / scale) + zeroPoint)
  })

  it('names the layer whose sums would leave int32, and a network that is not the quantized one', async () => {
    const wide = wideToneNetwork
    const convert = (network: Network, quantizedAs: Network): IntegerModel => {
      const store = createStore(engine, [network], 0)
      store.value('front.weight').fill(0.1)
      return convertNetwork({
        network,
        store,
        quantization: new Quantization(store, quantizedAs, { weightBits: 8, activationBits: 8, granularity: 'channel' }),
      })
    }
    const eight = { weightBits: 8, activationBits: 8 }
    expect(() => convert(withBits(wide(600), eight), withBits(wide(600), eight))).toThrow(/layer "front".*beyond int32.*weight bits/)
    const model = convert(withBits(wide(400), eight), withBits(wide(400), eight))
    expect((model.layers[0] as IntegerConvolution).weights.every((weight) => weight === 127)).toBe(true)
    const four = withBits(wide(400), { weightBits: 8, activationBits: 4 })
    expect(() => convert(four, withBits(wide(400), eight))).toThrow(/quantization\.decided\(\)/)
  })
})

describe('foldOffset', () => {
  it('keeps factor * bias at the offset, however small the factor', () => {
    expect(foldOffset(0.25, 3.1, 1000)).toEqual({ bias: 12, factor: 0.25 })
    expect(foldOffset(-0.25, 3.1, 1000)).toEqual({ bias: -12, factor: -0.25 })
    for (const perUnit of [1e-9, 0]) {
      for (const offset of [2, -2]) {
        const { bias, factor } = foldOffset(perUnit, offset, 1000.5)
        expect(bias).toBe(1000 * Math.sign(offset))
        expect(factor * bias).toBeCloseTo(offset, 12)
      }
    }
    expect(foldOffset(0, 0, 1000)).toEqual({ bias: 0, factor: 0 })
  })
})
