// The joint search on tones: paths of which one sees the pitch, sizes, and widths of every layer.
import type { Engine } from '@bitwright/engine'
import { deserialize, serialize } from 'node:v8'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { memory } from '../hardware/index.ts'
import { canonicalDecisions, extremes, jointSpace, networksOfEveryRole } from '../spaces/index.ts'
import type { BudgetSpec } from '../study/api.ts'
import { SharedQuantization } from '../training/shared-quantization.ts'
import { openEngine, toneDataset, toneSizeSpace, toneSource, toneSpace } from '../training/testing/tones.ts'
import { DivergedError } from '../training/trainer.ts'
import { Budget } from './budget.ts'
import { frontOf } from './front.ts'
import { joint, jointDefaults, type JointOptions } from './joint.ts'
import { RememberingSource } from './remembering-source.ts'
import type { Candidate, Strategy } from './strategy.ts'
import { Supernet } from './supernet.ts'
import { finish } from './testing/ending.ts'

const dataset = toneDataset()
const batchSize = 20
const paths = jointSpace(toneSpace())
const sizes = jointSpace(toneSizeSpace())

let engine: Engine
beforeAll(async () => {
  engine = await openEngine()
})
afterAll(() => engine.backend.close())

interface Opened {
  readonly strategy: Strategy
  readonly supernet: Supernet
  readonly budget: Budget
}
function open(space: typeof paths, given: Partial<JointOptions> = {}, limits: BudgetSpec = {}): Opened {
  const source = new RememberingSource(engine, toneSource(engine, dataset))
  const seed = 1
  const supernet = new Supernet(engine, space, source, { seed, batchSize, labelSmoothing: 0.1, weightDecay: 1e-4 })
  const budget = new Budget({ budget: limits, hardware: memory, weightBits: 'searched', activationBits: 'searched' })
  const networks = networksOfEveryRole(space)
  const quantization = new SharedQuantization(supernet.store, networks, space.roleOf, {
    weightWidths: space.widths.weightBits,
    activationWidths: space.widths.activationBits,
    sharing: 'nested',
    granularity: 'channel',
  })
  const options: JointOptions = {
    ...jointDefaults,
    train: 'sandwich',
    pick: 'evolution',
    warmupEpochs: 2,
    searchEpochs: 3,
    seed,
    batchSize,
    learningRate: 0.02,
    candidates: 20,
    population: 8,
    scoredSamples: 40,
    architectureEvery: 2,
    swappedChoices: 4,
    ...given,
  }
  return { strategy: joint(space, supernet, quantization, source, budget, options), supernet, budget }
}

const ways = [
  ['sandwich', 'evolution'],
  ['gates', 'gates'],
] as const

