// Is a searched policy of operators and formats worth its bits (LPGNAS, arXiv 2009.09232)? Over seeds, on each graph: a joint search of the
// space `graph` within a budget, trained with gates, and its choice among finalists trained alone, as `bitwright search` makes it; beside GCN at 8/8
// and 4/4 bits, and the chosen operators at these. Validation nodes choose, test nodes score each row's network once.
//
//   node bench/lpgnas.ts --data cora.json,citeseer.json --out DIR [--seeds 0,1,2,3,4] [--epochs 100,200] [--candidates 64] [--finalists 24]
//     [--weights SHARE] [--activations SHARE]
//
// Limits are shares of what GCN has at 4/4 bits, of the bits of all weights and of those of all numbers that layers multiply at all nodes; default 1 each,
// so that a network of as many channels has no more bits in the mean. Every search and every training is a file of --out, taken from there
// where it exists; a folder that was made with other epochs, candidates, finalists, another recipe or another measure of limits is refused.
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { Engine, openBackend } from '../packages/engine/src/index.ts'
import { searchRequest } from '../packages/bitwright/src/cli/search-request.ts'
import type { GraphDataset } from '../packages/bitwright/src/data/dataset.ts'
import { loadGraph } from '../packages/bitwright/src/data/graph-dataset.ts'
import type { CostModel } from '../packages/bitwright/src/hardware/cost-model.ts'
import { memory } from '../packages/bitwright/src/hardware/index.ts'
import { graphFrontEnd, graphNetwork } from '../packages/bitwright/src/network/builtins-graph.ts'
import type { Network } from '../packages/bitwright/src/network/network.ts'
import { withBits } from '../packages/bitwright/src/network/transform.ts'
import { Budget } from '../packages/bitwright/src/search/budget.ts'
import { averageWidths } from '../packages/bitwright/src/search/front.ts'
import { bestFinalist } from '../packages/bitwright/src/study/finalists.ts'
import { atomicWrite } from '../packages/bitwright/src/study/run-directory.ts'
import { searchStage } from '../packages/bitwright/src/study/search-stage.ts'
import { columns } from './columns.ts'
import { readFlags, wrongUse } from './flags.ts'
import { type Accuracies, gcnTraining, meanAndError, trainOnGraph } from './graph-training.ts'
import { sessionOf } from './session.ts'

const {
  data: graphs,
  out,
  ...values
} = readFlags(
  `node bench/lpgnas.ts --data cora.json,citeseer.json --out DIR [--seeds 0,1,2,3,4] [--epochs 100,200] [--candidates 64] [--finalists 24]
  [--weights SHARE] [--activations SHARE]`,
  ['data', 'out'],
  { seeds: '0,1,2,3,4', epochs: '100,200', candidates: '64', finalists: '24', weights: '1', activations: '1' },
)
const { candidates, finalists } = values
mkdirSync(out, { recursive: true })
requireSettings(out, { limits: 'of widths alone', search: values.epochs, candidates, finalists, training: gcnTraining })
const engine = new Engine(await openBackend({ threads: 1 }))
const limits = `${values.weights}x${values.activations}`

async function once<T>(name: string, work: () => Promise<T>): Promise<T> {
  const path = join(out, `${name}.json`)
  if (existsSync(path)) return JSON.parse(readFileSync(path, 'utf8')) as T
  const result = await work()
  atomicWrite(path, JSON.stringify(result))
  return result
}

/** Ends the program where the folder holds results of other settings. */
function requireSettings(folder: string, settings: object): void {
  const path = join(folder, 'settings.json')
  const own = JSON.stringify(settings)
  const kept = existsSync(path) ? readFileSync(path, 'utf8') : readdirSync(folder).length === 0 ? own : 'unknown settings'
  if (kept !== own) wrongUse(`--out ${folder}: was made with ${kept}, not with ${own}; give another folder`)
  atomicWrite(path, own)
}

const uniform = (network: Network, bits: number) => withBits(network, { weightBits: bits, activationBits: bits }, { edges: 'same' })

/**
 * Bytes that widths decide: of all weights, without attention's own numbers, biases and scales (half a percent, which put 4-bit weights over a limit of
 * GCN's bytes wherever attention learns), and of every value between layers at once, so that the bits of each are worth as much.
 */
