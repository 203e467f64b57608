// Chooses how networks on graphs are trained by their accuracy on validation nodes; test nodes are not scored. Every combination of
// the values given, on every graph, at every width: GCN, mean over seeds, best first.
//
//   node bench/graph-recipe.ts --data cora.json,citeseer.json [--seeds 5] [--bits float,4/4] [--epochs 200,400] [--rate 0.01] [--decay 0.0005] [--dropout 0.5,0.6]
import { basename } from 'node:path'
import { Engine, openBackend } from '../packages/engine/src/index.ts'
import { loadGraph } from '../packages/bitwright/src/data/graph-dataset.ts'
import { graphFrontEnd, graphNetwork } from '../packages/bitwright/src/network/builtins-graph.ts'
import { withBits } from '../packages/bitwright/src/network/transform.ts'
import { columns } from './columns.ts'
import { readFlags } from './flags.ts'
import { type GraphTraining, meanAndError, recipeFlags, trainOnGraph } from './graph-training.ts'

const { data, ...values } = readFlags(
  `node bench/graph-recipe.ts --data cora.json,citeseer.json [--seeds 5] [--bits float,4/4] [--epochs 200,400] [--rate 0.01] [--decay 0.0005]
  [--dropout 0.5,0.6]`,
  ['data'],
  { seeds: '5', bits: 'float,4/4', ...recipeFlags },
)
const numbers = (name: keyof GraphTraining) => values[name].split(',').map(Number)
const recipes = numbers('epochs').flatMap((epochs) =>
  numbers('rate').flatMap((rate) =>
    numbers('decay').flatMap((decay) => numbers('dropout').map((dropout): GraphTraining => ({ epochs, rate, decay, dropout }))),
  ),
)
const graphs = data.split(',').map((path) => ({ graph: basename(path, '.json'), dataset: loadGraph(path) }))
const engine = new Engine(await openBackend({ threads: 1 }))
const rows: { mean: number; shown: Record<string, string> }[] = []
for (const recipe of recipes) {
  const shown: Record<string, string> = Object.fromEntries(Object.entries(recipe).map(([name, value]) => [name, `${value}`]))
  const means: number[] = []
  for (const { graph, dataset } of graphs)
    for (const bits of values.bits.split(',')) {
      const network = graphNetwork('gcn', graphFrontEnd(dataset), dataset.classes)
      const [weightBits, activationBits] = bits.split('/').map(Number)
      const trained = bits === 'float' ? network : withBits(network, { weightBits, activationBits }, { edges: 'same' })
      const accuracies: number[] = []
      for (let seed = 0; seed < Number(values.seeds); seed++)
        accuracies.push(100 * (await trainOnGraph(engine, dataset, trained, seed, recipe, ['validation'])).validation)
      const { mean, standardError } = meanAndError(accuracies)
      shown[`${graph} ${bits}`] = `${mean.toFixed(2)} ± ${standardError.toFixed(2)}`
      means.push(mean)
    }
  const { mean } = meanAndError(means)
  rows.push({ mean, shown: { ...shown, mean: mean.toFixed(2) } })
  console.error(JSON.stringify(rows.at(-1)!.shown))
}
console.log(columns(rows.toSorted((a, b) => b.mean - a.mean).map(({ shown }) => shown)))
engine.backend.close()
