// What a finished run trained, opened again: its parameters and quantizers, and the integer model made of them anew.
import { Engine, openBackend, type ParameterStore } from '@bitwright/engine'
import { encodeModel } from '@bitwright/runtime'
import { RunError } from '../errors.ts'
import { withoutBits, type Network } from '../network/index.ts'
import { openSource } from '../training/sample-source.ts'
import { createStore } from '../training/initialize.ts'
import { Quantization } from '../training/quantization.ts'
import { withStartBits } from '../training/quantizer-choice.ts'
import type { Hooks } from './api.ts'
import { openFinishedRun } from './finished-run.ts'
import { type Checkpoint, readCheckpoint, type TrainerState } from './checkpoint.ts'
import { loadRunData } from './run-data.ts'
import { scoreModels } from './score.ts'
import type { Spec } from './session.ts'

export interface TrainedCheckpoint {
  readonly trainer: TrainerState & { readonly quantization: number[][] }
  readonly floatParameters: Float32Array
}

export function isTrained(saved: Checkpoint | undefined): saved is Checkpoint & TrainedCheckpoint {
  return saved?.stage === 'done' && saved.trainer?.quantization !== undefined && saved.floatParameters !== undefined
}

/** The parameters and quantizers that a finished run ended with. @param network with the bits it ended with */
export function openTrained(
  engine: Engine,
  request: Spec,
  network: Network,
  { trainer }: TrainedCheckpoint,
): { store: ParameterStore; quantization: Quantization } {
  const { weightBits, activationBits, granularity, weightBytes, seed } = request
  const start = withStartBits(weightBits === 'searched' ? network : withoutBits(network), { weightBits, activationBits })
  const store = createStore(engine, [start], seed)
  const quantization = new Quantization(store, start, {
    weightBits,
    activationBits,
    granularity,
    ...(weightBytes !== undefined ? { weightBytes } : {}),
  })
  store.restore(trainer.parameters)
  quantization.restore(trainer.quantization)
  return { store, quantization }
}

/**
 * The bytes of `model.bw` of a finished run made again by this version, from its checkpoint and its validation clips.
 * @throws RunError where the run is not finished or its clips are gone
 */
export async function rebuildModel(run: string, hooks: Hooks): Promise<Uint8Array> {
  const { directory, request, network } = openFinishedRun(run)
  const saved = readCheckpoint(directory.checkpoint)
  if (!isTrained(saved)) throw new RunError(`${run}: has no trained parameters; finish it with the same command and --resume`)
  const dataset = await loadRunData(request, hooks)
  const backend = await openBackend({ backend: request.backend, threads: request.threads, onNotice: (line) => hooks.onNotice?.(line) })
  try {
    const engine = new Engine(backend)
    const { store, quantization } = openTrained(engine, request, network, saved)
    const source = openSource(engine, dataset, network.frontEnd)
    return encodeModel(await scoreModels.convert(engine, network, store, source, quantization))
  } finally {
    backend.close()
  }
}
