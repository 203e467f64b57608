// What networks reach on a graph: GCN and GAT in float and at fixed widths, trained on the training nodes, test accuracy over seeds.
//   node bench/graphs.ts --data cora.json [--network gcn] [--seeds 10] [--epochs 200] [--bits 8/8] [--rate 0.01] [--decay 0.0005] [--dropout 0.5] [--json]
import { Engine, openBackend } from '../packages/engine/src/index.ts'
import { loadGraph } from '../packages/bitwright/src/data/graph-dataset.ts'
import { graphFrontEnd, graphNetwork, type GraphNetworkName } from '../packages/bitwright/src/network/builtins-graph.ts'
import { withBits } from '../packages/bitwright/src/network/transform.ts'
import { readFlags } from './flags.ts'
import { type Accuracies, meanAndError, recipeFlags, trainOnGraph } from './graph-training.ts'

const { data, ...values } = readFlags(
  `node bench/graphs.ts --data cora.json [--network gcn] [--seeds 10] [--epochs 200] [--bits 8/8] [--rate 0.01] [--decay 0.0005] [--dropout 0.5]
  [--json]`,
  ['data'],
  { network: 'gcn', seeds: '10', bits: undefined, json: false, ...recipeFlags },
)
const dataset = loadGraph(data)
const network = graphNetwork(values.network as GraphNetworkName, graphFrontEnd(dataset), dataset.classes)
const [weightBits, activationBits] = (values.bits ?? '').split('/').map(Number)
const trained = values.bits ? withBits(network, { weightBits, activationBits }, { edges: 'same' }) : network
const options = {
  epochs: Number(values.epochs),
  rate: Number(values.rate),
  decay: Number(values.decay),
  dropout: Number(values.dropout),
}
const engine = new Engine(await openBackend({ threads: 1 }))

const began = performance.now()
const results: Accuracies[] = []
for (let seed = 0; seed < Number(values.seeds); seed++)
  results.push(await trainOnGraph(engine, dataset, trained, seed, options, ['validation', 'test']))
const summary = (split: keyof Accuracies) => meanAndError(results.map((result) => 100 * result[split]))
const seconds = (performance.now() - began) / 1000
const shown = {
  data,
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
