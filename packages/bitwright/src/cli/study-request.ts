// From the flags that `search` and `train` share to the request of a study, checked.
import { availableParallelism } from 'node:os'
import type { z } from 'zod'
import { isGraphFile } from '../data/graph-dataset.ts'
import { UsageError } from '../errors.ts'
import { targetTime } from '../hardware/targets.ts'
import type { BudgetSpec, DataSpec } from '../study/api.ts'
import * as fields from './fields.ts'
import { shellCommand } from './shell-command.ts'
import { defaultEpochs, graphEpochs } from './study-flags.ts'

/** zod fields of the shared flags, to be spread into a verb's schema. */
export const studyFields = {
  data: fields.path('a folder with one sub-folder of WAV clips per word, or of images per class'),
  words: fields.wordList().optional(),
  split: fields.choice(['auto', 'lists', 'hash', 'speaker']).default('auto'),
  salt: fields.anyText().default(''),
  trainList: fields.path('a file with one "path class" a line').optional(),
  validationList: fields.path('a file with one "path class" a line').optional(),
  testList: fields.path('a file with one "path class" a line').optional(),
  strict: fields.present(),
  seconds: fields.positiveNumber('1.25', 60).optional(),
  imageSize: fields.imageSize().optional(),
  flip: fields.notDenied(),
  streaming: fields.present(),
  weightBits: fields.bits().default(8),
  activationBits: fields.bits().default(8),
  granularity: fields.choice(['channel', 'tensor']).default('channel'),
  bitPenalty: fields.positiveNumber('0.08', 100).default(0.08),
  averageBits: fields.averageBits().default(3),
  weightBytes: fields.amount('bytes').optional(),
  flash: fields.amount('bytes').optional(),
  ram: fields.amount('bytes').optional(),
  macs: fields.amount('macs').optional(),
  latency: fields.milliseconds().optional(),
  prune: fields.pruning().optional(),
  target: fields.path('a target such as cortex-m4@80MHz').optional(),
  epochs: fields.epochs(defaultEpochs).default(defaultEpochs),
  batchSize: fields.integer(1, 4096).default(64),
  learningRate: fields.positiveNumber('0.002', 1).optional(),
  seed: fields.integer(0, Number.MAX_SAFE_INTEGER).default(0),
  threads: fields.integer(1, 256).default(availableParallelism),
  backend: fields.choice(['auto', 'native', 'wasm']).default('auto'),
  out: fields.path('the folder the run is kept in, e.g. --out runs/first'),
  resume: fields.present(),
  json: fields.present(),
}

/** Fields whose defaults are those of the samples at `data`. */
export const fieldsFor = (data: unknown) => {
  const epochs = typeof data === 'string' && isGraphFile(data) ? graphEpochs : defaultEpochs
  return { epochs: fields.epochs(epochs).default(epochs) }
}

type StudyFlags = z.output<z.ZodObject<typeof studyFields>>

/** The part of a request that searching and training share. */
export function studySpec(flags: StudyFlags, verb: string, args: readonly string[]) {
  const { weightBits, activationBits, granularity, epochs, batchSize, learningRate, seed, threads, backend, out, resume } = flags
  const budget: BudgetSpec = {
    ...(flags.flash !== undefined && { flashBytes: flags.flash }),
    ...(flags.ram !== undefined && { ramBytes: flags.ram }),
    ...(flags.macs !== undefined && { macs: flags.macs }),
    ...(flags.latency !== undefined && { latencyMs: flags.latency }),
  }
  checkTarget(flags)
  checkPruning(flags, budget, verb)
  if (flags.weightBytes !== undefined && weightBits !== 'trained') {
    throw new UsageError('--weight-bytes: needs --weight-bits trained; a fixed width has its own size')
  }
  if (epochs.quantize === 0 && (weightBits === 'trained' || activationBits === 'trained')) {
    throw new UsageError('--epochs quantize=0: trained widths need epochs to be trained in; give widths from 1 to 8, or more epochs')
  }
  return {
    data: dataSpec(flags),
    ...(flags.streaming && { streaming: true as const }),
    weightBits,
    activationBits,
    granularity,
    bitPenalty: flags.bitPenalty,
    averageBits: flags.averageBits,
    ...(flags.weightBytes !== undefined && { weightBytes: flags.weightBytes }),
    budget,
    ...(flags.prune !== undefined && { prune: flags.prune }),
    ...(flags.target !== undefined && { target: flags.target }),
    epochs,
    batchSize,
    ...(learningRate !== undefined && { learningRate }),
    seed,
    threads,
    backend,
    out,
    resume,
    command: shellCommand(verb, args),
  }
}

/** That there are epochs to prune in, and something to press towards. */
function checkPruning({ prune, epochs }: StudyFlags, budget: BudgetSpec, verb: string): void {
  if (prune === undefined) return
  if (epochs.train < 2) throw new UsageError(`--prune ${prune}: channels leave in the training in float; give it two epochs or more`)
  if (prune !== 'budget') return
  if (Object.keys(budget).length === 0) throw new UsageError('--prune budget: needs a limit to prune towards, such as --flash 16k')
  if (verb === 'search') throw new UsageError('--prune budget: a search finds what is within the budget; give a strength such as 0.5')
}

/** That the target is there, and that what is limited is known before anything is trained. */
function checkTarget({ target, latency, weightBits, activationBits }: StudyFlags): void {
  if (target !== undefined) targetTime(target)
  if (latency === undefined) return
  if (target === undefined) throw new UsageError('--latency: needs --target, such as --target cortex-m4@80MHz')
  if (weightBits === 'trained' || activationBits === 'trained')
    throw new UsageError(
      '--latency: trained widths take times of their own, which 8 bits do not bound; give widths from 1 to 8, or --search joint',
    )
}

export function dataSpec(
  flags: Pick<
    StudyFlags,
    'data' | 'words' | 'split' | 'salt' | 'trainList' | 'validationList' | 'testList' | 'strict' | 'seconds' | 'imageSize' | 'flip'
  >,
): DataSpec {
  const { trainList: train, validationList: validation, testList: test } = flags
  if ((validation === undefined) !== (test === undefined) || (train !== undefined && test === undefined)) {
    throw new UsageError('--validation-list and --test-list belong together (and --train-list to them); give both or none')
  }
  if (flags.salt !== '' && flags.split !== 'speaker') throw new UsageError(`--salt ${flags.salt}: needs --split speaker`)
  return {
    directory: flags.data,
    ...(flags.words && { words: flags.words }),
    ...(validation !== undefined && test !== undefined && { lists: { ...(train !== undefined && { train }), validation, test } }),
    split: flags.split,
    salt: flags.salt,
    strict: flags.strict,
    ...(flags.seconds !== undefined && { seconds: flags.seconds }),
    ...(flags.imageSize && { imageSize: flags.imageSize }),
    ...(!flags.flip && { flip: false as const }),
  }
}
