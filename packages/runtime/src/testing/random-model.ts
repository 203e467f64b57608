// Seeded random integer models for the tests: every kind of layer, width, container and padding, awkward channel counts.

import { type CompactForm, biasShift, expandChannel, fractionBits, largestBias, largestScale } from '../compact.ts'
import { interpret } from '../reference.ts'
import type { IntegerConvolution, IntegerFrontEnd, IntegerLayer, IntegerModel, IntegerTensor } from '../model.ts'
import { sincFilters } from '../sinc-filter.ts'

export type Draw = (count: number) => number

/** Uniform whole numbers in [0, count): mulberry32. */
export function seededDraw(seed: number): Draw {
  let state = (seed * 2654435761) | 0
  return (count) => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * count)
  }
}

const containers = [2, 4, 8, 16] as const
export const pick = <T>(draw: Draw, values: readonly T[]): T => values[draw(values.length)]

/** A tensor of random container, range and zero point; `narrow` keeps it to what an addition may read. */
export function randomTensor(draw: Draw, name: string, shape: readonly [number, number, number], narrow = true): IntegerTensor {
  const containerBits = pick(draw, narrow ? ([2, 4, 8] as const) : containers)
  const bits = containerBits === 16 ? 9 + draw(8) : containerBits === 2 ? 1 + draw(2) : containerBits / 2 + 1 + draw(containerBits / 2)
  const levels = 2 ** bits
  const lowest = containerBits >= 8 ? -(2 ** (containerBits - 1)) : -40
  const min = lowest + draw(containerBits >= 8 ? 2 ** containerBits - levels + 1 : 60)
  const max = min + levels - 1 - draw(Math.min(3, levels - 1))
  const zeroPoint = containerBits === 16 ? Math.max(-100, Math.min(100, min + draw(levels))) : min - 20 + draw(levels + 40)
  const reach = containerBits === 16 ? { min: Math.max(min, zeroPoint - 32768), max: Math.min(max, zeroPoint + 32767) } : { min, max }
  return { name, shape, containerBits, bits, scale: Math.fround(0.001 + draw(1000) / 500), zeroPoint, ...reach }
}

export function multiplierOf(draw: Draw, real: number): { multiplier: number; shift: number } {
  if (draw(20) === 0) return { multiplier: pick(draw, [-(2 ** 31), 0, 2 ** 31 - 1, -(2 ** 30)]), shift: draw(62) - 31 }
  let shift = 0
  while (real < 0.5 && shift > -31) [real, shift] = [real * 2, shift - 1]
  while (real >= 1 && shift < 30) [real, shift] = [real / 2, shift + 1]
  return { multiplier: Math.min(2 ** 31 - 1, Math.round(real * 2 ** 31)), shift }
}

/** Parameters near the given ones that four bytes a channel stand for: scales of all exponents, zero and those that underflow among them. */
function randomCompact(draw: Draw, reals: readonly number[], biases: readonly number[]) {
  const high = Math.ceil(Math.log2(Math.max(...reals)))
  const scaleExponent = Math.max(-62, Math.min(2, high - 28 + pick(draw, [0, 0, 1, 5, 12, 20])))
  const form: CompactForm = { scaleExponent, biasExponent: high + draw(12) }
  const parameters = reals.map((real, c) => {
    const exponent = Math.max(0, Math.floor(Math.log2(real / 2 ** scaleExponent)) - fractionBits + 1)
    const fraction = Math.round(real / 2 ** (scaleExponent + Math.max(exponent, 1) - 1))
    const near = exponent > 15 ? largestScale : Math.min(largestScale, Math.max(0, exponent - 1) * 2 ** fractionBits + fraction)
    const scale = draw(20) === 0 ? pick(draw, [0, 1, 2, 8191, 8192, largestScale, draw(largestScale)]) : near
    const { shift, multiplier } = expandChannel(form, { scale, bias: 0 })
    const length = multiplier === 0 ? scaleExponent + fractionBits + 1 : shift + 1 - Math.clz32(multiplier)
    const bias = Math.trunc(biases[c] / 2 ** biasShift(form.biasExponent, length))
    return expandChannel(form, { scale, bias: Math.max(-largestBias - 1, Math.min(largestBias, bias)) })
  })
  return {
    compact: form,
    bias: Int32Array.from(parameters, ({ bias }) => bias),
    multiplier: Int32Array.from(parameters, ({ multiplier }) => multiplier),
    shift: Int8Array.from(parameters, ({ shift }) => shift),
  }
}

