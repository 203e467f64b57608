// Whole joint searches on one-second tones: their front, the training of its members, and that interruptions change nothing.
import { Engine, openBackend } from '@bitwright/engine'
import { readFileSync, rmSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { memory } from '../hardware/index.ts'
import { isWeighted } from '../network/graph.ts'
import type { Network } from '../network/network.ts'
import { withoutBits } from '../network/transform.ts'
import { createStore } from '../training/initialize.ts'
import type { SearchSpec, TrainSpec } from './api.ts'
import { readCheckpoint } from './checkpoint.ts'
import { chooseMember, frontOfRun } from './front-of-run.ts'
import { runDirectory } from './run-directory.ts'
import { searchStudy, trainStudy } from './run.ts'
import { at, common, hooksOf, inSittings, place, remains, searching } from './testing/tone-runs.ts'

describe('a joint search', () => {
  const joint = (out: string, more: Partial<SearchSpec> = {}): SearchSpec => ({
    ...searching(out),
    search: 'joint',
    weightBits: 'searched',
    activationBits: 'searched',
    epochs: { warmup: 1, search: 1, train: 1, quantize: 1 },
    joint: { train: 'sandwich', pick: 'evolution', candidates: 40, start: 'shared' },
    budget: { macs: 900_000, flashBytes: 24_000 },
    ...more,
  })

  it('gives a front within the budget and trains its best member at its searched widths, with the same bits when interrupted', async () => {
    const hooks = hooksOf()
    const result = await searchStudy(joint('joint'), hooks)
    expect(result.status).toBe('finished')
    const fronts = hooks.events.flatMap((event) => (event.type === 'front' ? [event] : []))
    expect(fronts).toHaveLength(1)
    const [{ members, chosen }] = fronts
    expect(result.front).toEqual(members)
    for (const { network: member, macs, flashBytes, ramBytes } of members) {
      const priced = memory.price(member)
      expect([macs, flashBytes, ramBytes]).toEqual([priced.macs, priced.flashBytes, priced.ramBytes])
      expect(macs).toBeLessThanOrEqual(900_000)
      expect(flashBytes).toBeLessThanOrEqual(24_000)
    }
    expect(members[chosen].accuracy).toBe(Math.max(...members.map(({ accuracy }) => accuracy)))
    expect(result.network).toEqual(members[chosen].network)
    expect(result.cost!.flashBytes).toBe(members[chosen].flashBytes)
    expect(readFileSync(result.model!)).toHaveLength(members[chosen].flashBytes)

    const moments = [at('warmup', 2), at('search', 3), at('search', 36, 'candidates'), at('train', 1), at('quantize', 2)]
    await inSittings(searchStudy, joint('joint-sittings'), moments)
    expect(remains('joint-sittings')).toEqual(remains('joint'))
  })

  it('trains finalists alone before it chooses, and the same ones when interrupted among them', async () => {
    const withFinalists = (out: string) =>
      joint(out, {
        epochs: { warmup: 1, search: 1, train: 2, quantize: 2 },
        joint: { train: 'sandwich', pick: 'evolution', candidates: 40, start: 'shared', finalists: 3 },
      })
    const hooks = hooksOf()
    const result = await searchStudy(withFinalists('finalists'), hooks)
    const latest = new Map(hooks.events.flatMap((event) => (event.type === 'candidate' ? [[event.id, event] as const] : [])))
    const finalists = [...latest.values()].filter(({ accuracies }) => accuracies !== undefined)
    expect(finalists.map(({ accuracies }) => accuracies!.length).toSorted((a, b) => a - b)).toEqual([1, 2, 2])
    for (const { score, scoreKind, accuracies } of finalists) {
      expect(scoreKind).toBe('trained')
      expect(score).toBeCloseTo(accuracies!.reduce((sum, accuracy) => sum + accuracy, 0) / accuracies!.length)
    }
    // two architectures, the best score's among them, and the first one once more at the widest widths that fit
    const architectures = finalists.map(({ network }) => JSON.stringify(withoutBits(network)))
    expect(new Set(architectures).size).toBe(2)
    const [narrow, wide] = finalists
      .filter((_, index) => architectures.indexOf(architectures[index]) !== architectures.lastIndexOf(architectures[index]))
      .toSorted((a, b) => a.cost.flashBytes - b.cost.flashBytes)
    expect(wide.cost.flashBytes).toBeGreaterThan(narrow.cost.flashBytes)
    expect(wide.cost.flashBytes).toBeLessThanOrEqual(24_000)
    expect(Math.max(...finalists.map(({ sharedScore }) => sharedScore!))).toBe(
      Math.max(...[...latest.values()].map(({ sharedScore, score }) => sharedScore ?? score!)),
    )
    const chosen = [...latest.values()].filter((candidate) => candidate.chosen)
    expect(chosen).toHaveLength(1)
    expect(chosen[0].accuracies).toHaveLength(2)
    expect(chosen[0].network).toEqual(result.network)
    const [{ members, chosen: member }] = hooks.events.flatMap((event) => (event.type === 'front' ? [event] : [])).toReversed()
    const isMember = members.some(({ network }) => JSON.stringify(network) === JSON.stringify(result.network))
    expect(members[member]?.network).toEqual(isMember ? result.network : undefined)
    // the chosen one has been trained twice as the run then trains it, the others besides
    const [before, after] = hooks.events.flatMap((event) => (event.type === 'front' ? [event.macs!] : []))
    const training = hooks.events.reduce((sum, event) => {
      const isTraining = event.type === 'epoch' && (event.stage === 'train' || event.stage === 'quantize')
      return isTraining ? sum + event.macs! : sum
    }, 0)
    expect(after - before).toBeGreaterThan(2 * training)

    const moments = [1, 3, 7, 18].map((epochs) => at('finalists', epochs, 'epochs'))
    await inSittings(searchStudy, withFinalists('finalists-sittings'), moments)
    expect(remains('finalists-sittings')).toEqual(remains('finalists'))
  })

  it('trains another member later, from the shared weights, and says what there is where none fits', async () => {
    const run = place('joint')
    const front = frontOfRun(run)
    const least = front.reduce((best, member) => (member.flashBytes < best.flashBytes ? member : best))
    const member = chooseMember(run, front, undefined, { flashBytes: least.flashBytes })
    expect(front[member].flashBytes).toBe(least.flashBytes)
    expect(() => chooseMember(run, front, front.length, {})).toThrow(`--member ${front.length}: the front of ${run} has members 0 to`)
    expect(() => chooseMember(run, front, undefined, { flashBytes: 100 })).toThrow(
      /no member of its front is within the budget; the smallest takes \d+ bytes/,
    )

    // the front is enough: the search's own winner may still be in training
    rmSync(runDirectory(run).architecture)
    const spec: TrainSpec = {
      ...common('member'),
      network: runDirectory(run).architecture,
      from: run,
      member,
      weightBits: 'searched',
      activationBits: 'searched',
      epochs: { warmup: 1, search: 1, train: 0, quantize: 1 },
    }
    const result = await trainStudy(spec, hooksOf())
    expect(result.network).toEqual(front[member].network)
    expect(result.cost!.flashBytes).toBe(least.flashBytes)
    expect(() => frontOfRun(place('member'))).toThrow(/has no front to choose a member from/)
    // no epoch of training in float: what is quantized are the shared weights
    const saved = readCheckpoint(runDirectory(run).search)!.strategy as { weights: { values: Float32Array } }
    const shared = new Set(saved.weights.values)
    const backend = await openBackend({ backend: 'auto', threads: 1 })
    const store = createStore(new Engine(backend), [front[member].network], 0)
    store.restore(remains('member').floatParameters!)
    const first = store.value('first.weight')
    expect(new Set(first).size).toBeGreaterThan(100)
    for (const value of first) expect(shared.has(value)).toBe(true)
    backend.close()
  })

  it('chooses the bits of a given network alone', async () => {
    const given = JSON.parse(readFileSync(place('network.json'), 'utf8')) as Network
    const spec = joint('bits', { space: 'network', spaceOptions: { network: place('network.json') }, budget: { flashBytes: 1800 } })
    const hooks = hooksOf()
    const result = await searchStudy({ ...spec, joint: { ...spec.joint!, candidates: 12 } }, hooks)
    const widths = new Set<string>()
    for (const event of hooks.events) {
      if (event.type !== 'candidate') continue
      expect(withoutBits(event.network)).toEqual(given)
      widths.add(event.network.nodes.map((node) => (isWeighted(node) ? node.weightBits : '')).join())
    }
    expect(widths.size).toBeGreaterThan(1)
    expect(result.cost!.flashBytes).toBeLessThanOrEqual(1800)
    expect(withoutBits(result.network!)).toEqual(given)
  })

  it('trains gates too, and picks by them', async () => {
    const spec = joint('gates', { joint: { train: 'gates', pick: 'gates', candidates: 6, start: 'scratch' } })
    const result = await searchStudy({ ...spec, epochs: { warmup: 0, search: 3, train: 1, quantize: 1 } }, hooksOf())
    expect(result.status).toBe('finished')
    expect(result.front!.length).toBeGreaterThan(0)
    expect(result.cost!.flashBytes).toBeLessThanOrEqual(24_000)
  })
})
