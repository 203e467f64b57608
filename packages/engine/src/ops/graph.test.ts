// Ops on graphs against a float64 reference written from the definitions; gradients against its central differences.
import { expect, test } from 'vitest'
import type { Backend } from '../backends/backend.ts'
import { onEveryBackend } from '../conformance/backends.ts'
import { relativeError, same, tolerances } from '../conformance/compare.ts'
import { Numbers } from '../conformance/program.ts'
import { guardedEngine, readMap } from '../conformance/tape-run.ts'
import type { Engine } from '../engine.ts'
import { Random, threefry2x32 } from '../random.ts'
import { type SparseMatrix, sparseOnes } from '../sparse.ts'
import { Tape, type Value } from '../tape.ts'
import { add } from './elementwise.ts'
import {
  aggregate,
  type Aggregator,
  dropout,
  dropoutSlot,
  dropoutValues,
  sparseInput,
  type SparseStored,
  sparseProduct,
  writeDropout,
  writeSparse,
} from './graph.ts'
import { bias, relu } from './normalization.ts'

/** Every node its own neighbour, some with many, with values. */
function randomGraph(nodes: number, seed: number): SparseMatrix {
  const random = new Random(seed, 'graph')
  const pairs = Array.from({ length: nodes }, (_, i): [number, number] => [i, i])
  for (let a = 0; a < nodes; a++) for (let b = 0; b < a; b++) if (b === 0 || random.uniform() < 0.15) pairs.push([a, b], [b, a])
  const ones = sparseOnes(nodes, nodes, pairs)
  return { ...ones, values: Float32Array.from(ones.indices, () => random.uniform(0.2, 1)) }
}

type Inputs = ReadonlyMap<string, Float64Array>
type Forward = (inputs: Inputs) => Float64Array

/** d sum(output * seeds) / d input. */
function differences(forward: Forward, inputs: Inputs, name: string, seeds: ArrayLike<number>): Float64Array {
  const step = 1e-5
  const at = (values: Float64Array) => forward(new Map([...inputs, [name, values]])).reduce((sum, value, i) => sum + value * seeds[i], 0)
  const values = inputs.get(name)!
  return values.map((value, i) => (at(values.with(i, value + step)) - at(values.with(i, value - step))) / (2 * step))
}

interface Case {
  readonly nodes: number
  readonly channels: number
  readonly heads: number
  readonly aggregator: Aggregator
  readonly attention: 'ones' | 'values' | 'gat' | 'cosine' | 'linear'
}

const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, value, i) => sum + value * b[i], 0)

/** relu(x + offset), aggregated. */
function reference({ nodes, channels, heads, aggregator, attention }: Case, graph: SparseMatrix): Forward {
  const each = channels / heads
  return (inputs) => {
    const x = inputs.get('x')!.map((value, i) => Math.max(0, value + inputs.get('offset')![i % channels]))
    const part = (node: number, head: number) => Array.from({ length: each }, (_, c) => x[node * channels + head * each + c])
    const own = (name: string, head: number) => Array.from(inputs.get(name)!.subarray(head * each, (head + 1) * each))
    const length = (v: readonly number[]) => Math.sqrt(dot(v, v) + 1e-12)
    const y = new Float64Array(nodes * channels)
    for (let node = 0; node < nodes; node++) {
      const neighbours = [...graph.indices.subarray(graph.starts[node], graph.starts[node + 1])]
      for (let head = 0; head < heads; head++) {
        let weights = neighbours.map((_, i) => (attention === 'values' ? graph.values![graph.starts[node] + i] : 1))
        if (attention === 'gat' || attention === 'cosine' || attention === 'linear') {
          const scores = neighbours.map((other) => {
            if (attention === 'linear') return Math.tanh(dot(own('right', head), part(other, head)))
            if (attention === 'gat') {
              const score = dot(own('left', head), part(node, head)) + dot(own('right', head), part(other, head))
              return score < 0 ? 0.2 * score : score
            }
            const cosine = dot(part(node, head), part(other, head)) / length(part(node, head)) / length(part(other, head))
            return inputs.get('left')![head] * cosine
          })
          const total = scores.reduce((sum, score) => sum + Math.exp(score), 0)
          weights = scores.map((score) => Math.exp(score) / total)
        }
        for (let c = 0; c < each; c++) {
          const weighted = neighbours.map((other, i) => weights[i] * part(other, head)[c])
          const sum = weighted.reduce((one, value) => one + value, 0)
          y[node * channels + head * each + c] =
            aggregator === 'max' ? Math.max(...weighted) : aggregator === 'mean' ? sum / neighbours.length : sum
        }
      }
    }
    return y
  }
}

