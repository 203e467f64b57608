// Runs a conformance program on the engine. All memory it uses is poisoned first, so that a number nobody wrote shows as NaN, and
// lies between guard words, so that a kernel that writes past its buffer is caught.
import type { Backend } from '../backends/backend.ts'
import { none } from '../commands.ts'
import { Engine, type EngineOptions } from '../engine.ts'
import { type ConvolutionShape, convolution, linear } from '../ops/convolution.ts'
import { attend } from '../ops/attend.ts'
import { add, addScaled, averagePool, crop, globalAveragePool, logMagnitude, reshape } from '../ops/elementwise.ts'
import { crossEntropy, type Loss } from '../ops/loss.ts'
import { batchNorm, bias, fakeQuantize, relu, relu6 } from '../ops/normalization.ts'
import { sincFilters } from '../ops/sinc.ts'
import { ParameterStore } from '../parameters.ts'
import { type Stored, Tape, type Value } from '../tape.ts'
import { type Builder, distributions, type Mode, Numbers, parameterValues, type Program, type Result } from './program.ts'
import { batchNormEpsilon } from './reference-run.ts'

const poison = 0x7fc0dead // a NaN
const guardWords = 16

/** An engine whose allocations are poisoned and guarded; `check` throws when a guard word changed. */
export function guardedEngine(backend: Backend, options?: EngineOptions): { engine: Engine; check: () => void } {
  const engine = new Engine(backend, options)
  const { heap } = engine
  const allocate = heap.allocate.bind(heap)
  const release = heap.release.bind(heap)
  const live = new Map<number, number>()
  heap.allocate = (count) => {
    const size = Math.ceil(count / guardWords) * guardWords
    const start = allocate(size + 2 * guardWords)
    backend.heapInt.fill(poison, start, start + size + 2 * guardWords)
    live.set(start + guardWords, count)
    return start + guardWords
  }
  heap.release = (offset) => {
    live.delete(offset)
    release(offset - guardWords)
  }
  const check = () => {
    for (const [offset, count] of live) {
      // kernels write whole vectors: a row may end up to the next multiple of 16 floats, which the heap grants
      const end = Math.ceil(count / guardWords) * guardWords
      for (let i = 0; i < guardWords; i++) {
        for (const at of [offset - guardWords + i, offset + end + i]) {
          if (backend.heapInt[at] !== poison)
            throw new Error(`guard word ${at - offset} of an allocation of ${count} floats was overwritten`)
        }
      }
    }
  }
  return { engine, check }
}

/** A map as dense [batch][height][width][channels]. */
export function readMap(engine: Engine, stored: Stored, offset = stored.offset): Float32Array {
  const { batch, height, width, channels, stride, rowStride } = stored
  const floats = engine.floats(offset, batch * height * rowStride)
  const dense = new Float32Array(batch * height * width * channels)
  let at = 0
  for (let row = 0; row < batch * height; row++)
    for (let w = 0; w < width; w++) for (let c = 0; c < channels; c++) dense[at++] = floats[row * rowStride + w * stride + c]
  return dense
}

function writeMap(engine: Engine, stored: Stored, dense: ArrayLike<number>, offset = stored.offset): void {
  const { batch, height, width, channels, stride, rowStride } = stored
  const floats = engine.floats(offset, batch * height * rowStride)
  let at = 0
  for (let row = 0; row < batch * height; row++)
    for (let w = 0; w < width; w++) for (let c = 0; c < channels; c++) floats[row * rowStride + w * stride + c] = dense[at++]
}

export interface TapeRunOptions {
  readonly batch: number
  readonly seed: number
  readonly mode?: Mode
  readonly chunks?: number
}

/** A recorded conformance program. */
export interface Recording {
  readonly engine: Engine
  readonly tape: Tape
  readonly store: ParameterStore
  /** Runs generate to finish once and reads everything. */
  run(): Result
  /** Throws when anything was written outside an allocation. */
  check(): void
  dispose(): void
}

