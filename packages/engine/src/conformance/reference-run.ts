// Runs a conformance program in float64.
import { type Builder, distributions, type Mode, Numbers, parameterValues, type Program, type Result } from './program.ts'
import { Node, Reference } from './reference.ts'
import { crossEntropy, fakeQuantize, type Rounding, sincFilters } from './reference-losses.ts'

export const batchNormEpsilon = 1e-5

export interface ReferenceRun {
  readonly result: Result
  /** Names and sizes of the parameters in the order the program asked for them. */
  readonly parameters: readonly { name: string; size: number }[]
  readonly kinkDistance: number
  /** sum over outputs of output * seed of its backward pass, plus the scaled cross-entropy: what the gradients belong to. */
  readonly objective: number
  readonly roundings: ReadonlyMap<string, Rounding>
}

export interface ReferenceOptions {
  readonly batch: number
  readonly seed: number
  readonly mode?: Mode
  /** Numbers to use in place of the seeded ones, by `input x`, `parameter w` or `step q`; for finite differences. */
  readonly replaced?: ReadonlyMap<string, ArrayLike<number>>
  readonly roundings?: ReadonlyMap<string, Rounding>
}

export function runReference(program: Program, options: ReferenceOptions): ReferenceRun {
  const { batch, seed, mode = 'train' } = options
  const numbers = new Numbers(seed)
  const reference = new Reference()
  const parameters = new Map<string, Node>()
  const inputs = new Map<string, Node>()
  const sums = new Map<string, Float64Array>()
  const roundings = new Map<string, Rounding>()
  const result: Result = new Map()
  let objective = 0

  const parameter = (name: string, size: number) => {
    const node =
      parameters.get(name) ?? reference.constant(options.replaced?.get(`parameter ${name}`) ?? parameterValues(numbers, name, size))
    parameters.set(name, node)
    return node
  }
  const convolution: Builder<Node>['convolution'] = (x, name, shape) => {
    const depthwise = shape.groups > 1
    const size = shape.kernelSize[0] * shape.kernelSize[1] * (depthwise ? 1 : x.shape[3]) * shape.channels
    return reference.convolution(x, parameter(`${name}.weight`, size), shape.channels, shape, depthwise)
  }

  const builder: Builder<Node> = {
    batch,
    input(name, height, width, channels, { gradient = true, scale = 1 } = {}) {
      const data = options.replaced?.get(`input ${name}`) ?? numbers.normal(`input ${name}`, batch * height * width * channels, scale)
      const node = new Node([batch, height, width, channels], Float64Array.from(data))
      if (gradient) inputs.set(name, node)
      return node
    },
    convolution,
    linear: (x, name, units) =>
      convolution(x, name, { channels: units, kernelSize: [1, 1], stride: [1, 1], padding: [0, 0, 0, 0], groups: 1 }),
    sincConvolution(x, name, { channels, taps, stride, sampleRate }) {
      const filters = sincFilters(reference, parameter(`${name}.lowHz`, channels), parameter(`${name}.bandHz`, channels), taps, sampleRate)
      return reference.convolution(x, filters, channels, { kernelSize: [taps, 1], stride: [stride, 1], padding: [0, 0, 0, 0] }, false)
    },
    batchNorm(x, name, { affine = true, momentum = 0.1 } = {}) {
      const channels = x.shape[3]
      const ones = reference.constant(new Float64Array(channels).fill(1))
      const [scale, offset] = affine
        ? [parameter(`${name}.scale`, channels), parameter(`${name}.offset`, channels)]
        : [ones, reference.constant(new Float64Array(channels))]
      const mean = parameter(`${name}.mean`, channels)
      const variance = parameter(`${name}.variance`, channels)
      if (mode === 'evaluate') return reference.normalizeBy(x, mean.data, variance.data, scale, offset, batchNormEpsilon)
      const count = x.data.length / channels
      const normalized = reference.batchNorm(x, scale, offset, batchNormEpsilon)
      result.set(
        `mean ${name}`,
        mean.data.map((old, c) => old + momentum * (normalized.mean[c] - old)),
      )
      result.set(
        `variance ${name}`,
        variance.data.map((old, c) => old + momentum * ((normalized.variance[c] * count) / Math.max(count - 1, 1) - old)),
      )
      return normalized.output
    },
    bias: (x, name) => reference.bias(x, parameter(`${name}.bias`, x.shape[3])),
    relu: (x) => reference.limit(x, 0, Infinity),
    relu6: (x) => reference.limit(x, 0, 6),
    fakeQuantize(x, name, { step, lowest, highest }) {
      const own = sums.get(name) ?? new Float64Array(3)
      sums.set(name, own)
      const key = `${name} ${roundings.size}`
      const quantizer = { step: options.replaced?.get(`step ${name}`)?.[0] ?? Math.fround(step), lowest, highest }
      const { output, rounding } = fakeQuantize(reference, x, quantizer, own, options.roundings?.get(key))
      roundings.set(key, rounding)
      return output
    },
    add: (...values) => reference.add(...values),
    addScaled: (x, y, name) => reference.addScaled(x, y, parameter(`${name}.factor`, 1)),
    attend: (query, key, value) => reference.attend(query, key, value),
    averagePool: (x, kernelSize, stride) => reference.averagePool(x, kernelSize, stride),
    globalAveragePool: (x) => reference.averagePool(x, [x.shape[1], x.shape[2]], [1, 1]),
    logMagnitude: (x, epsilon) => reference.logMagnitude(x, epsilon),
    reshape: (x, height, width, channels) => reference.reshape(x, height, width, channels),
    crop: (x, rows) => reference.crop(x, rows),
    output(name, x) {
      const seeds = numbers.normal(`seed ${name}`, x.data.length)
      result.set(`output ${name}`, x.data)
      x.data.forEach((value, i) => (objective += value * seeds[i]))
      reference.onBackward(() => seeds.forEach((g, i) => (x.gradient[i] += g)))
    },
    crossEntropy(x, labels, { smoothing = 0, scale = 1, targets = false } = {}) {
      const wanted = {
        labels,
        smoothing: Math.fround(smoothing),
        ...(targets ? { targets: distributions(numbers, x.shape[0], x.shape[3]) } : {}),
      }
      const { loss, correct } = crossEntropy(reference, x, wanted, scale)
      objective += loss * scale
      result.set('loss', [loss])
      result.set('correct', [correct])
    },
  }
  program(builder)
  if (mode === 'train') {
    reference.backward()
    for (const [name, node] of inputs) result.set(`gradient input ${name}`, node.gradient)
    for (const [name, node] of parameters) if (!/\.(mean|variance)$/.test(name)) result.set(`gradient ${name}`, node.gradient)
    for (const [name, own] of sums) result.set(`sums ${name}`, own)
  }
  const list = [...parameters].map(([name, node]) => ({ name, size: node.data.length }))
  return { result, parameters: list, kinkDistance: reference.kinkDistance, objective, roundings }
}