/** Runs what `build` records; `output` starts the backward pass from seeds. */
function execute(
  backend: Backend,
  nodes: number,
  build: (tape: Tape, engine: Engine) => { y: Value; read: () => Map<string, ArrayLike<number>>; fill: () => void },
) {
  const { engine, check } = guardedEngine(backend)
  const tape = new Tape(engine, { batch: nodes, mode: 'train' })
  const { y, read, fill } = build(tape, engine)
  const { stored } = add(tape, y)
  const [gradient] = tape.gradientTarget(tape.value(stored))
  tape.backward()
  const program = tape.program()
  const seeds = new Numbers(5).normal('seeds', nodes * stored.channels)
  engine.floats(gradient, nodes * stored.stride).fill(0)
  for (let node = 0; node < nodes; node++)
    engine
      .floats(gradient + node * stored.stride, stored.channels)
      .set(seeds.subarray(node * stored.channels, (node + 1) * stored.channels))
  fill()
  backend.run(program)
  const result = new Map([['output', readMap(engine, stored) as ArrayLike<number>], ...read()])
  check()
  tape.dispose()
  return { result, seeds }
}

function put(engine: Engine, tape: Tape, values: Float32Array): { offset: number; gradient: number } {
  const parameter = { offset: tape.allocate(values.length), gradient: tape.allocate(values.length) }
  engine.floats(parameter.offset, values.length).set(values)
  return parameter
}

function fillMap(engine: Engine, { stored }: Value, values: Float32Array): void {
  for (let node = 0; node < stored.batch; node++)
    engine
      .floats(stored.offset + node * stored.stride, stored.channels)
      .set(values.subarray(node * stored.channels, (node + 1) * stored.channels))
}

function runCase(backend: Backend, config: Case, seed: number) {
  const { nodes, channels, heads, aggregator, attention } = config
  const numbers = new Numbers(seed)
  const graph = randomGraph(nodes, seed)
  const isLearned = attention !== 'ones' && attention !== 'values'
  const sizes = {
    left: attention === 'cosine' ? heads : attention === 'gat' ? channels : 0,
    right: attention === 'gat' || attention === 'linear' ? channels : 0,
  }
  const given = new Map([
    ['x', numbers.normal('x', nodes * channels)],
    ['offset', numbers.normal('offset', channels)],
    ...(Object.entries(sizes) as [string, number][])
      .filter(([, size]) => size > 0)
      .map(([name, size]): [string, Float32Array] => [name, numbers.normal(name, size)]),
  ])
  const run = execute(backend, nodes, (tape, engine) => {
    const stored = sparseInput(tape, { rows: nodes, columns: nodes, entries: graph.indices.length })
    const x = tape.input(1, 1, channels, true)
    const parameters = new Map([...given].filter(([name]) => name !== 'x').map(([name, values]) => [name, put(engine, tape, values)]))
    const input = add(tape, x)
    const y = aggregate(tape, relu(bias(tape, input, parameters.get('offset')!)), stored, {
      aggregator,
      heads,
      attention: isLearned ? { kind: attention, left: parameters.get('left'), right: parameters.get('right') } : attention,
    })
    return {
      y,
      fill: () => {
        writeSparse(engine, stored, graph)
        fillMap(engine, x, given.get('x')!)
      },
      read: () =>
        new Map([
          ['gradient x', readMap(engine, x.stored, x.stored.gradient) as ArrayLike<number>],
          ...[...parameters].map(([name, { gradient }]): [string, ArrayLike<number>] => [
            `gradient ${name}`,
            engine.floats(gradient, given.get(name)!.length).slice(),
          ]),
        ]),
    }
  })
  return { ...run, given, graph }
}

const cases: Case[] = (['ones', 'values', 'gat', 'cosine', 'linear'] as const).flatMap((attention) =>
  (['sum', 'mean', 'max'] as const).flatMap((aggregator) =>
    (attention === 'values'
      ? [[13, 5, 1]]
      : [
          [13, 6, 2],
          [17, 9, 1],
          [2, 12, 4],
        ]
    ).map(([nodes, channels, heads]) => ({ nodes, channels, heads, aggregator, attention })),
  ),
)