describe.each(ways)('--train %s --pick %s', (train, pick) => {
  it('finds networks that hear the pitch, at several widths, all different, and a front of them', async () => {
    const { bytes } = engine.heap
    const { chosen, offered } = await finish(open(paths, { train, pick }).strategy)
    expect(chosen.decisions[0]).toBe(1)
    expect(chosen.score).toBeGreaterThan(0.6)
    expect(chosen.score).toBe(Math.max(...offered.map(({ score }) => score)))
    expect(offered).toHaveLength(20)
    expect(new Set(offered.map(({ decisions }) => canonicalDecisions(paths, decisions).join())).size).toBe(20)
    for (const { decisions, network, cost } of offered) {
      expect(network).toEqual(paths.build(decisions))
      expect(cost.flashBytes).toBe(memory.price(network).flashBytes)
    }
    const front = frontOf(offered)
    expect(front.length).toBeGreaterThan(0)
    expect(front.at(-1)!.accuracy).toBe(chosen.score)
    expect(engine.heap.bytes).toBe(bytes)
  })

  it('scores nothing that is over budget, under any limit', async () => {
    const { largest, smallest } = extremes(sizes)
    const opened = open(sizes, { train, pick, candidates: 12 })
    const [high, low] = [largest, smallest].map((decisions) => opened.budget.price(sizes.build(decisions)))
    opened.strategy.dispose()
    const limits = { flashBytes: Math.round(0.6 * low.flashBytes + 0.4 * high.flashBytes), macs: Math.round((low.macs + high.macs) / 2) }
    const limited = open(sizes, { train, pick, candidates: 12 }, limits)
    const scores = vi.spyOn(limited.supernet, 'sharedAccuracy')
    const { offered } = await finish(limited.strategy)
    expect(offered.length).toBeGreaterThan(3)
    expect(scores).toHaveBeenCalledTimes(offered.length)
    for (const [network] of scores.mock.calls) {
      const cost = memory.price(network)
      expect(cost.flashBytes).toBeLessThanOrEqual(limits.flashBytes)
      expect(cost.macs).toBeLessThanOrEqual(limits.macs)
    }
  })

  it('widens a candidate as far as the budget allows, and scores it so', async () => {
    const { largest } = extremes(sizes)
    const probe = open(sizes, { train, pick, candidates: 8 })
    const flashBytes = Math.round(0.7 * probe.budget.price(sizes.build(largest)).flashBytes)
    probe.strategy.dispose()
    const { strategy, supernet, budget } = open(sizes, { train, pick, candidates: 8 }, { flashBytes })
    for (let epoch = 0; epoch < strategy.epochs; epoch++) await strategy.epoch(epoch, () => true)
    const offered: Candidate[] = []
    await strategy.choose(
      (candidate) => offered.push(candidate),
      () => true,
    )
    const isBits = sizes.choices.map(({ kind }) => kind === 'bits')
    const scores = vi.spyOn(supernet, 'sharedAccuracy')
    let wider = 0
    for (const candidate of offered) {
      const widened = await strategy.widened!(candidate)
      expect(widened.network).toEqual(sizes.build(widened.decisions))
      expect(widened.cost).toEqual(budget.price(widened.network))
      expect(widened.cost.flashBytes).toBeLessThanOrEqual(flashBytes)
      for (const [choice, option] of widened.decisions.entries()) if (!isBits[choice]) expect(option).toBe(candidate.decisions[choice])
      // in one place at most narrower than one width throughout that fits; a choice of which nothing depends is at its first option
      for (const width of sizes.choices[isBits.indexOf(true)].options.keys()) {
        const throughout = canonicalDecisions(
          sizes,
          candidate.decisions.map((option, choice) => (isBits[choice] ? width : option)),
        )
        if (budget.admit(sizes, throughout))
          expect(throughout.filter((option, choice) => widened.decisions[choice] < option).length).toBeLessThanOrEqual(1)
      }
      if (widened === candidate) continue
      wider++
      expect(widened.score).toBe(await scores.mock.results.at(-1)!.value)
    }
    expect(wider).toBeGreaterThan(0)
    expect(scores).toHaveBeenCalledTimes(wider)
    strategy.dispose()
  })

  it('ends with the same bits when interrupted in the middle of an epoch and restored', async () => {
    const whole = await finish(open(sizes, { train, pick }).strategy)
    const first = open(sizes, { train, pick })
    let saved: Buffer | undefined
    for (let epoch = 0; epoch < 3; epoch++) {
      await first.strategy.epoch(epoch, () => true)
      saved = serialize(first.strategy.state())
    }
    expect(await first.strategy.epoch(3, (step) => step < 3)).toBeUndefined()
    first.strategy.dispose()
    const second = open(sizes, { train, pick })
    second.strategy.restore(deserialize(saved!))
    const resumed = await finish(second.strategy, 3)
    expect(resumed.offered).toEqual(whole.offered)
    expect(resumed.chosen).toEqual(whole.chosen)
    expect(resumed.state).toEqual(whole.state)
  })
})

