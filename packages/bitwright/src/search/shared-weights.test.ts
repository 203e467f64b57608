import { type Engine, type ParameterStore, Random } from '@bitwright/engine'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parameterShapes } from '../network/parameters.ts'
import { kwsMfcc } from '../spaces/index.ts'
import { createStore } from '../training/initialize.ts'
import { openEngine } from '../training/testing/tones.ts'
import { SharedWeights, sliceIndices } from './shared-weights.ts'

const space = kwsMfcc({ classes: ['yes', 'no'], samples: 4000 })
const everyOption = Array.from({ length: 19 }, (_, option) =>
  space.build(space.choices.map(({ options }) => Math.min(option, options.length - 1))),
)

let engine: Engine
let store: ParameterStore
let shared: SharedWeights
beforeAll(async () => {
  engine = await openEngine()
  store = createStore(engine, everyOption, 1)
  shared = new SharedWeights(store, space, everyOption)
})
afterAll(() => engine.backend.close())

/** A weight of the store with its shape, after loading everything. */
function weight(name: string): { at: (...position: number[]) => number; shape: readonly number[] } {
  shared.loadAll()
  const { shape } = everyOption.flatMap((network) => parameterShapes(network)).find((parameter) => parameter.name === name)!
  const values = store.value(name)
  return { shape, at: (...position) => values[position.reduce((index, value, axis) => index * shape[axis] + value, 0)] }
}

describe('slices', () => {
  it('take kernels from the middle and everything else from the start', () => {
    // [3][3][2] of [5][7][4]: rows 1..3, columns 2..4, channels 0..1
    const indices = sliceIndices([3, 3, 2], [5, 7, 4], 100, true)
    const expected = [1, 2, 3].flatMap((row) =>
      [2, 3, 4].flatMap((column) => [0, 1].map((channel) => 100 + (row * 7 + column) * 4 + channel)),
    )
    expect([...indices]).toEqual(expected)
    expect([...sliceIndices([2, 3], [4, 5], 0, true)]).toEqual([0, 1, 2, 5, 6, 7])
    expect([...sliceIndices([3], [5], 7, false)]).toEqual([7, 8, 9])
  })

  it('are the same numbers in all options of a place', () => {
    const large = weight('s3.l2.e6k7.depthwise.weight')
    const small = weight('s3.l2.e2k3.depthwise.weight')
    expect(large.shape).toEqual([7, 7, 120])
    expect(small.shape).toEqual([3, 3, 40])
    for (let row = 0; row < 3; row++) {
      for (let column = 0; column < 3; column++) {
        for (let channel = 0; channel < 40; channel++) expect(small.at(row, column, channel)).toBe(large.at(row + 2, column + 2, channel))
      }
    }
    const [wide, narrow] = [weight('s3.l2.e6k7.project.weight'), weight('s3.l2.e3k5.project.weight')]
    for (let input = 0; input < 60; input++)
      for (let output = 0; output < 20; output++) expect(narrow.at(0, 0, input, output)).toBe(wide.at(0, 0, input, output))
    // but not in other places
    expect(weight('s3.l3.e6k7.depthwise.weight').at(3, 3, 0)).not.toBe(large.at(3, 3, 0))
  })

  it('start as the largest option starts', () => {
    const fresh = createStore(engine, everyOption, 1)
    const again = new SharedWeights(fresh, space, everyOption)
    const initial = fresh.value('s4.l2.e6k7.expand.weight').slice()
    again.loadAll()
    expect(fresh.value('s4.l2.e6k7.expand.weight')).toEqual(initial)
    fresh.dispose()
  })
})

it('takes AdamW steps on what a path uses, for all options that have a part of it', () => {
  const parameters = parameterShapes(space.build(space.choices.map(() => 4))) // e2k5
  const names = parameters.map(({ name }) => name)
  const before = shared.state()
  const random = new Random(2)
  const gradients = new Map(
    names.map((name) => [name, Array.from({ length: 3 }, () => Float32Array.from(store.value(name), () => random.normal()))]),
  )
  shared.loadAll()
  const started = new Map(names.map((name) => [name, store.value(name).slice()]))
  const [rate, decay] = [0.01, 0.1]
  for (let step = 0; step < 3; step++) {
    for (const name of names) store.gradient(name).set(gradients.get(name)![step])
    shared.collect(parameters)
    shared.apply(rate, decay)
  }
  shared.loadAll()
  for (const name of ['s3.l2.e2k5.depthwise.weight', 'first.weight', 'logits.bias', 's4.l1.e2k5.project.scale']) {
    const isWeight = name.endsWith('.weight')
    for (const i of [0, 1, started.get(name)!.length - 1]) {
      let [value, first, second] = [started.get(name)![i], 0, 0]
      for (let step = 1; step <= 3; step++) {
        const g = gradients.get(name)![step - 1][i]
        first = 0.9 * first + 0.1 * g
        second = 0.999 * second + 0.001 * g ** 2
        value -= rate * ((isWeight ? decay : 0) * value + first / (1 - 0.9 ** step) / (Math.sqrt(second / (1 - 0.999 ** step)) + 1e-8))
      }
      expect(store.value(name)[i], name).toBeCloseTo(value, 5)
    }
  }
  // a larger option has learned its middle, the rest of it nothing
  const large = weight('s3.l2.e6k7.depthwise.weight')
  const small = weight('s3.l2.e2k5.depthwise.weight')
  expect(large.at(3, 3, 0)).toBe(small.at(2, 2, 0))
  const changed = shared.state().values.filter((value, i) => value !== before.values[i]).length
  expect(changed).toBe(names.reduce((sum, name) => sum + store.value(name).length, 0))
})

it('goes on from its state with the same bits', () => {
  const parameters = parameterShapes(everyOption[7])
  const saved = structuredClone(shared.state())
  for (const { name } of parameters) store.gradient(name).fill(0.3)
  shared.collect(parameters)
  shared.apply(0.01, 0.1)
  const expected = structuredClone(shared.state())
  expect(expected).not.toEqual(saved)
  shared.restore(saved)
  expect(shared.state()).toEqual(saved)
  shared.collect(parameters)
  shared.apply(0.01, 0.1)
  expect(shared.state()).toEqual(expected)
})

it('steps along the sum of several paths, once for what they have in common, and forgets what is discarded', () => {
  const [small, large] = [1, 17].map((option) => parameterShapes(everyOption[option]))
  const saved = structuredClone(shared.state())
  const firstMoments = (gradients: readonly (readonly [typeof small, number])[]) => {
    shared.restore(saved)
    for (const [parameters, gradient] of gradients) {
      for (const { name } of parameters) store.gradient(name).fill(gradient)
      shared.collect(parameters)
    }
    shared.apply(0.01, 0)
    const { first, updates } = shared.state()
    expect(updates).toBe(saved.updates + 1)
    return new Set(Array.from(first, (value, i) => (value - 0.9 * saved.first[i]).toFixed(3)))
  }
  expect(firstMoments([[large, 0.5]])).toEqual(new Set(['0.050']))
  expect(
    firstMoments([
      [large, 0.5],
      [small, 0.2],
    ]),
  ).toEqual(new Set(['0.050', '0.070']))
  shared.restore(saved)
  expect(shared.collect(large)).toBe(true)
  shared.discard()
  store.gradient(large[3].name)[1] = Number.NaN
  expect(shared.collect(large)).toBe(false)
  shared.apply(0.01, 0)
  expect(shared.state()).toEqual({ ...saved, updates: saved.updates + 1 })
  shared.restore(saved)
})
