// Bytes are checked by experiment: each command runs alone on a heap of random numbers. What it changes, it writes; what changes its
// outcome when it is tampered with, word by word, it reads.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { commandName } from './commands.ts'
import {
  add,
  addScaled,
  attend,
  batchNorm,
  bias,
  convolution,
  crossEntropy,
  dot,
  Engine,
  fakeQuantize,
  globalAveragePool,
  linear,
  logMagnitude,
  observe,
  openBackend,
  optimizer,
  type OptimizerName,
  ParameterStore,
  programWork,
  Random,
  relu,
  relu6,
  reshape,
  sincFilters,
  Tape,
  type Value,
} from './index.ts'
import { programCommands } from './work.ts'

let engine: Engine
beforeAll(async () => {
  engine = new Engine(await openBackend({ backend: 'wasm', threads: 1 }), { chunks: 2 })
})
afterAll(() => engine.backend.close())

const batch = 3
const classes = 5
/** Words that are tampered with together, to be looked at one by one where that shows. */
const blockWords = 64
const parameterCount = 440
const onePixel = { kernelSize: [1, 1], stride: [1, 1], padding: [0, 0, 0, 0], groups: 1 } as const

/** A program with one of everything, as small as can be, and what must stand in the heap where a random number would not do. */
function record(mode: 'train' | 'evaluate', name: OptimizerName, targets: boolean) {
  const tape = new Tape(engine, { batch, mode })
  const store = new ParameterStore(engine, [{ name: 'all', size: parameterCount }])
  const fixed: { offset: number; values: number[] }[] = []
  let used = 0
  const parameter = (size: number) => {
    used += size
    return { offset: store.values + used - size, gradient: store.gradients + used - size }
  }
  const quantize = (x: Value) => {
    const slot = { offset: tape.allocate(4), sums: tape.allocate(3) }
    // some numbers lie below the lowest level, some above the highest
    fixed.push({ offset: slot.offset, values: [0.01, 100, 100, 350] })
    return fakeQuantize(x, slot)
  }
  const normalize = (x: Value, affine = true) => {
    const { channels } = x.stored
    const [scale, offset] = affine
      ? [parameter(channels), parameter(channels)]
      : [
          { offset: -1, gradient: -1 },
          { offset: -1, gradient: -1 },
        ]
    return batchNorm(tape, x, {
      scale: scale.offset,
      offset: offset.offset,
      scaleGradient: scale.gradient,
      offsetGradient: offset.gradient,
      runningMean: tape.allocate(channels),
      runningVariance: tape.allocate(channels),
      momentum: tape.allocate(1),
      epsilon: 1e-3,
    })
  }
  const dense = (x: Value, channels: number) => convolution(tape, x, parameter(x.stored.channels * channels), { ...onePixel, channels })
  const classify = (x: Value) =>
    bias(tape, linear(tape, globalAveragePool(tape, x), parameter(x.stored.channels * classes), classes), parameter(classes))

  const [low, band] = [parameter(5), parameter(5)]
  const cutOffs = { low: low.offset, band: band.offset, lowGradient: low.gradient, bandGradient: band.gradient }
  const bands = convolution(tape, tape.input(14, 1, 1), sincFilters(tape, cutOffs, 5, 6, 16_000), {
    channels: 5,
    kernelSize: [6, 1],
    stride: [4, 1],
    padding: [0, 0, 0, 0],
    groups: 1,
  })
  const map = reshape(tape, relu(normalize(logMagnitude(tape, bands, 1e-3), false)), 3, 5, 1)
  const around = { kernelSize: [3, 3], stride: [1, 1], padding: [1, 1, 1, 1] } as const
  // three layers read x, so that its gradient is accumulated
  const x = normalize(convolution(tape, map, parameter(9 * 6), { ...around, channels: 6, groups: 1 }))
  const left = normalize(convolution(tape, x, parameter(9 * 6), { ...around, channels: 6, groups: 6 }))
  const right = bias(tape, dense(x, 6), parameter(6))
  const sum = add(tape, add(tape, left, x), right)
  const [query, key] = [bias(tape, dense(sum, 2), parameter(2)), quantize(dense(sum, 2))]
  const attended = attend(tape, query, key, quantize(bias(tape, dense(sum, 6), parameter(6))))
  const wide = normalize(dense(addScaled(tape, sum, relu(attended), parameter(1)), 8))
  // a dense one-channel map whose rows are copied apart
  const copied = normalize(dense(reshape(tape, tape.input(3, 5, 1, true), 3, 1, 5), 6))
  const logits = classify(quantize(relu6(wide)))
  const loss = crossEntropy(tape, targets ? add(tape, logits, classify(copied)) : logits, { targets, smoothing: 0.1 })
  tape.backward()
  if (mode === 'train') {
    dot(tape, left, x.stored)
    optimizer(tape, name, store, [...store.all()])
  }
  observe(tape, wide)
  expect(used).toBeLessThanOrEqual(parameterCount)
  const program = tape.program()
  if (mode === 'train') {
    const update = programCommands(program).at(-1)!.subarray(2)
    fixed.push({ offset: update[name === 'sgd' ? 3 : 4], values: [0.01, 0.1, 0.9, 0.99, 0.01, 3] })
  }
  return { tape, store, fixed, labels: loss.labels, program }
}