describe('evolution', () => {
  it('goes on from its last generation with the same bits', async () => {
    const whole = await finish(open(paths).strategy)
    const first = open(paths)
    for (let epoch = 0; epoch < first.strategy.epochs; epoch++) await first.strategy.epoch(epoch, () => true)
    const saved: Buffer[] = []
    const interrupted = await first.strategy.choose(
      () => {},
      (scored) => scored < 15,
      () => saved.push(serialize(first.strategy.state())),
    )
    expect(interrupted).toBeUndefined()
    expect(saved).toHaveLength(1)
    first.strategy.dispose()
    const second = open(paths)
    second.strategy.restore(deserialize(saved.at(-1)!))
    const resumed = await finish(second.strategy, second.strategy.epochs)
    expect(resumed.offered).toEqual(whole.offered)
    expect(resumed.state).toEqual(whole.state)
  })

  it('drops a candidate whose score is no number, and goes on', async () => {
    const opened = open(paths)
    const real = opened.supernet.sharedAccuracy.bind(opened.supernet)
    let calls = 0
    vi.spyOn(opened.supernet, 'sharedAccuracy').mockImplementation(async (...given) => {
      calls++
      if (calls === 3) return Number.NaN
      if (calls === 5) throw new DivergedError('exploded')
      return real(...given)
    })
    const { offered, chosen } = await finish(opened.strategy)
    expect(offered.flatMap(({ dropped }, i) => (dropped === undefined ? [] : [[i, dropped]]))).toEqual([
      [2, 'its score is NaN'],
      [4, 'exploded'],
    ])
    expect(chosen.dropped).toBeUndefined()
    expect(frontOf(offered).every(({ decisions }) => ![2, 4].some((i) => offered[i].decisions.join() === decisions.join()))).toBe(true)
  })
})

describe('sandwich', () => {
  it('leaves out a path that diverges, and the whole step where that was the largest', async () => {
    const opened = open(paths)
    const { supernet, strategy } = opened
    const real = supernet.pass.bind(supernet)
    let calls = 0
    vi.spyOn(supernet, 'pass').mockImplementation((...given) => {
      calls++
      // the second path of the first step, and the largest of the second
      if (calls === 2 || calls === 5) throw new DivergedError('exploded')
      return real(...given)
    })
    const step = vi.spyOn(supernet, 'step')
    const result = await strategy.epoch(0, () => true)
    expect(result!.lostSteps).toEqual({ count: 2, reason: 'exploded' })
    // the clips of an epoch make six steps of four paths; the one without its largest ended there
    expect(step).toHaveBeenCalledTimes(5)
    expect(calls).toBe(4 + 1 + 4 * 4)
    expect(result!.loss).toBeGreaterThan(0)
    strategy.dispose()
  })

  it('fails where no step of an epoch was sound', async () => {
    const { supernet, strategy } = open(paths)
    vi.spyOn(supernet, 'pass').mockImplementation(() => {
      throw new DivergedError('exploded')
    })
    await expect(strategy.epoch(0, () => true)).rejects.toThrow('exploded')
    strategy.dispose()
  })

  it('teaches all others with the largest, quantized from the end of the warm-up on', async () => {
    const { supernet, strategy } = open(sizes)
    const pass = vi.spyOn(supernet, 'pass')
    for (let epoch = 0; epoch < 3; epoch++) await strategy.epoch(epoch, () => true)
    const { largest, smallest } = extremes(sizes)
    expect(pass.mock.calls.length % 4).toBe(0)
    pass.mock.calls.forEach(([decisions, , epoch, { quantization, teacher } = {}], i) => {
      if (i % 4 === 0) expect(decisions).toEqual(largest)
      if (i % 4 === 1) expect(decisions).toEqual(smallest)
      expect(teacher === undefined).toBe(i % 4 === 0)
      expect(quantization === undefined).toBe(epoch < 2)
      if (teacher)
        for (let row = 0; row < batchSize; row++)
          expect(sum(teacher.subarray(row * (teacher.length / batchSize), (row + 1) * (teacher.length / batchSize)))).toBeCloseTo(1, 5)
    })
    strategy.dispose()
  })
})

const sum = (values: Float32Array) => values.reduce((total, value) => total + value, 0)
