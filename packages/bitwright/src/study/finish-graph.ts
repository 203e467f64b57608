// The end of a run on a graph: no integer model is made of it, so what is kept is the architecture with its widths and the trained parameters, and
// what is scored are the float network and the fake-quantized one.
import type { ParameterStore } from '@bitwright/engine'
import { RunError } from '../errors.ts'
import { withoutBits } from '../network/transform.ts'
import { type Budget, costOf } from '../search/budget.ts'
import { Evaluator, argMax, scores } from '../training/evaluate.ts'
import type { Quantized } from '../training/record.ts'
import type { EvaluateResult, RunResult } from './api.ts'
import type { ClassifierScores } from './events.ts'
import { conclude, layerBits, type Trained } from './finish.ts'
import { hardwareOf } from './hardware-of.ts'
import { thingsOf } from './run-data.ts'
import { atomicWrite } from './run-directory.ts'
import type { Session } from './session.ts'

export async function finishGraph(session: Session, trained: Trained, budget: Budget): Promise<RunResult> {
  const { store, source, quantization, floatParameters } = trained
  const { spec, engine, dataset, directory, emit } = session
  const network = quantization.decided()
  const cost = costOf(hardwareOf(spec).price(network))
  const excess = budget.excess(cost)
  if (excess) throw new RunError(`quantize: the network is over budget: ${excess}`)
  atomicWrite(directory.architecture, `${JSON.stringify(network, undefined, 2)}\n`)
  const layers = layerBits(network)
  emit({ type: 'network', network, cost, layers })

  const scoreSplit = async (split: 'validation' | 'test', quantized?: Quantized): Promise<ClassifierScores> => {
    const nodes = dataset.splits[split]
    const graph = quantized?.network ?? withoutBits(network)
    const evaluator = new Evaluator(engine, graph, store, quantized ? { quantization: quantized } : {})
    const { logits } = await evaluator.logits(source, nodes)
    evaluator.dispose()
    return scores(nodes, logits.map(argMax), dataset.classes)
  }
  const evaluations = await session.stage('evaluate', async () => {
    const results: EvaluateResult[] = []
    const quantized = store.snapshot()
    for (const split of ['validation', 'test'] as const) {
      const fakeQuantized = await scoreSplit(split, quantization)
      const float = await withParameters(store, floatParameters, quantized, () => scoreSplit(split))
      emit({ type: 'evaluation', split, float, fakeQuantized })
      results.push({ split, things: thingsOf(dataset), classes: dataset.classes, float, fakeQuantized })
    }
    return results
  })
  return conclude(session, trained, { network, cost, layers, evaluations })
}

async function withParameters<T>(
  store: ParameterStore,
  parameters: Float32Array,
  before: Float32Array,
  work: () => Promise<T>,
): Promise<T> {
  store.restore(parameters)
  try {
    return await work()
  } finally {
    store.restore(before)
  }
}