/** Records a program whose parameters are known (from the reference run). */
export function record(
  program: Program,
  backend: Backend,
  parameters: readonly { name: string; size: number }[],
  options: TapeRunOptions,
): Recording {
  const { batch, seed, mode = 'train' } = options
  const numbers = new Numbers(seed)
  const { engine, check } = guardedEngine(backend, options.chunks ? { chunks: options.chunks } : {})
  const store = new ParameterStore(engine, parameters)
  for (const { name, size } of parameters) store.value(name).set(parameterValues(numbers, name, size))
  const tape = new Tape(engine, { batch, mode })
  const inputs = new Map<string, Stored>()
  const slots = new Map<string, { offset: number; sums: number }>()
  const norms: string[] = []
  const outputs: { name: string; stored: Stored; gradient: number }[] = []
  let loss: Loss | undefined
  let labels: readonly number[] = []
  let fillTargets = (): void => {}

  const at = (name: string) => store.values + store.get(name).position
  const gradientAt = (name: string) => (mode === 'train' ? store.gradients + store.get(name).position : none)
  const weights = (name: string) => ({ offset: at(`${name}.weight`), gradient: gradientAt(`${name}.weight`) })

  const builder: Builder<Value> = {
    batch,
    input(name, height, width, channels, { gradient = true, scale = 1 } = {}) {
      const value = tape.input(height, width, channels, gradient)
      writeMap(engine, value.stored, numbers.normal(`input ${name}`, batch * height * width * channels, scale))
      if (gradient) inputs.set(name, value.stored)
      return value
    },
    convolution: (x, name, shape: ConvolutionShape) => convolution(tape, x, weights(name), shape),
    linear: (x, name, units) => linear(tape, x, weights(name), units),
    sincConvolution(x, name, { channels, taps, stride, sampleRate }) {
      const own = {
        low: at(`${name}.lowHz`),
        band: at(`${name}.bandHz`),
        lowGradient: gradientAt(`${name}.lowHz`),
        bandGradient: gradientAt(`${name}.bandHz`),
      }
      const filters = sincFilters(tape, own, channels, taps, sampleRate)
      return convolution(tape, x, filters, { channels, kernelSize: [taps, 1], stride: [stride, 1], padding: [0, 0, 0, 0], groups: 1 })
    },
    batchNorm(x, name, { affine = true, momentum = 0.1 } = {}) {
      const slot = tape.allocate(1)
      engine.floats(slot, 1)[0] = momentum
      norms.push(name)
      return batchNorm(tape, x, {
        scale: affine ? at(`${name}.scale`) : none,
        offset: affine ? at(`${name}.offset`) : none,
        scaleGradient: affine ? gradientAt(`${name}.scale`) : none,
        offsetGradient: affine ? gradientAt(`${name}.offset`) : none,
        runningMean: at(`${name}.mean`),
        runningVariance: at(`${name}.variance`),
        momentum: slot,
        epsilon: batchNormEpsilon,
      })
    },
    bias: (x, name) => bias(tape, x, { offset: at(`${name}.bias`), gradient: gradientAt(`${name}.bias`) }),
    relu,
    relu6,
    fakeQuantize(x, name, { step, lowest, highest }) {
      const slot = slots.get(name) ?? { offset: tape.allocate(4), sums: tape.allocate(3) }
      engine.floats(slot.offset, 4).set([step, 1 / Math.fround(step), lowest, highest])
      slots.set(name, slot)
      return fakeQuantize(x, slot)
    },
    add: (...values) => add(tape, ...values),
    addScaled: (x, y, name) => addScaled(tape, x, y, { offset: at(`${name}.factor`), gradient: gradientAt(`${name}.factor`) }),
    attend: (query, key, value) => attend(tape, query, key, value),
    averagePool: (x, kernelSize, stride) => averagePool(tape, x, kernelSize, stride),
    globalAveragePool: (x) => globalAveragePool(tape, x),
    logMagnitude: (x, epsilon) => logMagnitude(tape, x, epsilon),
    reshape: (x, height, width, channels) => reshape(tape, x, height, width, channels),
    crop: (x, rows) => crop(tape, x, rows),
    output(name, x) {
      const { stored } = add(tape, x)
      outputs.push({ name, stored, gradient: tape.gradientTarget(tape.value(stored))[0] })
    },
    crossEntropy(x, wanted, how) {
      loss = crossEntropy(tape, x, how)
      if (how?.targets) {
        const { channels, stride } = x.stored
        const rows = distributions(numbers, batch, channels)
        const { targets } = loss
        fillTargets = () => {
          for (let row = 0; row < batch; row++)
            engine.floats(targets + row * stride, channels).set(rows.subarray(row * channels, (row + 1) * channels))
        }
      }
      labels = wanted
    },
  }
  program(builder)
  tape.backward()
  const code = tape.program(['generate', 'pack', 'forward', 'backward', 'finish'])

  const run = () => {
    for (const { name, stored, gradient } of outputs) {
      if (gradient === none) continue
      engine.floats(gradient, stored.batch * stored.height * stored.rowStride).fill(0)
      writeMap(engine, stored, numbers.normal(`seed ${name}`, stored.batch * stored.height * stored.width * stored.channels), gradient)
    }
    if (loss) engine.integers(loss.labels, batch).set(labels)
    fillTargets()
    engine.backend.run(code)
    const result: Result = new Map()
    if (mode !== 'evaluate') {
      for (const name of norms)
        for (const part of ['mean', 'variance']) result.set(`${part} ${name}`, store.value(`${name}.${part}`).slice())
    }
    for (const { name, stored } of outputs) result.set(`output ${name}`, readMap(engine, stored))
    if (loss) {
      const { loss: value, correct } = loss.read()
      result.set('loss', [value])
      result.set('correct', [correct])
    }
    if (mode === 'train') {
      for (const [name, stored] of inputs) result.set(`gradient input ${name}`, readMap(engine, stored, stored.gradient))
      for (const { name } of parameters) if (!/\.(mean|variance)$/.test(name)) result.set(`gradient ${name}`, store.gradient(name).slice())
      for (const [name, slot] of slots) result.set(`sums ${name}`, engine.floats(slot.sums, 3).slice())
    }
    return result
  }
  return {
    engine,
    tape,
    store,
    run,
    check,
    dispose() {
      tape.dispose()
      store.dispose()
    },
  }
}
