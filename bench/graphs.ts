// What networks reach on a graph: GCN and GAT in float and at fixed widths, trained on the training nodes, test accuracy over seeds.
//   node bench/graphs.ts --data cora.json [--network gcn] [--seeds 10] [--epochs 200] [--bits 8/8] [--rate 0.01] [--decay 0.0005] [--dropout 0.5] [--json]
import { parseArgs } from 'node:util'
import { Engine, openBackend } from '../packages/engine/src/index.ts'
import { loadGraph } from '../packages/bitwright/src/data/graph-dataset.ts'
import { graphFrontEnd, graphNetwork, type GraphNetworkName } from '../packages/bitwright/src/network/builtins-graph.ts'
import { withBits } from '../packages/bitwright/src/network/transform.ts'
import { createStore } from '../packages/bitwright/src/training/initialize.ts'
import { GraphSource } from '../packages/bitwright/src/training/graph-source.ts'
import { argMax, Evaluator } from '../packages/bitwright/src/training/evaluate.ts'
import { Quantization } from '../packages/bitwright/src/training/quantization.ts'
import { calibrate, Trainer } from '../packages/bitwright/src/training/trainer.ts'

const { values } = parseArgs({
  options: {
    data: { type: 'string' },
    network: { type: 'string', default: 'gcn' },
    seeds: { type: 'string', default: '10' },
    epochs: { type: 'string', default: '200' },
    bits: { type: 'string' },
    rate: { type: 'string', default: '0.01' },
    decay: { type: 'string', default: '0.0005' },
    dropout: { type: 'string', default: '0.5' },
    json: { type: 'boolean' },
  },
})
const dataset = loadGraph(values.data!)
const network = graphNetwork(values.network as GraphNetworkName, graphFrontEnd(dataset), dataset.classes)
const engine = new Engine(await openBackend({ threads: 1 }))
const options = {
  batchSize: 1,
  epochs: Number(values.epochs),
  optimizer: 'adam',
  learningRate: Number(values.rate),
  weightDecay: Number(values.decay),
  decayInLoss: true,
  labelSmoothing: 0,
} as const

async function train(seed: number): Promise<{ validation: number; test: number }> {
  const store = createStore(engine, [network], seed)
  const source = new GraphSource(engine, dataset, network.frontEnd, { dropout: Number(values.dropout) })
  const run = async (quantization?: Quantization) => {
    const trainer = new Trainer(
      engine,
      quantization?.network ?? network,
      store,
      source,
      { ...options, seed, purpose: quantization ? 'quantize' : 'train' },
      quantization,
    )
    if (quantization) trainer.initializeQuantizers()
    for (let epoch = 0; epoch < options.epochs; epoch++) await trainer.epoch(epoch)
    trainer.dispose()
  }
  await run()
  let quantization: Quantization | undefined
  if (values.bits) {
    const [weightBits, activationBits] = values.bits.split('/').map(Number)
    quantization = new Quantization(store, withBits(network, { weightBits, activationBits }, { edges: 'same' }), {
      weightBits,
      activationBits,
      granularity: 'channel',
      penalty: 0,
      averageBits: 0,
    })
    await calibrate(engine, network, store, source, quantization, { seed, batchSize: 1 })
    await run(quantization)
  }
  const evaluator = new Evaluator(engine, quantization?.network ?? network, store, quantization ? { quantization } : {})
  const accuracy = async (split: 'validation' | 'test') => {
    const nodes = dataset.splits[split]
    const { logits } = await evaluator.logits(source, nodes)
    return logits.filter((row, i) => argMax(row) === nodes[i].label).length / nodes.length
  }
  const result = { validation: await accuracy('validation'), test: await accuracy('test') }
  evaluator.dispose()
  quantization?.dispose()
  store.dispose()
  return result
}

const began = performance.now()
const results: Awaited<ReturnType<typeof train>>[] = []
for (let seed = 0; seed < Number(values.seeds); seed++) results.push(await train(seed))
const summary = (split: 'validation' | 'test') => {
  const all = results.map((result) => 100 * result[split])
  const mean = all.reduce((a, b) => a + b, 0) / all.length
  const deviation = Math.sqrt(all.reduce((a, b) => a + (b - mean) ** 2, 0) / Math.max(1, all.length - 1))
  return { mean, standardError: deviation / Math.sqrt(all.length) }
}
const seconds = (performance.now() - began) / 1000
const shown = {
  data: values.data,
  network: values.network,
  bits: values.bits ?? 'float',
  seeds: results.length,
  validation: summary('validation'),
  test: summary('test'),
  seconds,
}
if (values.json) console.log(JSON.stringify({ ...shown, results }))
else
  console.log(
    `${shown.network} ${shown.bits} on ${shown.data}, ${shown.seeds} seeds: test ${shown.test.mean.toFixed(2)} +- ${shown.test.standardError.toFixed(2)} %, validation ${shown.validation.mean.toFixed(2)} +- ${shown.validation.standardError.toFixed(2)} %, ${seconds.toFixed(0)} s`,
  )
engine.backend.close()
