// One network trained as a study trains it: in float, its channels pruned where that is asked for, then at its widths.
import type { ParameterStore } from '@bitwright/engine'
import { createStore } from '../training/initialize.ts'
import { openSource } from '../training/sample-source.ts'
import type { Network } from '../network/network.ts'
import type { Budget } from '../search/budget.ts'
import type { Unstamped } from './checkpoint.ts'
import type { Trained } from './finish.ts'
import { pruneChannels } from './pruning.ts'
import { augmentationOf, type Session } from './session.ts'
import { quantize, trainFloat } from './train-stages.ts'

export interface Start {
  /** By name; absent: from scratch. */
  readonly initial?: ReadonlyMap<string, Float32Array>
  /** Of a network that is trained in float already. */
  readonly floatParameters?: (store: ParameterStore) => Float32Array
}

/** `before`: the checkpoint of this training, if it was interrupted. */
export async function trainNetwork(
  session: Session,
  network: Network,
  start: Start,
  budget: Budget,
  before: Unstamped | undefined,
): Promise<Trained> {
  const { spec, engine, dataset } = session
  const source = openSource(engine, dataset, network.frontEnd, augmentationOf(spec))
  let store = createStore(engine, [network], spec.seed)
  for (const [name, values] of start.initial ?? []) store.value(name).set(values)
  const resumed = before?.stage === 'train' || before?.stage === 'quantize' ? before : undefined
  let floatParameters = resumed?.floatParameters ?? start.floatParameters?.(store)
  if (!floatParameters) {
    let trainer = resumed?.trainer
    if (spec.prune !== undefined && !resumed?.pruned)
      ({ network, store, trainer } = await pruneChannels(session, network, store, source, budget, resumed))
    await trainFloat(session, network, store, source, trainer)
    floatParameters = store.snapshot()
    session.save({ stage: 'quantize', epoch: 0, network, floatParameters })
  } else {
    store.restore(floatParameters)
  }
  const quantization = await quantize(session, network, store, source, floatParameters, resumed?.stage === 'quantize' ? resumed : undefined)
  return { store, source, quantization, floatParameters }
}
