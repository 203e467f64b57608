// One training on a graph as a run does it: in float, then at the network's widths, scored on the nodes asked for.
import { type Engine } from '../packages/engine/src/index.ts'
import type { GraphDataset } from '../packages/bitwright/src/data/dataset.ts'
import type { Network } from '../packages/bitwright/src/network/network.ts'
import { withoutBits } from '../packages/bitwright/src/network/transform.ts'
import { recipeOf } from '../packages/bitwright/src/study/session.ts'
import { argMax, Evaluator } from '../packages/bitwright/src/training/evaluate.ts'
import { defaultDropout, GraphSource } from '../packages/bitwright/src/training/graph-source.ts'
import { createStore } from '../packages/bitwright/src/training/initialize.ts'
import { Quantization } from '../packages/bitwright/src/training/quantization.ts'
import { calibrate, Trainer } from '../packages/bitwright/src/training/trainer.ts'

export interface GraphTraining {
  readonly epochs: number
  readonly rate: number
  readonly decay: number
  readonly dropout: number
}
const recipe = recipeOf('graph', 'train')
/** A run's defaults, which are GCN's (arXiv 1609.02907). */
export const gcnTraining: GraphTraining = { epochs: 200, rate: recipe.learningRate, decay: recipe.weightDecay, dropout: defaultDropout }

/** Defaults of the flags of a bench. */
export const recipeFlags = {
  epochs: `${gcnTraining.epochs}`,
  rate: `${gcnTraining.rate}`,
  decay: `${gcnTraining.decay}`,
  dropout: `${gcnTraining.dropout}`,
}

type ScoredSplit = 'validation' | 'test'
export type Accuracies = Readonly<Record<ScoredSplit, number>>

/** `network` with widths is trained in float and at them, one without in float alone; scored on the nodes of `splits` alone. */
export async function trainOnGraph<Split extends ScoredSplit>(
  engine: Engine,
  dataset: GraphDataset,
  network: Network,
  seed: number,
  { epochs, rate, decay, dropout }: GraphTraining,
  splits: readonly Split[],
): Promise<Readonly<Record<Split, number>>> {
  const float = withoutBits(network)
  const isQuantized = network.nodes.some((node) => 'activationBits' in node && node.activationBits !== undefined)
  const store = createStore(engine, [float], seed)
  const source = new GraphSource(engine, dataset, network.frontEnd, { dropout })
  const options = { ...recipe, batchSize: 1, epochs, learningRate: rate, weightDecay: decay }
  const run = async (quantization?: Quantization) => {
    const purpose = quantization ? 'quantize' : 'train'
    const trainer = new Trainer(engine, quantization?.network ?? float, store, source, { ...options, seed, purpose }, quantization)
    if (quantization) trainer.initializeQuantizers()
    for (let epoch = 0; epoch < epochs; epoch++) await trainer.epoch(epoch)
    trainer.dispose()
  }
  await run()
  let quantization: Quantization | undefined
  if (isQuantized) {
    quantization = new Quantization(store, network, {
      weightBits: 'searched',
      activationBits: 'searched',
      granularity: 'channel',
      penalty: 0,
      averageBits: 0,
    })
    await calibrate(engine, float, store, source, quantization, { seed, batchSize: 1 })
    await run(quantization)
  }
  const evaluator = new Evaluator(engine, quantization?.network ?? float, store, quantization ? { quantization } : {})
  const accuracy = async (split: Split) => {
    const nodes = dataset.splits[split]
    const { logits } = await evaluator.logits(source, nodes)
    return logits.filter((row, i) => argMax(row) === nodes[i].label).length / nodes.length
  }
  const result = {} as Record<Split, number>
  for (const split of splits) result[split] = await accuracy(split)
  evaluator.dispose()
  quantization?.dispose()
  store.dispose()
  return result
}

export function meanAndError(values: readonly number[]): { mean: number; standardError: number } {
  const mean = values.reduce((a, b) => a + b, 0) / values.length
  const deviation = Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / Math.max(1, values.length - 1))
  return { mean, standardError: deviation / Math.sqrt(values.length) }
}
