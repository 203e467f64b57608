// Random networks converted to integers on random parameters: what the export tests run beside the runtime.
import { type Engine, type ParameterStore, Random, Tape } from '@bitwright/engine'
import type { IntegerModel } from '@bitwright/runtime'
import type { AudioDataset, Sample } from '../../data/dataset.ts'
import type { Network } from '../../network/network.ts'
import { withBits, withoutBits } from '../../network/transform.ts'
import type { SampleSource } from '../../training/sample-source.ts'
import { convertNetwork } from '../../training/convert.ts'
import { Evaluator } from '../../training/evaluate.ts'
import { createStore } from '../../training/initialize.ts'
import { Quantization } from '../../training/quantization.ts'
import { Recorder } from '../../training/record.ts'
import { randomizeParameters, randomNetwork } from '../../training/testing/random-networks.ts'
import { toneClasses } from '../../training/testing/tones.ts'
import { calibrate } from '../../training/trainer.ts'

export interface Converted {
  readonly network: Network
  readonly store: ParameterStore
  readonly model: IntegerModel
}

/** @param bits of every layer, or random ones @param given instead of a random network */
export async function convertedNetwork(
  engine: Engine,
  dataset: AudioDataset,
  source: SampleSource,
  clips: readonly Sample[],
  seed: number,
  bits?: number,
  given?: Network,
): Promise<Converted> {
  const random = new Random(seed, 'conversion')
  const drawn = given ?? randomNetwork(random, { kind: 'raw', sampleRate: dataset.sampleRate, samples: dataset.samples }, toneClasses)
  const widths = { weightBits: bits ?? 8, activationBits: bits ?? 8 }
  const network = bits === undefined ? drawn : withBits(withoutBits(drawn), widths, { edges: 'same' })
  const store = createStore(engine, [network], seed)
  randomizeParameters(random, network, store)
  const quantization = new Quantization(store, network, { ...widths, granularity: random.integer(2) ? 'channel' : 'tensor' })
  await calibrate(engine, network, store, source, quantization, { seed, batchSize: 30 })
  const tape = new Tape(engine, { batch: 1, mode: 'evaluate' })
  const recorder = new Recorder(tape, { store, momentum: 0 })
  recorder.network(network)
  engine.backend.run(tape.program(['generate']))
  quantization.initializeWeights(recorder.sources)
  tape.dispose()
  const evaluator = new Evaluator(engine, network, store, { quantization })
  const { logits } = await evaluator.logits(source, clips)
  evaluator.dispose()
  const largestLogit = Math.max(...logits.flatMap((row) => [...row].map(Math.abs)))
  return { network, store, model: convertNetwork({ network, store, quantization, largestLogit }) }
}
