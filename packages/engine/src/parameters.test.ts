// The parameter store: names, positions, and copies of everything a resumed run needs.
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Backend } from './backends/backend.ts'
import { openBackend } from './backends/open.ts'
import { Engine } from './engine.ts'
import { ParameterStore } from './parameters.ts'

let backend: Backend
beforeAll(async () => {
  backend = await openBackend({ backend: 'wasm', threads: 1 })
})
afterAll(() => backend.close())

const shapes = [
  { name: 'a', size: 3 },
  { name: 'b', size: 17 },
  { name: 'c', size: 16 },
]

test('parameters have their own cache lines, in values and gradients alike, and start as zeros', () => {
  const engine = new Engine(backend)
  backend.heap.fill(5)
  const store = new ParameterStore(engine, shapes)
  expect([...store.all()].map(({ name, position, size }) => [name, position, size])).toEqual([
    ['a', 0, 3],
    ['b', 16, 17],
    ['c', 48, 16],
  ])
  expect(store.size).toBe(64)
  for (const block of [store.values, store.gradients, store.first, store.second])
    expect(engine.floats(block, 64).every((x) => x === 0)).toBe(true)
  store.value('b').fill(1)
  store.gradient('b').fill(2)
  expect([...engine.floats(store.values, 64).entries()].filter(([, x]) => x === 1).map(([i]) => i)).toEqual(
    Array.from({ length: 17 }, (_, i) => 16 + i),
  )
  expect(store.value('a')[0] + store.value('c')[0] + store.gradient('a')[2]).toBe(0)
  expect(store.gradient('b')[16]).toBe(2)
  store.dispose()
  expect(engine.heap.bytes).toBe(64)
})

test('a snapshot holds values and both moments, and goes into another store', () => {
  const engine = new Engine(backend)
  const [store, other] = [new ParameterStore(engine, shapes), new ParameterStore(engine, shapes)]
  ;[store.values, store.first, store.second].forEach((block, k) =>
    engine.floats(block, store.size).forEach((_, i, all) => (all[i] = 100 * k + i)),
  )
  engine.floats(store.gradients, store.size).fill(-1)
  const snapshot = store.snapshot()
  store.value('b').fill(0)
  expect(snapshot[20]).toBe(20)
  other.restore(snapshot)
  expect([...other.value('c')]).toEqual(Array.from({ length: 16 }, (_, i) => 48 + i))
  expect(engine.floats(other.first, 64)[63]).toBe(163)
  expect(engine.floats(other.second, 64)[0]).toBe(200)
  expect(engine.floats(other.gradients, 64).every((x) => x === 0)).toBe(true)
  expect(other.snapshot()).toEqual(snapshot)
  expect(() => other.restore(snapshot.subarray(1))).toThrow(/snapshot of 191 floats does not fit 192/)
})

test('unknown and doubled names are refused', () => {
  const store = new ParameterStore(new Engine(backend), [])
  expect(store.size).toBe(1)
  expect(store.has('x')).toBe(false)
  expect(() => store.get('x')).toThrow(/no parameter 'x'/)
  expect(() => new ParameterStore(new Engine(backend), [shapes[0], shapes[0]])).toThrow(/'a' is declared twice/)
})