/** `streams`: sound in, nothing padded along time, sums that meet over crops. */
export function randomModel(draw: Draw, streams = false): IntegerModel {
  const { frontEnd, input } = randomInput(draw, streams)
  const tensors: IntegerTensor[] = [input]
  const layers: IntegerLayer[] = []
  let current = 0
  const emit = (tensor: IntegerTensor, make: (output: number) => IntegerLayer): void => {
    tensors.push(tensor)
    layers.push(make(tensors.length - 1))
    current = tensors.length - 1
  }
  const convolution = (
    kind: 'dense' | 'depthwise' | 'classifier',
    channels: number,
    given?: Pick<IntegerConvolution, 'kernelSize' | 'stride' | 'padding'>,
  ): void => {
    const x = tensors[current]
    const classifier = kind === 'classifier'
    const kernel = (size: number, most: number): number => (classifier ? size : 1 + draw(Math.min(size, most)))
    const raw = current === 0 && frontEnd.kind === 'raw'
    const drawn = (): Pick<IntegerConvolution, 'kernelSize' | 'stride' | 'padding'> => {
      const kernelSize = [kernel(x.shape[0], raw ? 60 : 5), kernel(x.shape[1], 4)] as const
      const stride = classifier ? ([1, 1] as const) : ([1 + draw(raw ? 8 : 3), 1 + draw(2)] as const)
      const [top, bottom] = streams ? [0, 0] : [draw(4), draw(3)]
      return { kernelSize, stride, padding: classifier ? [0, 0, 0, 0] : [top, bottom, draw(3), draw(4)] }
    }
    const { kernelSize, stride, padding } = given ?? drawn()
    const height = Math.floor((x.shape[0] + padding[0] + padding[1] - kernelSize[0]) / stride[0]) + 1
    const width = Math.floor((x.shape[1] + padding[2] + padding[3] - kernelSize[1]) / stride[1]) + 1
    const inputIndex = current
    const name = `${kind}${layers.length}`
    const output: IntegerTensor = classifier
      ? { name, shape: [1, 1, channels], containerBits: 16, bits: 16, scale: 0.0625, zeroPoint: 0, min: -32768, max: 32767 }
      : randomTensor(draw, draw(2) ? name : `${name} out`, [height, width, channels])
    const shape = { kernelSize, stride, padding, groups: kind === 'depthwise' ? channels : 1 }
    emit(output, (index) => ({
      op: 'convolution',
      name,
      input: inputIndex,
      output: index,
      ...shape,
      ...randomWeights(draw, x, output, shape),
    }))
  }
  const add = (name: string, source: number, other: number): void => {
    const { shape } = tensors[source]
    const scales = [multiplierOf(draw, 0.5), multiplierOf(draw, 0.7), multiplierOf(draw, 2 ** -19)]
    let partner = other
    if (tensors[partner].shape[0] > shape[0]) {
      const cropped = `${name} crop`
      emit({ ...tensors[other], name: cropped, shape }, (output) => ({ op: 'crop', name: cropped, input: other, output }))
      partner = current
    }
    emit(randomTensor(draw, name, shape), (output) => ({
      op: 'add',
      name,
      inputs: streams && draw(2) ? [partner, source] : [source, partner],
      output,
      multiplier: Int32Array.from(scales, (s) => s.multiplier),
      shift: Int8Array.from(scales, (s) => s.shift),
    }))
  }
  for (let i = 0, count = 1 + draw(6); i < count; i++) {
    const x = tensors[current]
    const source = current
    const name = `layer${layers.length}`
    const kind =
      current === 0
        ? pick(draw, ['dense', 'depthwise', 'reshape'] as const)
        : pick(draw, [
            'dense',
            'dense',
            'depthwise',
            'add',
            'pool',
            'requantize',
            'reshape',
            'crop',
            ...(streams ? (['fork'] as const) : []),
          ] as const)
    if (kind === 'dense') convolution('dense', pick(draw, [1, 3, 10, 17, 33]))
    else if (kind === 'depthwise') convolution('depthwise', x.shape[2])
    else if (kind === 'fork') {
      // two ways of one rate, of which one sees more rows than the other
      const stride = [1 + draw(3), 1] as const
      const channels = pick(draw, [1, 3, 10])
      const way = (): number => {
        current = source
        convolution('dense', channels, { kernelSize: [1 + draw(Math.min(5, x.shape[0])), 1], stride, padding: [0, 0, 0, 0] })
        return current
      }
      const ways = [way(), way()].toSorted((a, b) => tensors[b].shape[0] - tensors[a].shape[0])
      current = ways[1]
      add(name, ways[1], ways[0])
    } else if (kind === 'reshape') {
      const [height, width, channels] = x.shape
      emit(
        {
          ...x,
          name,
          shape: pick(draw, [
            streams ? [height, 1, width * channels] : [width, height, channels],
            [height, width * channels, 1],
            [height, channels, width],
          ] as const),
        },
        (output) => ({ op: 'reshape', name, input: source, output }),
      )
    } else if (kind === 'crop') {
      const [height, width, channels] = x.shape
      emit({ ...x, name, shape: [height - draw(height), width, channels] }, (output) => ({ op: 'crop', name, input: source, output }))
    } else if (kind === 'pool') {
      const kernelSize = [1 + draw(streams ? Math.ceil(x.shape[0] / 3) : x.shape[0]), 1 + draw(x.shape[1])] as const
      const stride = [1 + draw(3), 1 + draw(3)] as const
      const shape = [0, 1].map((axis) => Math.floor((x.shape[axis] - kernelSize[axis]) / stride[axis]) + 1)
      const { multiplier, shift } = multiplierOf(draw, 1 / (kernelSize[0] * kernelSize[1]))
      emit(randomTensor(draw, name, [shape[0], shape[1], x.shape[2]]), (output) => ({
        op: 'averagePool',
        name,
        input: source,
        output,
        kernelSize,
        stride,
        multiplier: Int32Array.of(multiplier),
        shift: Int8Array.of(shift),
      }))
    } else if (kind === 'requantize') {
      const { multiplier, shift } = multiplierOf(draw, 0.1 + draw(30) / 10)
      emit(randomTensor(draw, name, x.shape), (output) => ({
        op: 'requantize',
        name,
        input: source,
        output,
        multiplier: Int32Array.of(multiplier),
        shift: Int8Array.of(shift),
      }))
    } else {
      const partners = tensors.flatMap((t, index) => {
        const fits = streams ? t.shape[0] >= x.shape[0] : t.shape[0] === x.shape[0]
        return index > 0 && t.containerBits < 16 && fits && t.shape.slice(1).join() === x.shape.slice(1).join() ? [index] : []
      })
      if (x.containerBits < 16) add(name, source, pick(draw, partners))
    }
  }
  const classes = Array.from({ length: 2 + draw(4) }, (_, i) => `wörd ${i}`)
  convolution('classifier', classes.length)
  return { name: 'random', classes, frontEnd, tensors, layers }
}

