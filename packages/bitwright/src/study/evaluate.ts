// `evaluate`: a finished run's models on any folder of clips or images. The integer model is what is asked about; where the run still has its
// parameters, the float and the fake-quantized network are scored beside it.
import { requireIntegerForm } from '../network/graph.ts'
import { Engine, openBackend } from '@bitwright/engine'
import { loadAudioDataset, loadClipList } from '../data/audio-dataset.ts'
import type { Dataset } from '../data/dataset.ts'
import { loadImageDataset, loadImageList } from '../data/image-dataset.ts'
import type { Progress } from '../data/decode.ts'
import { imageSizeOf } from '../data/decode-image.ts'
import { audioMedia, imageMedia } from '../data/media.ts'
import type { PlanOptions } from '../data/plan.ts'
import { RunError } from '../errors.ts'
import type { FrontEnd, Network } from '../network/index.ts'
import { argMax, scores } from '../training/evaluate.ts'
import { integerLogits } from '../training/integer-evaluator.ts'
import { openSource } from '../training/sample-source.ts'
import type { DataSpec, EvaluateResult, EvaluateSpec, Hooks } from './api.ts'
import { readCheckpoint } from './checkpoint.ts'
import { openFinishedRun } from './finished-run.ts'
import { noteSkipped, thingsOf } from './run-data.ts'
import { scoreModels } from './score.ts'
import { isTrained, openTrained } from './trained-run.ts'

/** @throws RunError when the run has no model yet. */
export async function evaluateRun(spec: EvaluateSpec, hooks: Hooks): Promise<EvaluateResult> {
  const { directory, request, network, model } = openFinishedRun(spec.run)
  const dataset = await loadEvaluationData(spec, request.data, network, hooks)
  const split = spec.list ? 'test' : spec.split
  const clips = dataset.splits[split]
  const onProgress = (done: number, total: number) => hooks.onProgress({ stage: 'evaluate', done, total, text: thingsOf(dataset) })
  const onNotice = (line: string) => hooks.onNotice?.(line)

  const backend = await openBackend({ backend: spec.backend, threads: spec.threads, onNotice })
  try {
    const engine = new Engine(backend)
    const source = openSource(engine, dataset, network.frontEnd)
    const saved = readCheckpoint(directory.checkpoint)
    if (!isTrained(saved)) {
      const answers = (await integerLogits(model, dataset, clips, { threads: spec.threads, onProgress, onNotice })).map(argMax)
      return { split, things: thingsOf(dataset), classes: network.classes, integer: scores(clips, answers, network.classes) }
    }
    const { store, quantization } = openTrained(engine, request, network, saved)
    const { integerLogits: _logits, ...result } = await scoreModels.all(
      engine,
      { network, store, source, quantization, floatParameters: saved.floatParameters, model },
      split,
      clips,
      onProgress,
    )
    return result
  } finally {
    backend.close()
  }
}

/** The samples to score, labelled with the model's classes. */
export async function loadEvaluationData(
  spec: Pick<EvaluateSpec, 'directory' | 'list' | 'strict' | 'threads'>,
  data: DataSpec,
  network: Network,
  hooks: Hooks,
): Promise<Dataset> {
  const dataset = await evaluationData(spec, data, network, hooks)
  noteSkipped(dataset, hooks)
  return dataset
}

async function evaluationData(
  spec: Pick<EvaluateSpec, 'directory' | 'list' | 'strict' | 'threads'>,
  data: DataSpec,
  { classes, frontEnd }: Network,
  hooks: Hooks,
): Promise<Dataset> {
  const { directory, list, strict, threads } = spec
  const load = loaders(frontEnd, { strict, threads })
  const onProgress = (done: number, total: number) => hooks.onProgress({ stage: 'data', done, total, text: load.things })
  if (list) return load.list(directory, list, classes, onProgress)
  const words = classes.filter((name) => !name.startsWith('_'))
  const hasOthers = words.length < classes.length
  const plan = {
    ...(data.classes ? { classes } : hasOthers || data.words ? { words } : {}),
    ...(data.lists ? { lists: data.lists, split: 'lists' as const } : { split: data.split }),
    ...(data.salt ? { salt: data.salt } : {}),
  }
  const dataset = await load.all(directory, plan, onProgress)
  if (dataset.classes.join() !== classes.join()) {
    throw new RunError(
      `${directory}: has the classes ${dataset.classes.join(', ')}; the model tells ${classes.join(', ')} apart. Give the ${load.things} with --list`,
    )
  }
  return dataset
}

interface Loaders {
  readonly things: string
  all(directory: string, plan: PlanOptions, onProgress: Progress): Promise<Dataset>
  list(directory: string, file: string, classes: readonly string[], onProgress: Progress): Promise<Dataset>
}

/** Of what a network takes. */
function loaders(frontEnd: FrontEnd, common: { readonly strict: boolean; readonly threads: number }): Loaders {
  if (frontEnd.kind === 'image') {
    const options = { ...common, ...imageSizeOf(frontEnd) }
    return {
      things: imageMedia.things,
      all: (directory, plan, onProgress) => loadImageDataset(directory, { ...options, ...plan }, onProgress),
      list: (directory, file, classes, onProgress) => loadImageList(directory, file, classes, options, onProgress),
    }
  }
  requireIntegerForm(frontEnd)
  const options = { ...common, seconds: frontEnd.samples / frontEnd.sampleRate }
  return {
    things: audioMedia.things,
    all: (directory, plan, onProgress) => loadAudioDataset(directory, { ...options, ...plan }, onProgress),
    list: (directory, file, classes, onProgress) => loadClipList(directory, file, classes, options, onProgress),
  }
}