const bytesOf = (words: Int32Array) => new Uint8Array(words.buffer, words.byteOffset, words.byteLength)

/** Floats that each command was seen to read and to write. */
function experiment({ program, fixed, labels }: ReturnType<typeof record>) {
  const random = new Random(0, 'work')
  const heap = new Float32Array(engine.heap.bytes / 4)
  for (let i = 0; i < heap.length; i++) heap[i] = random.uniform(0.5, 1.5)
  for (const { offset, values } of fixed) heap.set(values, offset)
  const words = new Int32Array(heap.buffer)
  for (let row = 0; row < batch; row++) words[labels + row] = row
  const [scratch, scratchSize] = program
  const isScratch = (word: number) => word >= scratch && word < scratch + scratchSize
  const target = engine.backend.heapInt.subarray(0, words.length)

  return programCommands(program).map((command) => {
    const single = Int32Array.from([scratch, scratchSize, ...command])
    const tampered = words.slice()
    const floats = new Float32Array(tampered.buffer)
    /** The heap after the command, its scratch memory aside. */
    const run = (): Int32Array => {
      target.set(tampered)
      engine.backend.run(single)
      return target.fill(0, scratch, scratch + scratchSize)
    }
    const outcome = run().slice()
    const isWritten = (word: number) => outcome[word] !== words[word] && !isScratch(word)
    /** Whether what the command writes depends on the words from `first` to `last`. */
    const depends = (first: number, last: number, factor: number): boolean => {
      for (let word = first; word < last; word++) {
        if (word >= labels && word < labels + batch) tampered[word] = -1
        else floats[word] *= factor
      }
      const other = run()
      for (let word = first; word < last; word++) {
        if (!isWritten(word) && other[word] === tampered[word]) other[word] = outcome[word]
      }
      tampered.set(words.subarray(first, last), first)
      return Buffer.compare(bytesOf(other), bytesOf(outcome)) !== 0
    }
    const isRead = (first: number, last: number) => [1.25, -100, 0.01, 100].some((factor) => depends(first, last, factor))
    let [read, written] = [0, 0]
    for (let first = 0; first < words.length; first += blockWords) {
      const last = Math.min(words.length, first + blockWords)
      const someAreRead = isRead(first, last)
      for (let word = first; word < last; word++) {
        if (isWritten(word)) written++
        if (someAreRead && !isScratch(word) && isRead(word, word + 1)) read++
      }
    }
    return { name: commandName(command[0]), readBytes: 4 * read, writtenBytes: 4 * written }
  })
}

describe('bytes', () => {
  const seen = new Set<string>()
  it.each([
    ['train', 'adam', true],
    ['train', 'sgd', false],
    ['evaluate', 'adam', false],
  ] as const)('%s, %s, targets %s: each command reads and writes what is counted', (mode, optimizerName, targets) => {
    const recorded = record(mode, optimizerName, targets)
    const counted = programWork(recorded.program, engine.lanes).map(({ name, readBytes, writtenBytes }) => ({
      name,
      readBytes,
      writtenBytes,
    }))
    expect(counted).toEqual(experiment(recorded))
    counted.forEach((command) => seen.add(command.name))
    recorded.tape.dispose()
    recorded.store.dispose()
  })

  /** Indices lead these, and tampered ones would lead them anywhere; and what only they are followed by. */
  const led = [
    'aggregate',
    'aggregateBackward',
    'edgeAttention',
    'edgeAttentionBackward',
    'edgeAttentionGradient',
    'reduceChunks',
    'dropout',
  ]

  it('are checked of every command', () => {
    const names = Array.from({ length: 40 }, (_, i) => commandName(i + 1) as string | undefined).filter((name) => name !== undefined)
    expect([...seen, 'lanes', 'clock', ...led].toSorted()).toEqual(names.toSorted())
  })
})
