import { type Engine, Random } from '@bitwright/engine'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { countNetwork } from '../network/counts.ts'
import { parseNetwork } from '../network/validate.ts'
import { mobileBlock } from '../network/blocks.ts'
import type { Network } from '../network/network.ts'
import { Evaluator } from './evaluate.ts'
import { createStore } from './initialize.ts'
import { expandedBlocks, withoutPrunedChannels } from './pruned-channels.ts'
import { openEngine, toneDataset, toneNetwork, toneSource } from './testing/tones.ts'

const dataset = toneDataset()
const clips = dataset.splits.validation
let engine: Engine
beforeAll(async () => {
  engine = await openEngine()
})
afterAll(() => engine.backend.close())

/** A store of the network with statistics, scales and offsets of all signs and sizes. */
function filled(network: Network) {
  const store = createStore(engine, [network], 2)
  const random = new Random(2, 'numbers')
  for (const { name } of store.all()) {
    if (/[.](offset|mean)$/.test(name)) store.value(name).forEach((_, i, values) => (values[i] = random.normal()))
    if (/[.](scale|variance)$/.test(name)) store.value(name).forEach((_, i, values) => (values[i] = random.uniform(0.5, 2)))
  }
  return store
}
async function logitsOf(network: Network, store: ReturnType<typeof filled>): Promise<number[]> {
  const evaluator = new Evaluator(engine, network, store)
  const { logits } = await evaluator.logits(toneSource(engine, dataset), clips)
  evaluator.dispose()
  return logits.flatMap((row) => [...row])
}

it.each([[[3]], [[0, 1, 5, 15]], [Array.from({ length: 16 }, (_, c) => c)]])(
  'dropping channels %j leaves the answers what they are',
  async (dropped) => {
    const network = toneNetwork()
    const store = filled(network)
    const weight = store.value('block.depthwise.weight')
    for (let i = 0; i < weight.length; i++) if (dropped.includes(i % 16)) weight[i] = 0
    const before = await logitsOf(network, store)
    const small = withoutPrunedChannels(store, network, new Map([['block.depthwise', dropped]]))
    const after = await logitsOf(small.network, small.store)
    const largest = Math.max(...before.map(Math.abs))
    before.forEach((value, i) => expect(Math.abs(value - after[i])).toBeLessThan(1e-5 * largest))
    const left = Math.max(1, 16 - dropped.length)
    expect(parseNetwork(JSON.parse(JSON.stringify(small.network)))).toEqual(small.network)
    expect(small.store.value('block.depthwise.weight').length).toBe(9 * left)
    expect(small.store.value('block.project.weight').length).toBe(8 * left)
    expect(small.store.value('block.expand.scale').length).toBe(left)
    expect(countNetwork(small.network).macs).toBeLessThan(countNetwork(network).macs)
    // it is the moved mean that does it
    small.store.value('block.project.mean').set(store.value('block.project.mean'))
    const wrong = await logitsOf(small.network, small.store)
    expect(Math.max(...before.map((value, i) => Math.abs(value - wrong[i])))).toBeGreaterThan(1e-3 * largest)
    small.store.dispose()
    store.dispose()
  },
)

it('is for expanded blocks alone', () => {
  const network = toneNetwork()
  expect([...expandedBlocks(network).keys()]).toEqual(['block.depthwise'])
  const plain = {
    ...network,
    nodes: network.nodes.flatMap((node) =>
      node.id === 'block.expand'
        ? []
        : node.id.startsWith('block.')
          ? mobileBlock('block', 'front', { inputChannels: 8, channels: 8, expansion: 1, kernel: 3, stride: [1, 1] }).filter(
              ({ id }) => id === node.id,
            )
          : [node],
    ),
  }
  expect(expandedBlocks(plain).size).toBe(0)
  const store = filled(plain)
  expect(() => withoutPrunedChannels(store, plain, new Map([['block.depthwise', [1]]]))).toThrow(
    /"block.depthwise": only .* expanded block/,
  )
  store.dispose()
})
