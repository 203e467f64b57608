// The trainings of a study: in float, then fake-quantized from the float weights.
import type { ParameterStore } from '@bitwright/engine'
import { performance } from 'node:perf_hooks'
import type { Network } from '../network/network.ts'
import type { SampleSource } from '../training/sample-source.ts'
import type { TeacherOptions } from '../training/teacher.ts'
import { Quantization } from '../training/quantization.ts'
import { withStartBits } from '../training/quantizer-choice.ts'
import { calibrate, Trainer, type TrainerOptions } from '../training/trainer.ts'
import type { Unstamped } from './checkpoint.ts'
import { scoreModels } from './score.ts'
import { adaptRecipeOf, Interrupted, recipeOf, type Session, teacherWeight } from './session.ts'

/** Batches that batch norm's statistics come from after an epoch of few bits; after the last, all. */
const recalibrationBatches = 8

/** What epochs of a training differ in that learns more than weights. */
interface EpochOptions {
  /** The epoch before which to end; default: all. */
  readonly to?: number
  /** Before each epoch. */
  readonly prepare?: () => void
  readonly score?: () => Promise<{ loss: number; accuracy: number }>
}

/** Epochs of a trainer from a saved state on, each with its event and checkpoint. */
export async function runEpochs(
  session: Session,
  stage: 'train' | 'quantize',
  trainer: Trainer,
  store: ParameterStore,
  source: SampleSource,
  network: Network,
  from: number,
  quantization: Quantization | undefined,
  checkpoint: () => Omit<Unstamped, 'stage' | 'epoch'>,
  { to, prepare, score }: EpochOptions = {},
): Promise<void> {
  const { engine, dataset, emit } = session
  const { epochs } = trainer.options
  for (let epoch = from; epoch < (to ?? epochs); epoch++) {
    prepare?.()
    const start = performance.now()
    const { macs } = trainer
    const result = await trainer.epoch(epoch, session.between(stage, 'steps'))
    if (!result) throw new Interrupted(stage, epoch)
    if (quantization) await trainer.recalibrate(epoch, epoch + 1 < epochs ? recalibrationBatches : undefined)
    const validation = await (
      score ?? (() => scoreModels.network(engine, network, store, source, dataset.splits.validation, quantization))
    )()
    const averages = quantization?.averages()
    emit({
      type: 'epoch',
      stage,
      epoch: epoch + 1,
      epochs,
      learningRate: result.learningRate,
      seconds: (performance.now() - start) / 1000,
      trainLoss: result.loss,
      trainAccuracy: result.accuracy,
      validationLoss: validation.loss,
      validationAccuracy: validation.accuracy,
      macs: trainer.macs - macs,
      ...(averages ? { averageWeightBits: averages.weights, averageActivationBits: averages.activations } : {}),
    })
    session.save({ stage, epoch: epoch + 1, trainer: trainer.state(), ...checkpoint() })
    if (session.hooks.shouldStop() && epoch + 1 < epochs) throw new Interrupted(stage, epoch + 1)
  }
}

export function trainerOptions({ spec, dataset }: Session, stage: 'train' | 'quantize'): TrainerOptions {
  const { batchSize, seed, epochs, learningRate } = spec
  const recipe = (spec.adapt ? adaptRecipeOf : recipeOf)(dataset.kind, stage, learningRate)
  return { ...recipe, batchSize, seed, epochs: epochs[stage], purpose: stage }
}

/** Trains in float from the state of an interrupted training, or from the start. */
export async function trainFloat(
  session: Session,
  network: Network,
  store: ParameterStore,
  source: SampleSource,
  state: Unstamped['trainer'],
): Promise<void> {
  const { engine } = session
  await session.stage('train', async () => {
    const trainer = new Trainer(engine, network, store, source, trainerOptions(session, 'train'))
    const from = state ? Math.round(state.updates / trainer.stepsPerEpoch) : 0
    if (state) trainer.restore(state)
    await runEpochs(session, 'train', trainer, store, source, network, from, undefined, () => ({
      network,
      ...(session.spec.prune !== undefined && { pruned: true as const }),
    }))
    trainer.dispose()
  })
}

/** Quantizes the float network in the store; `resumed` is the checkpoint of an interrupted quantization. */
export async function quantize(
  session: Session,
  network: Network,
  store: ParameterStore,
  source: SampleSource,
  floatParameters: Float32Array,
  resumed: Unstamped | undefined,
  teacher: TeacherOptions | false = network.frontEnd.kind !== 'graph' && { network, parameters: floatParameters, weight: teacherWeight },
): Promise<Quantization> {
  const { spec, engine } = session
  const { weightBits, activationBits, granularity, weightBytes, bitPenalty, averageBits } = spec
  return session.stage('quantize', async () => {
    const start = withStartBits(network, { weightBits, activationBits })
    const quantization = new Quantization(store, start, {
      weightBits,
      activationBits,
      granularity,
      penalty: bitPenalty,
      averageBits,
      ...(weightBytes !== undefined ? { weightBytes } : {}),
    })
    if (!resumed?.trainer) await calibrate(engine, network, store, source, quantization, { seed: spec.seed, batchSize: spec.batchSize })
    const trainer = new Trainer(
      engine,
      start,
      store,
      source,
      { ...trainerOptions(session, 'quantize'), ...(teacher && { teacher }) },
      quantization,
    )
    if (resumed?.trainer) trainer.restore(resumed.trainer)
    else trainer.initializeQuantizers()
    // without training, statistics at least are those of the rounded network
    if (spec.epochs.quantize === 0) await trainer.recalibrate(0)
    await runEpochs(session, 'quantize', trainer, store, source, start, resumed?.epoch ?? 0, quantization, () => ({
      network,
      floatParameters,
    }))
    trainer.dispose()
    return quantization
  })
}
