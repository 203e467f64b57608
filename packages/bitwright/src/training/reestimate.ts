// A quantized network fitted to other data without training: batch norm's statistics taken anew, and the ranges of its activations stretched as
// their magnitudes have changed (ours).
import { type Engine, observe, type ParameterStore, Tape } from '@bitwright/engine'
import type { Sample } from '../data/dataset.ts'
import type { Network } from '../network/network.ts'
import type { ActivationQuantizer } from '../quantizers/index.ts'
import type { Quantization } from './quantization.ts'
import { Recalibration } from './recalibrate.ts'
import { Recorder } from './record.ts'
import type { SampleSource } from './sample-source.ts'

/** Samples in batches of one size. */
export interface Batches {
  readonly source: SampleSource
  readonly batches: readonly (readonly Sample[])[]
  /** Of their augmentation. */
  readonly seed: number
}

/** Mean magnitude of what every activation quantizer rounds, by quantizer. */
async function magnitudes(
  engine: Engine,
  network: Network,
  store: ParameterStore,
  quantization: Quantization,
  { source, batches, seed }: Batches,
): Promise<Map<ActivationQuantizer, number>> {
  const tape = new Tape(engine, { batch: batches[0].length, mode: 'evaluate' })
  const recorder = new Recorder(tape, { store, momentum: 0 })
  const { input } = recorder.network(network)
  const watched = quantization.rounded().map(({ quantizer, value }) => ({ quantizer, read: observe(tape, recorder.values.get(value)!) }))
  const sums = new Map<ActivationQuantizer, number>()
  const run = tape.program(['generate', 'pack', 'forward'])
  for (const samples of batches) {
    source.fill(input, samples, { seed, epoch: 0 })
    engine.backend.run(run)
    for (const { quantizer, read } of watched) sums.set(quantizer, (sums.get(quantizer) ?? 0) + read().meanMagnitude / batches.length)
    await new Promise((resolve) => setImmediate(resolve))
  }
  tape.dispose()
  return sums
}

/** Batches that magnitudes are taken from. */
const observed = 4

/**
 * Fits the network in the store to new samples. `old`: what it was trained on, which says how large values were; without it ranges stay.
 * @returns how many samples went through the network
 */
export async function reestimate(
  engine: Engine,
  store: ParameterStore,
  quantization: Quantization,
  fresh: Batches,
  old: Batches | undefined,
): Promise<number> {
  const { network } = quantization
  const some = ({ batches, ...rest }: Batches): Batches => ({ ...rest, batches: batches.slice(0, observed) })
  const before = old && (await magnitudes(engine, network, store, quantization, some(old)))
  const recalibration = new Recalibration(engine, network, store, fresh.batches[0].length, quantization)
  const again = () => recalibration.run(fresh.source, fresh.batches, { seed: fresh.seed, epoch: 0 })
  await again()
  let samples = fresh.batches.flat().length
  if (before) {
    const after = await magnitudes(engine, network, store, quantization, some(fresh))
    for (const [quantizer, magnitude] of after) {
      const was = before.get(quantizer)!
      if (was > 0 && magnitude > 0) quantizer.rescale(magnitude / was)
    }
    await again()
    samples += fresh.batches.flat().length + some(fresh).batches.flat().length + some(old).batches.flat().length
  }
  recalibration.dispose()
  return samples
}