function randomInput(draw: Draw, streams: boolean): { frontEnd: IntegerFrontEnd; input: IntegerTensor } {
  if (draw(4) === 0 && !streams) {
    const [height, width, channels] = [1 + draw(12), 1 + draw(12), 1 + draw(4)]
    const range = { containerBits: 8, bits: 8, zeroPoint: draw(300) - 150, min: -128, max: 127 } as const
    const scale = Math.fround(0.001 + draw(1000) / 500)
    return {
      frontEnd: { kind: 'image', height, width, channels },
      input: { name: 'input', shape: [height, width, channels], scale, ...range },
    }
  }
  if (draw(2)) {
    const samples = (streams ? 100 : 20) + draw(300)
    const frontEnd = { kind: 'raw', sampleRate: 16000, samples } as const
    const range = { containerBits: 16, bits: 16, scale: 2 ** -15, zeroPoint: 0, min: -32768, max: 32767 } as const
    return { frontEnd, input: { name: 'input', shape: [samples, 1, 1], ...range } }
  }
  const kind = pick(draw, ['mfcc', 'logmel'] as const)
  const melBands = 8 + draw(8)
  const coefficients = kind === 'mfcc' ? 1 + draw(melBands) : melBands
  const samples = 700 + draw(streams ? 1600 : 600)
  const windowSamples = 100 + draw(200)
  const hopSamples = (streams ? 20 : 60) + draw(streams && draw(4) === 0 ? 400 : 60)
  const frontEnd = { kind, sampleRate: 16000, samples, windowSamples, hopSamples, melBands, coefficients, lowHz: 20, highHz: 7600 }
  const frames = 1 + Math.floor((samples - windowSamples) / hopSamples)
  return { frontEnd, input: randomTensor(draw, 'features', [frames, coefficients, 1], false) }
}

