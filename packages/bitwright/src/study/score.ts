// Scores of everything a run holds: the float network, the fake-quantized one, and the integer model run by the very core that ships.
import type { Engine, ParameterStore } from '@bitwright/engine'
import { decodeModel, type IntegerModel } from '@bitwright/runtime'
import type { Sample, SplitName } from '../data/dataset.ts'
import { withoutBits } from '../network/transform.ts'
import type { Network } from '../network/network.ts'
import type { SampleSource } from '../training/sample-source.ts'
import { convertNetwork, settleNorms } from '../training/convert.ts'
import { argMax, Evaluator, scores } from '../training/evaluate.ts'
import { compareAnswers, integerLogits, type Progress } from '../training/integer-evaluator.ts'
import type { Quantization } from '../training/quantization.ts'
import type { EvaluateResult } from './api.ts'
import { thingsOf } from './run-data.ts'

/** A trained network with all that its scores need. */
export interface TrainedModel {
  readonly network: Network
  readonly store: ParameterStore
  readonly source: SampleSource
  readonly quantization: Quantization
  /** Parameters before quantization, for the float score. */
  readonly floatParameters: Float32Array
  /** The .bw file. */
  readonly model: Uint8Array
}

async function logitsOf(
  engine: Engine,
  network: Network,
  store: ParameterStore,
  source: SampleSource,
  clips: readonly Sample[],
  quantization?: Quantization,
) {
  const evaluator = new Evaluator(engine, network, store, quantization ? { quantization } : {})
  const result = await evaluator.logits(source, clips)
  evaluator.dispose()
  return result
}

/** Loss and accuracy of a network on clips, in float or fake-quantized. */
async function scoreNetwork(
  engine: Engine,
  graph: Network,
  store: ParameterStore,
  source: SampleSource,
  clips: readonly Sample[],
  quantization?: Quantization,
): Promise<{ loss: number; accuracy: number }> {
  const { logits, loss } = await logitsOf(engine, graph, store, source, clips, quantization)
  return { loss, accuracy: logits.filter((row, i) => argMax(row) === clips[i].label).length / Math.max(1, clips.length) }
}

/** The integer model; the logits' scale comes from the validation clips. */
async function convert(
  engine: Engine,
  decided: Network,
  store: ParameterStore,
  source: SampleSource,
  quantization: Quantization,
): Promise<IntegerModel> {
  const { logits } = await logitsOf(engine, quantization.network, store, source, source.dataset.splits.validation, quantization)
  let largestLogit = 0
  for (const row of logits) for (const value of row) largestLogit = Math.max(largestLogit, Math.abs(value))
  return convertNetwork({ network: decided, store, quantization, largestLogit })
}

async function scoreAll(
  engine: Engine,
  trained: TrainedModel,
  split: SplitName,
  clips: readonly Sample[],
  onProgress: Progress,
): Promise<EvaluateResult & { readonly integerLogits: readonly Int16Array[] }> {
  const { store, source, quantization } = trained
  const { classes } = trained.network
  const integer = await integerLogits(trained.model, source.dataset, clips, { onProgress })
  const quantized = store.snapshot()
  settleNorms({ network: trained.network, store, quantization }, decodeModel(trained.model))
  const fake = await logitsOf(engine, quantization.network, store, source, clips, quantization)
  store.restore(trained.floatParameters)
  const float = await logitsOf(engine, withoutBits(trained.network), store, source, clips)
  store.restore(quantized)
  const answers = { integer: integer.map(argMax), fake: fake.logits.map(argMax), float: float.logits.map(argMax) }
  const { differing } = compareAnswers(clips, fake.logits, integer, decodeModel(trained.model).tensors.at(-1)!.scale)
  return {
    split,
    things: thingsOf(source.dataset),
    classes,
    float: scores(clips, answers.float, classes),
    fakeQuantized: scores(clips, answers.fake, classes),
    integer: scores(clips, answers.integer, classes),
    differing,
    integerLogits: integer,
  }
}

export const scoreModels = { network: scoreNetwork, convert, all: scoreAll }
