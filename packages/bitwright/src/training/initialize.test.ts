import { type Engine, type ParameterStore } from '@bitwright/engine'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { builtinNetwork } from '../network/index.ts'
import { parameterShapes, statisticShapes } from '../network/parameters.ts'
import { kwsE2e } from '../spaces/index.ts'
import { createStore } from './initialize.ts'
import { openEngine } from './testing/tones.ts'

const network = builtinNetwork('kws-e2e-e3k5', { classes: ['yes', 'no', 'up'] })
const graphNetwork = builtinNetwork('cenet-gcn-6', { classes: ['yes', 'no', 'up'] })
let engine: Engine
beforeAll(async () => {
  engine = await openEngine()
})
afterAll(() => engine.backend.close())

const everything = (store: ParameterStore) => [...store.all()].map(({ name }) => [name, [...store.value(name)]] as const)

it('holds every parameter and statistic once, the same ones for the same seed', () => {
  const stores = [0, 0, 1].map((seed) => createStore(engine, [network], seed))
  const names = [...parameterShapes(network), ...statisticShapes(network)].map(({ name }) => name)
  expect(
    everything(stores[0])
      .map(([name]) => name)
      .toSorted(),
  ).toEqual(names.toSorted())
  expect(everything(stores[1])).toEqual(everything(stores[0]))
  expect(stores[2].value('logits.weight')).not.toEqual(stores[0].value('logits.weight'))
  for (const store of stores) store.dispose()
})

it('starts a parameter by its name: what else is in the store does not matter', () => {
  const space = kwsE2e({ classes: ['yes', 'no', 'up'] })
  const networks = [0, 7, 17].map((option) => space.build(space.choices.map(() => option)))
  const alone = createStore(engine, [networks[1]], 3)
  const shared = createStore(engine, networks, 3)
  for (const [name, values] of everything(alone)) expect([...shared.value(name)], name).toEqual(values)
  expect([...shared.all()].length).toBeGreaterThan([...alone.all()].length)
  alone.dispose()
  shared.dispose()
})

it.each([network, graphNetwork])('draws weights of the deviation their fan-in asks for, and starts the rest at rest: $name', (its) => {
  const store = createStore(engine, [its], 0)
  for (const { name, shape, kind } of [...parameterShapes(its), ...statisticShapes(its)]) {
    const values = store.value(name)
    const fanIn = values.length / shape.at(-1)!
    const rootMeanSquare = Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0) / values.length)
    if (kind === 'weight') {
      const isUniform = name === 'logits.weight' || /graph[.](query|key|value)[.]/.test(name)
      const expected = isUniform ? 1 / Math.sqrt(3 * fanIn) : Math.sqrt(2 / fanIn)
      expect(rootMeanSquare / expected, name).toBeGreaterThan(1 - 4 / Math.sqrt(2 * values.length))
      expect(rootMeanSquare / expected, name).toBeLessThan(1 + 4 / Math.sqrt(2 * values.length))
    } else if (kind !== 'sinc') {
      expect([...new Set(values)], name).toEqual([kind === 'scale' || kind === 'variance' ? 1 : 0])
    }
  }
  store.dispose()
})

it('spaces sinc filters over the mel scale, one beside the other, below half the sample rate', () => {
  const slow = builtinNetwork('kws-e2e-e3k5', { classes: ['yes', 'no'], sampleRate: 8000 })
  for (const [graph, rate] of [
    [network, 16_000],
    [slow, 8000],
  ] as const) {
    const store = createStore(engine, [graph], 0)
    const [low, band] = [store.value('frontEnd.lowHz'), store.value('frontEnd.bandHz')]
    expect(low[0]).toBeCloseTo(30, 3)
    for (let i = 1; i < low.length; i++) {
      expect(low[i]).toBeCloseTo(low[i - 1] + band[i - 1], 1)
      expect(band[i]).toBeGreaterThan(band[i - 1])
    }
    expect(low.at(-1)! + band.at(-1)!).toBeCloseTo(rate / 2 - 100, 1)
    store.dispose()
  }
})

it('lets weights alone decay, moves cut-offs by Hertz, and what attention compares more slowly', () => {
  for (const graph of [network, graphNetwork]) {
    const store = createStore(engine, [graph], 0)
    for (const { name, kind } of parameterShapes(graph)) {
      expect(store.get(name).decay, name).toBe(kind === 'weight' ? 1 : 0)
      if (kind === 'sinc') expect(store.get(name).rate).toBeGreaterThan(50)
      else if (/graph[.](query|key)[.]/.test(name)) expect(store.get(name).rate, name).toBeCloseTo(0.05)
      else expect(store.get(name).rate, name).toBe(1)
    }
    store.dispose()
  }
})