/** Bands of all kinds: narrow, up to half the rate, empty, upside down. */
function randomCutoffs(draw: Draw, channels: number): Uint16Array {
  return Uint16Array.from({ length: 2 * channels }, () => (draw(8) === 0 ? draw(65536) : draw(32769)))
}

/** Filters made from cut-offs over the samples of a clip, linear or as logarithms, and a padded dense layer. @param sizes taps, stride, rows, channels */
export function randomFilters(draw: Draw, sizes = [2 + draw(60), 1 + draw(20), 1 + draw(9), 1 + draw(9)]): IntegerModel {
  const [taps, step, rows, channels] = sizes
  const samples = taps + (rows - 1) * step + draw(step)
  const cutoffs = randomCutoffs(draw, channels)
  const isLogarithm = draw(2) === 0
  const same = (length: number, value: () => number): Int32Array => Int32Array.from({ length }, value)
  const layer = { op: 'convolution', padding: [0, 0, 0, 0], groups: 1, weightBits: 8 } as const
  return {
    name: 'filters',
    classes: ['a', 'b', 'c'],
    frontEnd: { kind: 'raw', sampleRate: 8000, samples },
    tensors: [
      { name: 'input', shape: [samples, 1, 1], containerBits: 16, bits: 16, scale: 2 ** -15, zeroPoint: 0, min: -32768, max: 32767 },
      { name: 'filtered', shape: [rows, 1, channels], containerBits: 8, bits: 8, scale: 1, zeroPoint: draw(9) - 4, min: -128, max: 127 },
      { name: 'logits', shape: [1, 1, 3], containerBits: 16, bits: 16, scale: 1, zeroPoint: 0, min: -32768, max: 32767 },
    ],
    layers: [
      {
        ...layer,
        name: 'filters',
        input: 0,
        output: 1,
        kernelSize: [taps, 1],
        stride: [step, 1],
        weights: sincFilters(cutoffs, taps),
        cutoffs,
        bias: same(channels, () => (isLogarithm ? -1_300_000 + draw(100_000) : draw(2000) - 1000)),
        multiplier: same(channels, () => 2 ** 30 + draw(2 ** 30)),
        shift: new Int8Array(channels).fill(isLogarithm ? -12 : -16 - draw(4)),
        ...(isLogarithm && { logOffset: Uint32Array.from({ length: channels }, () => draw(1000)) }),
      },
      {
        ...layer,
        name: 'logits',
        input: 1,
        output: 2,
        kernelSize: [rows + 1, 1],
        stride: [1, 1],
        padding: [1, 0, 0, 0],
        weights: Int8Array.from({ length: 3 * (rows + 1) * channels }, () => draw(256) - 128),
        bias: same(3, () => draw(2000) - 1000),
        multiplier: same(3, () => 2 ** 30 + draw(2 ** 30)),
        shift: new Int8Array(3).fill(-3),
      },
    ],
  }
}