onEveryBackend((backend, variant) => {
  test.each(cases)('$aggregator of neighbours weighed by $attention, $heads heads, $nodes nodes of $channels channels', (config) => {
    const { result, seeds, given, graph } = runCase(backend(), config, 3)
    const forward = reference(config, graph)
    const inputs = new Map([...given].map(([name, values]) => [name, Float64Array.from(values)]))
    expect(relativeError(result.get('output')!, forward(inputs))).toBeLessThan(tolerances.value)
    for (const name of given.keys())
      expect(relativeError(result.get(`gradient ${name}`)!, differences(forward, inputs, name, seeds)), name).toBeLessThan(
        tolerances.gradient,
      )
  })

  test('the same bits with 1, 2, 3 and 5 threads', async () => {
    for (const attention of ['gat', 'cosine'] as const) {
      const config: Case = { nodes: 61, channels: 12, heads: 2, aggregator: 'mean', attention }
      const expected = runCase(backend(), config, 4).result
      for (const threads of [1, 3, 5]) {
        const other = await variant.open(threads)
        try {
          const { result } = runCase(other, config, 4)
          for (const [name, values] of expected) expect(same(result.get(name)!, values), `${name}, ${threads} threads`).toBe(true)
        } finally {
          other.close()
        }
      }
    }
  })

  test.each([3, 8])('sparse features times weights of %i channels, some of them dropped out', (channels) => {
    const [rows, columns] = [19, 40]
    const random = new Random(1, 'features')
    const pairs = Array.from({ length: rows * columns }, (_, i): [number, number] => [Math.floor(i / columns), i % columns])
    const ones = sparseOnes(
      rows,
      columns,
      pairs.filter(([row]) => row !== 7 && random.uniform() < 0.2),
    )
    const features: SparseMatrix = { ...ones, values: Float32Array.from(ones.indices, () => random.normal()) }
    const weights = new Numbers(2).normal('weights', columns * channels)
    for (const rate of [0, 0.4]) {
      const { result, seeds } = execute(backend(), rows, (tape, engine) => {
        const stored: SparseStored = sparseInput(tape, { rows, columns, entries: ones.indices.length })
        const slot = dropoutSlot(tape)
        const parameter = put(engine, tape, weights)
        return {
          y: sparseProduct(tape, stored, parameter, channels, dropoutValues(tape, stored, slot, 5)),
          fill: () => {
            writeSparse(engine, stored, features)
            writeDropout(engine, slot, rate, [11, 12])
          },
          read: () => new Map([['gradient', engine.floats(parameter.gradient, weights.length).slice() as ArrayLike<number>]]),
        }
      })
      const drawn = new Uint32Array(2)
      const kept = features.values!.map((value, entry) => {
        threefry2x32(11, 12, entry >> 1, 5, drawn)
        return drawn[entry & 1] / 2 ** 32 < rate ? 0 : value / (1 - rate)
      })
      const y = new Float64Array(rows * channels)
      const gradient = new Float64Array(weights.length)
      for (let row = 0; row < rows; row++)
        for (let e = ones.starts[row]; e < ones.starts[row + 1]; e++)
          for (let c = 0; c < channels; c++) {
            y[row * channels + c] += kept[e] * weights[ones.indices[e] * channels + c]
            gradient[ones.indices[e] * channels + c] += kept[e] * seeds[row * channels + c]
          }
      expect(relativeError(result.get('output')!, y)).toBeLessThan(tolerances.value)
      expect(relativeError(result.get('gradient')!, gradient)).toBeLessThan(tolerances.gradient)
    }
  })

  test('dropout scales what it keeps, and its gradient keeps the same', () => {
    const [rows, channels] = [50, 7]
    const x = new Numbers(1).normal('x', rows * channels)
    const run = (key: number) =>
      execute(backend(), rows, (tape, engine) => {
        const input = tape.input(1, 1, channels, true)
        const slot = dropoutSlot(tape)
        return {
          y: dropout(tape, input, slot, 0),
          fill: () => {
            fillMap(engine, input, x)
            writeDropout(engine, slot, 0.6, [key, 0])
          },
          read: () => new Map([['gradient', readMap(engine, input.stored, input.stored.gradient) as ArrayLike<number>]]),
        }
      })
    const { result, seeds } = run(1)
    const [y, gradient] = [Array.from(result.get('output')!), Array.from(result.get('gradient')!)]
    const kept = y.map((value) => value !== 0)
    expect(
      relativeError(
        y,
        x.map((value, i) => (kept[i] ? value / 0.4 : 0)),
      ),
    ).toBeLessThan(1e-6)
    expect(
      relativeError(
        gradient,
        seeds.map((value, i) => (kept[i] ? value / 0.4 : 0)),
      ),
    ).toBeLessThan(1e-6)
    const share = kept.filter(Boolean).length / kept.length
    expect(share).toBeGreaterThan(0.3)
    expect(share).toBeLessThan(0.5)
    expect(same(run(2).result.get('output')!, y)).toBe(false)
  })

  test('says what does not fit', () => {
    const { engine } = guardedEngine(backend())
    const tape = new Tape(engine, { batch: 4, mode: 'train' })
    const graph = sparseInput(tape, { rows: 5, columns: 5, entries: 9 })
    const options = { aggregator: 'sum', heads: 1, attention: 'ones' } as const
    expect(() => aggregate(tape, tape.input(1, 1, 6), graph, options)).toThrow('5 nodes and a batch of 4')
    const fitting = sparseInput(tape, { rows: 4, columns: 4, entries: 9 })
    expect(() => aggregate(tape, tape.input(1, 1, 6), fitting, { ...options, heads: 4 })).toThrow('6 channels cannot be shared by 4 heads')
    expect(() => writeSparse(engine, fitting, sparseOnes(4, 4, [[0, 0]]))).toThrow('does not fit')
    tape.dispose()
  })
})