const widthsAlone: CostModel = {
  ...memory,
  price: (network) => {
    const cost = memory.price(network)
    const sum = (key: 'weightBytes' | 'outputBytes') => cost.nodes.reduce((total, node) => total + node[key], 0)
    return { ...cost, flashBytes: sum('weightBytes'), ramBytes: sum('outputBytes') }
  },
}

/** What a search finds within the budget. */
async function search(data: string, dataset: GraphDataset, seed: number, folder: string): Promise<Network> {
  const { flashBytes, ramBytes } = widthsAlone.price(uniform(graphNetwork('gcn', graphFrontEnd(dataset), dataset.classes), 4))
  const [warmup, searching] = values.epochs.split(',')
  const { epochs } = gcnTraining
  const flags = {
    data,
    space: 'graph',
    search: 'joint',
    train: 'gates',
    pick: 'evolution',
    start: 'scratch',
    candidates,
    finalists,
    out: folder,
  }
  const stages = `warmup=${warmup},search=${searching},train=${epochs},quantize=${epochs}`
  const { spec } = searchRequest({ ...flags, seed: `${seed}`, epochs: stages }, [])
  const most = { flashBytes: Math.floor(Number(values.weights) * flashBytes), ramBytes: Math.floor(Number(values.activations) * ramBytes) }
  const budget = new Budget({ budget: most, hardware: widthsAlone, weightBits: 'searched', activationBits: 'searched' })
  const session = sessionOf(engine, dataset, spec)
  const { network } = await bestFinalist(session, await searchStage(session, spec, budget, undefined), budget, undefined)
  return network
}

type Trained = Accuracies & { readonly network: Network }
const table: Record<string, string>[] = []
for (const data of graphs.split(',')) {
  const dataset = loadGraph(data)
  const graph = basename(data, '.json')
  const gcn = graphNetwork('gcn', graphFrontEnd(dataset), dataset.classes)
  const rows = new Map<string, Trained[]>()
  const train = (seed: number, network: Network, file: string): Promise<Trained> =>
    once(`${graph}-${seed}-${file.replaceAll(/\W+/g, '-')}`, async () => ({
      network,
      ...(await trainOnGraph(engine, dataset, network, seed, gcnTraining, ['validation', 'test'])),
    }))
  const add = async (row: string, seed: number, network: Network, file = row) => {
    const trained = await train(seed, network, file)
    rows.set(row, [...(rows.get(row) ?? []), trained])
    return trained
  }
  for (const seed of values.seeds.split(',').map(Number)) {
    const began = performance.now()
    await add('gcn 8/8', seed, uniform(gcn, 8))
    await add('gcn 4/4', seed, uniform(gcn, 4))
    const name = `${graph}-${seed}-${limits}-search`
    const found = await once(name, () => search(data, dataset, seed, join(out, name)))
    const best = await add('searched', seed, found, `${limits} searched`)
    for (const bits of [8, 4]) await add(`its operators ${bits}/${bits}`, seed, uniform(found, bits), `${limits} its operators ${bits}`)
    const took = `${((performance.now() - began) / 1000).toFixed(0)} s`
    const what = found.nodes.flatMap((node) =>
      'weightBits' in node
        ? [`${node.id} ${node.weightBits}`]
        : node.op === 'aggregate'
          ? [`${node.id} ${node.attention} ${node.aggregator} ${node.activationBits}`]
          : [],
    )
    console.error(`${graph} ${seed}: ${what.join(', ')}; test ${(100 * best.test).toFixed(1)}, ${took}`)
  }
  for (const [name, trained] of rows) {
    const percent = (split: keyof Accuracies) => {
      const { mean, standardError } = meanAndError(trained.map((each) => 100 * each[split]))
      return `${mean.toFixed(2)} ± ${standardError.toFixed(2)}`
    }
    const mean = (of: (network: Network) => number) => meanAndError(trained.map(({ network }) => of(network))).mean
    table.push({
      graph,
      network: name,
      test: percent('test'),
      validation: percent('validation'),
      'weight bits': mean((network) => averageWidths(network).weightBits).toFixed(2),
      'activation bits': mean((network) => averageWidths(network).activationBits).toFixed(2),
      bytes: mean((network) => memory.price(network).flashBytes).toFixed(0),
      'activation bytes': mean((network) => widthsAlone.price(network).ramBytes).toFixed(0),
    })
  }
}
console.log(columns(table))
engine.backend.close()
