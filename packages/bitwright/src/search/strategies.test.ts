// Both strategies on a task where one option sees what matters and the other cannot.
import type { Engine } from '@bitwright/engine'
import { deserialize, serialize } from 'node:v8'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { memory } from '../hardware/index.ts'
import { decisionMacs } from '../spaces/decisions.ts'
import type { BudgetSpec } from '../study/api.ts'
import { openEngine, toneDataset, toneSource, toneSpace } from '../training/testing/tones.ts'
import { Budget } from './budget.ts'
import { proxyless, proxylessDefaults, type ProxylessOptions } from './proxyless.ts'
import { randomSearch } from './random.ts'
import type { Strategy } from './strategy.ts'
import { Supernet } from './supernet.ts'
import { finish } from './testing/ending.ts'

const dataset = toneDataset()
const space = toneSpace()
const batchSize = 20

let engine: Engine
beforeAll(async () => {
  engine = await openEngine()
})
afterAll(() => engine.backend.close())

const budgetOf = (budget: BudgetSpec) => new Budget({ budget, hardware: memory, weightBits: 8, activationBits: 8 })

function openProxyless(budget: BudgetSpec = {}, seed = 1, more: Partial<ProxylessOptions> = {}): Strategy {
  const source = toneSource(engine, dataset)
  const supernet = new Supernet(engine, space, source, { seed, batchSize, labelSmoothing: 0.1, weightDecay: 1e-4 })
  const options = {
    ...proxylessDefaults,
    seed,
    batchSize,
    learningRate: 3e-3,
    warmupEpochs: 2,
    searchEpochs: 3,
    architectureRate: 0.1,
    architectureEvery: 1,
    finalists: 3,
  }
  return proxyless(supernet, source, budgetOf(budget), { ...options, ...more })
}

function openRandom(budget: BudgetSpec = {}, seed = 1): Strategy {
  const training = { optimizer: 'adam', learningRate: 1e-2, weightDecay: 0.01, labelSmoothing: 0.1, batchSize, seed } as const
  return randomSearch(engine, space, toneSource(engine, dataset), budgetOf(budget), { networks: 4, epochsEach: 2, seed, training })
}

const strategies = { proxyless: openProxyless, random: openRandom }

describe.each(['proxyless', 'random'] as const)('%s', (name) => {
  const open = strategies[name]

  it('chooses the option that sees the pitch', async () => {
    const { bytes } = engine.heap
    const { chosen, offered } = await finish(open())
    expect(chosen.decisions[0]).toBe(1)
    expect(chosen.score).toBeGreaterThan(0.6)
    expect(chosen.score).toBe(Math.max(...offered.map(({ score }) => score)))
    expect(offered).toContain(chosen)
    for (const { decisions, network } of offered) expect(network).toEqual(space.build(decisions))
    expect(engine.heap.bytes).toBe(bytes)
  })

  it('offers nothing that is over budget', async () => {
    // all with 'point' fit, and one of those with 'wide'
    const macs = decisionMacs(space, [1, 2])
    expect(decisionMacs(space, [0, 0])).toBeLessThan(macs)
    const { chosen, offered } = await finish(open({ macs }))
    expect(offered.length).toBeGreaterThan(0)
    for (const { cost } of [chosen, ...offered]) expect(cost.macs).toBeLessThanOrEqual(macs)
  })

  it('ends with the same bits when interrupted in the middle of an epoch and restored', async () => {
    const whole = await finish(open())
    const first = open()
    let saved: Buffer | undefined
    for (let epoch = 0; epoch < 3; epoch++) {
      await first.epoch(epoch, () => true)
      saved = serialize(first.state())
    }
    let steps = 0
    expect(await first.epoch(3, () => ++steps < 3)).toBeUndefined()
    expect(steps).toBe(3)
    first.dispose()

    const second = open()
    second.restore(deserialize(saved!))
    const resumed = await finish(second, 3)
    expect(resumed.chosen).toEqual(whole.chosen)
    expect(resumed.offered).toEqual(whole.offered)
    expect(resumed.state).toEqual(whole.state)
  })

  it('goes on from its own state in the same process', async () => {
    const whole = await finish(open())
    const strategy = open()
    for (let epoch = 0; epoch < 2; epoch++) await strategy.epoch(epoch, () => true)
    const saved = serialize(strategy.state())
    await strategy.epoch(2, (step) => step < 2)
    strategy.restore(deserialize(saved))
    expect((await finish(strategy, 2)).state).toEqual(whole.state)
  })

  it('tells what an epoch was', async () => {
    const strategy = open()
    const seen: number[] = []
    const result = await strategy.epoch(0, (step, steps) => seen.push(step) > 0 && steps === 6)
    expect(seen).toEqual([1, 2, 3, 4, 5, 6])
    expect(result).toMatchObject({ stage: name === 'proxyless' ? 'warmup' : 'search', index: 0 })
    expect(result!.loss).toBeGreaterThan(0)
    expect(result!.accuracy).toBeGreaterThan(0.1)
    expect(result!.accuracy).toBeLessThanOrEqual(1)
    strategy.dispose()
  })
})

describe('proxyless', () => {
  it('finds what fits even where the gates prefer what does not', async () => {
    // no limit on MACs that the gates could learn: only the very smallest member fits the flash
    const smallest = budgetOf({}).price(space.build([0, 2])).flashBytes
    const { chosen } = await finish(openProxyless({ flashBytes: smallest }))
    expect(chosen.decisions).toEqual([0, 2])
  })

  it('can be stopped while it chooses', async () => {
    const strategy = openProxyless()
    for (let epoch = 0; epoch < strategy.epochs; epoch++) await strategy.epoch(epoch, () => true)
    let offers = 0
    expect(
      await strategy.choose(
        () => offers++,
        () => false,
      ),
    ).toBeUndefined()
    expect(offers).toBe(1)
    strategy.dispose()
  })

  it('holds the weights still while gates are not learned, and the gates while weights warm up', async () => {
    const strategy = openProxyless()
    const gates = () => (strategy.state() as { gates: number[][] }).gates
    const before = gates()
    await strategy.epoch(0, () => true)
    expect(gates()).toEqual(before)
    await strategy.epoch(2, () => true)
    expect(gates()).not.toEqual(before)
    strategy.dispose()
  })

  it('learns gates also where an epoch has fewer steps than lie between two of theirs', async () => {
    const strategy = openProxyless({}, 1, { architectureEvery: 9 })
    const gates = () => (strategy.state() as { gates: number[][] }).gates
    const before = gates()
    await strategy.epoch(2, () => true)
    expect(gates()).toEqual(before)
    await strategy.epoch(3, () => true)
    expect(gates()).not.toEqual(before)
    strategy.dispose()
  })
})