/** Weights, biases and multipliers that fill the range of the output. */
export function randomWeights(
  draw: Draw,
  x: IntegerTensor,
  y: IntegerTensor,
  shape: Pick<IntegerConvolution, 'kernelSize' | 'groups'>,
): Pick<
  IntegerConvolution,
  'weightBits' | 'oddWeights' | 'weights' | 'cutoffs' | 'accumulatorShift' | 'compact' | 'bias' | 'multiplier' | 'shift' | 'logOffset'
> {
  const channels = y.shape[2]
  const taps = shape.kernelSize[0] * shape.kernelSize[1] * (x.shape[2] / shape.groups)
  const cutoffs = x.shape[2] === 1 && draw(3) === 0 ? randomCutoffs(draw, channels) : undefined
  const weightBits = cutoffs ? 8 : 1 + draw(8)
  const isOdd = weightBits <= 7 && !cutoffs && draw(3) === 0
  const half = 2 ** (weightBits - (isOdd ? 0 : 1))
  const weights = cutoffs
    ? sincFilters(cutoffs, taps)
    : Int8Array.from({ length: channels * taps }, () =>
        isOdd ? 2 * draw(half) + 1 - half : weightBits === 1 ? 2 * draw(2) - 1 : draw(2 * half) - half,
      )
  const reach = Math.max(x.max - x.zeroPoint, x.zeroPoint - x.min, 1)
  const typical = Math.sqrt(taps) * half * reach * 0.4
  const logarithm = draw(6) === 0
  const levels = y.max - y.min + 1
  const room = Math.min(24, Math.floor(Math.log2((2 ** 31 - 1) / (taps * half * reach + typical + 1))))
  const accumulatorShift = logarithm || room < 1 ? 0 : draw(room + 1)
  const unit = 2 ** accumulatorShift
  const reals = Array.from({ length: channels }, () => (logarithm ? 2 ** -17 : 1 / typical / unit) * levels * (0.05 + draw(10) / 30))
  const biases = reals.map(() => Math.round((draw(2001) / 1000 - 1) * (logarithm ? 2 ** 20 : typical * unit)))
  const scales = reals.map((real) => multiplierOf(draw, real))
  const wide = {
    bias: Int32Array.from(biases),
    multiplier: Int32Array.from(scales, (s) => s.multiplier),
    shift: Int8Array.from(scales, (s) => s.shift),
    ...(logarithm ? { logOffset: Uint32Array.from({ length: channels }, () => 1 + draw(1000)) } : {}),
  }
  return {
    weightBits,
    weights,
    ...(isOdd ? { oddWeights: true as const } : {}),
    ...(cutoffs ? { cutoffs } : {}),
    ...(accumulatorShift > 0 ? { accumulatorShift } : {}),
    ...(!logarithm && draw(2) ? randomCompact(draw, reals, biases) : wide),
  }
}

/** What a model may be given: samples, or the pixels of an image. */
export function randomClip(draw: Draw, frontEnd: IntegerFrontEnd): Int16Array | Uint8Array {
  if (frontEnd.kind === 'image') {
    return Uint8Array.from({ length: frontEnd.height * frontEnd.width * frontEnd.channels }, () => draw(256))
  }
  const loudness = 2 ** (4 + draw(13))
  return Int16Array.from({ length: frontEnd.samples }, () => Math.max(-32768, Math.min(32767, draw(2 * loudness) - loudness)))
}

/** The same values in 8-bit containers, where layers may write over what they read. */
export function inOneContainer(model: IntegerModel): IntegerModel {
  return { ...model, tensors: model.tensors.map((t) => (t.containerBits < 8 ? { ...t, containerBits: 8 } : t)) }
}

/** Logits by the reference interpreter. */
export function referenceLogits(model: IntegerModel, input: ArrayLike<number>): number[] {
  return [...interpret(model, input)[model.layers[model.layers.length - 1].output]]
}
