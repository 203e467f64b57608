// Runs whose networks lose channels: what they leave behind is the smaller network, within the budget, and interruptions change nothing.
import { decodeModel } from '@bitwright/runtime'
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { memory } from '../hardware/index.ts'
import type { ConvolutionNode, Network } from '../network/network.ts'
import { withBits } from '../network/transform.ts'
import { Budget } from '../search/budget.ts'
import { ChannelGates } from '../training/channel-gates.ts'
import { expandedBlocks } from '../training/pruned-channels.ts'
import type { Progress, TrainSpec } from './api.ts'
import { evaluateRun } from './evaluate.ts'
import { pressureAround } from './pruning.ts'
import { runDirectory } from './run-directory.ts'
import { searchStudy, trainStudy } from './run.ts'
import { at, common, hooksOf, inSittings, place, remains, searching } from './testing/tone-runs.ts'

const given = () => JSON.parse(readFileSync(place('network.json'), 'utf8')) as Network
const channelsOf = (network: Network) =>
  network.nodes.flatMap((node) => (node.id.endsWith('depthwise') ? [(node as ConvolutionNode).channels] : []))
const priced = (network: Network) => memory.price(withBits(network, { weightBits: 4, activationBits: 8 }, { edges: 'same' }))
/** Bytes between the whole network and the least one. */
const limit = () => Math.round(0.4 * priced(given()).flashBytes + 0.6 * priced(ChannelGates.least(given())).flashBytes)

const pruning = (out: string, more: Partial<TrainSpec> = {}): TrainSpec => ({
  ...common(out),
  network: place('network.json'),
  activationBits: 8,
  epochs: { warmup: 1, search: 1, train: 4, quantize: 2 },
  budget: { flashBytes: limit() },
  prune: 'budget',
  threads: 1,
  ...more,
})

/** The nth time that a training epoch has done so many steps. */
function nth(time: number, done: number): (progress: Progress) => boolean {
  let seen = 0
  return (progress) => at('train', done)(progress) && ++seen === time
}

describe('pruning towards a budget', () => {
  it('leaves a network within it, in everything that the run leaves, with the same bits when interrupted', async () => {
    const hooks = hooksOf()
    const result = await trainStudy(pruning('pruned'), hooks)
    const [pruned, ...others] = hooks.events.flatMap((event) => (event.type === 'pruned' ? [event] : []))
    expect(others).toEqual([])
    const [before, after] = [channelsOf(given())[0], channelsOf(result.network!)[0]]
    expect(after).toBeLessThan(before)
    expect(pruned).toMatchObject({ channels: before - after, of: before })
    expect(pruned.before.flashBytes).toBe(priced(given()).flashBytes)
    expect(pruned.after.flashBytes).toBe(result.cost!.flashBytes)
    expect(result.cost!.flashBytes).toBeLessThanOrEqual(limit())
    const bytes = readFileSync(result.model!)
    expect(bytes).toHaveLength(result.cost!.flashBytes)
    expect(decodeModel(bytes).layers.length).toBeGreaterThan(0)
    expect(channelsOf(JSON.parse(readFileSync(runDirectory(place('pruned')).architecture, 'utf8')) as Network)).toEqual([after])
    expect(readFileSync(result.report!, 'utf8')).toContain('channels of expanded blocks')
    const scored = await evaluateRun(
      { run: place('pruned'), directory: place('clips'), split: 'test', strict: true, threads: 1, backend: 'auto' },
      hooksOf(),
    )
    expect(scored.integer!.accuracy).toBe(result.evaluations.find(({ split }) => split === 'test')!.integer!.accuracy)

    // in the first and the second epoch with gates, the first and the second one without, and while quantizing
    const moments = [nth(1, 2), nth(2, 2), nth(2, 3), nth(2, 1), at('quantize', 1)]
    await inSittings(trainStudy, pruning('pruned-sittings'), moments)
    expect(remains('pruned-sittings')).toEqual(remains('pruned'))
  })

  it('refuses what no pruning brings within it, and networks that cannot lose a channel', async () => {
    const least = priced(ChannelGates.least(given())).flashBytes
    await expect(trainStudy(pruning('too-small', { budget: { flashBytes: least - 1 } }), hooksOf())).rejects.toThrow(
      /even with one channel in every block flashBytes \d+ exceeds/,
    )
    await expect(trainStudy(pruning('no-block', { network: 'tc-resnet8' }), hooksOf())).rejects.toThrow(
      '--prune budget: tc-resnet8 has no expanded block',
    )
  })
})

describe('pruning by a strength', () => {
  it('takes more where it is larger, also after a search', async () => {
    const left = async (prune: number) => {
      const result = await trainStudy(
        pruning(`strength-${prune}`, { budget: {}, prune, epochs: { ...common('x').epochs, train: 8, quantize: 1 } }),
        hooksOf(),
      )
      return channelsOf(result.network!)[0]
    }
    const [weak, strong] = [await left(1e-3), await left(1000)]
    expect(strong).toBe(1)
    expect(weak).toBeGreaterThan(strong)
    const hooks = hooksOf()
    const spec = searching('searched-pruned')
    const result = await searchStudy({ ...spec, prune: 1000, epochs: { warmup: 1, search: 1, train: 8, quantize: 1 } }, hooks)
    const chosen = hooks.events.flatMap((event) => (event.type === 'candidate' && event.chosen ? [event.network] : []))[0]
    const sum = (network: Network) => channelsOf(network).reduce((total, count) => total + count, 0)
    expect(sum(result.network!)).toBeLessThan(sum(chosen))
  })

  it('presses on what a channel costs, and towards a budget only while the network is over it', () => {
    const network = given()
    const budget = (flashBytes?: number) =>
      new Budget({ budget: flashBytes === undefined ? {} : { flashBytes }, hardware: memory, weightBits: 4, activationBits: 8 })
    const [block] = expandedBlocks(network).keys()
    const open = new Map([[block, 12]])
    const whole = priced(network).flashBytes
    const press = pressureAround(2, network, budget(), open)(open).get(block)!
    const half = priced({
      ...network,
      nodes: network.nodes.map((node) =>
        node.id === block || node.id === 'block.expand' ? { ...node, channels: 6, ...(node.id === block && { groups: 6 }) } : node,
      ) as typeof network.nodes,
    }).flashBytes
    expect(press).toBeCloseTo((2 * (whole - half)) / 6 / whole, 9)
    const towards = pressureAround('budget', network, budget(whole - 1), open)
    expect(towards(open).get(block)).toBeGreaterThan(0)
    expect(towards(new Map([[block, 6]])).get(block)).toBe(0)
  })
})
