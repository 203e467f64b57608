// CENet-GCN's graph module from training to whole numbers: layer by layer against float64, and answer by answer against the fake-quantized
// network, on random networks at 8 and 4 bits and with streams that are narrowed for queries, keys and values.
import { type Engine, Random } from '@bitwright/engine'
import { modelInfo } from '@bitwright/runtime'
import { interpret } from '@bitwright/runtime/reference'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { lowerSkeleton, memory } from '../hardware/index.ts'
import { classifier, convolution, graphModule, network } from '../network/blocks.ts'
import { inputKeys } from '../network/graph.ts'
import type { AttendNode, Network, NetworkNode } from '../network/network.ts'
import { withBits } from '../network/transform.ts'
import { convertNetwork } from './convert.ts'
import { createStore } from './initialize.ts'
import { compareAnswers } from './integer-evaluator.ts'
import { bothAnswers, errorBeyondRounding, real, startedQuantization } from './testing/quantized.ts'
import { randomizeParameters } from './testing/random-networks.ts'
import { openEngine, toneClasses, toneDataset, toneNetwork } from './testing/tones.ts'

const dataset = toneDataset()
const clips = [...dataset.splits.validation, ...dataset.splits.test]
let engine: Engine
beforeAll(async () => {
  engine = await openEngine(1)
})
afterAll(() => engine.backend.close())

/** Some frames, the graph module or one that looks at the stream itself, a classifier. */
function graphNetwork(random: Random, looksAtStream: boolean): Network {
  const { frontEnd, nodes } = toneNetwork()
  const channels = 4 + 4 * random.integer(3)
  const stride = 16 + 8 * random.integer(3)
  const module = graphModule('graph', 'front', channels).filter(({ id }) => !looksAtStream || id === 'graph.attend' || id === 'graph.add')
  const own = looksAtStream ? { inputs: ['front', 'front', 'front'] } : {}
  return network('graph', frontEnd, toneClasses, [
    nodes[0],
    convolution('front', 'input', { channels, kernelSize: [32, 1], stride: [stride, 1], padding: [0, 0, 0, 0] }),
    ...module.map((node) => (node.op === 'attend' ? { ...node, ...own } : node) as NetworkNode),
    convolution('last', 'graph.add', { channels: 8, kernelSize: [1, 1] }),
    ...classifier('last', toneClasses.length),
  ])
}

async function quantized(seed: number) {
  const random = new Random(seed, 'graph')
  const bits = seed % 2 ? 4 : 8
  const widths = { weightBits: bits, activationBits: bits } as const
  const graph = withBits(graphNetwork(random, seed % 4 === 3), widths)
  const store = createStore(engine, [graph], seed)
  randomizeParameters(random, graph, store)
  store.value('graph.add.scale')[0] = [0, -0.7, 1.3, 0.2][random.integer(4)]
  const granularity = random.integer(2) ? 'channel' : 'tensor'
  const { quantization } = await startedQuantization(engine, dataset, { network: graph, store, seed, granularity })
  return { network: graph, store, quantization }
}

/** relu(softmax(query key^T) value) of maps [positions][channels] */
function attention([query, key, value]: readonly Float64Array[], positions: number): Float64Array {
  const [depth, channels] = [query.length / positions, value.length / positions]
  const out = new Float64Array(value.length)
  for (let i = 0; i < positions; i++) {
    const scores = Array.from({ length: positions }, (_, j) => {
      let sum = 0
      for (let c = 0; c < depth; c++) sum += query[i * depth + c] * key[j * depth + c]
      return sum
    })
    const most = Math.max(...scores)
    const parts = scores.map((score) => Math.exp(score - most))
    const total = parts.reduce((a, b) => a + b)
    for (let c = 0; c < channels; c++)
      out[i * channels + c] = Math.max(
        0,
        parts.reduce((sum, part, j) => sum + (part / total) * value[j * channels + c], 0),
      )
  }
  return out
}

it('attention and the sum after it are what float64 says, to a part of a step', async () => {
  const seen = new Set<string>()
  for (let seed = 0; seed < 16; seed++) {
    const conversion = await quantized(seed)
    const model = convertNetwork(conversion)
    const { layers, narrowing } = lowerSkeleton(conversion.network)
    const factor = conversion.store.value('graph.add.scale')[0]
    for (const { index } of clips.slice(0, 2)) {
      const values = interpret(model, dataset.pcm.subarray(index * dataset.samples, (index + 1) * dataset.samples))
      const layerOf = (id: string) => model.layers[layers.get(id)!] as { readonly inputs: readonly number[]; readonly output: number }
      const errorOf = (id: string, exact: (inputs: Float64Array[]) => Float64Array): number => {
        const { inputs, output } = layerOf(id)
        return errorBeyondRounding(model.tensors[output], values[output], exact(inputs.map((at) => real(model.tensors[at], values[at]))))
      }
      const [height, width] = model.tensors[layerOf('graph.attend').output].shape
      expect([seed, errorOf('graph.attend', (inputs) => attention(inputs, height * width)) < 0.1]).toEqual([seed, true])
      expect([seed, errorOf('graph.add', ([x, y]) => x.map((value, i) => value + factor * y[i])) < 0.02]).toEqual([seed, true])
      seen.add(factor === 0 ? 'none' : factor < 0 ? 'negative' : 'positive')
    }
    const keys = inputKeys(conversion.network.nodes.find(({ op }) => op === 'attend') as AttendNode)
    for (const key of keys) if (narrowing.has(key)) seen.add(key)
    // what was priced before training is what is exported
    const { flashBytes, ramBytes } = memory.price(conversion.network)
    expect(modelInfo(model)).toMatchObject({ flashBytes, ramBytes })
  }
  for (const kind of ['none', 'negative', 'positive', 'graph.attend.queries', 'graph.attend.keys', 'graph.attend.values'])
    expect(seen).toContain(kind)
})

it('answers as the fake-quantized network does', async () => {
  let [same, near, all] = [0, 0, 0]
  for (let seed = 0; seed < 16; seed++) {
    const conversion = await quantized(seed)
    const { model, logits, whole } = await bothAnswers(engine, conversion, dataset, clips)
    const { scale } = model.tensors.at(-1)!
    const spread = Math.max(...logits.flatMap((row) => [...row].map(Math.abs)))
    clips.forEach((clip, i) => {
      const { differing, largestDifference } = compareAnswers([clip], [logits[i]], [whole[i]], scale)
      all++
      if (differing.length === 0) same++
      if (largestDifference * scale <= 0.02 * spread) near++
    })
  }
  expect(same / all).toBeGreaterThan(0.99)
  expect(near / all).toBeGreaterThan(0.97)
})
