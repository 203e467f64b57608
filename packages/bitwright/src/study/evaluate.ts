// `evaluate`: a finished run's models on any folder of clips. The integer model is what is asked about; where the run still has its
// parameters, the float and the fake-quantized network are scored beside it.
import { Engine, openBackend } from '@bitwright/engine'
import { loadAudioDataset, loadClipList } from '../data/audio-dataset.ts'
import type { AudioDataset } from '../data/dataset.ts'
import { RunError } from '../errors.ts'
import { requireAudio, type Network } from '../network/index.ts'
import { argMax, scores } from '../training/evaluate.ts'
import { integerLogits } from '../training/integer-evaluator.ts'
import { openSource } from '../training/sample-source.ts'
import type { DataSpec, EvaluateResult, EvaluateSpec, Hooks } from './api.ts'
import { readCheckpoint } from './checkpoint.ts'
import { openFinishedRun } from './finished-run.ts'
import { noteSkipped } from './run-data.ts'
import { scoreModels } from './score.ts'
import { isTrained, openTrained } from './trained-run.ts'

/** @throws RunError when the run has no model yet. */
export async function evaluateRun(spec: EvaluateSpec, hooks: Hooks): Promise<EvaluateResult> {
  const { directory, request, network, model } = openFinishedRun(spec.run)
  const dataset = await loadEvaluationData(spec, request.data, network, hooks)
  const split = spec.list ? 'test' : spec.split
  const clips = dataset.splits[split]
  const onProgress = (done: number, total: number) => hooks.onProgress({ stage: 'evaluate', done, total, text: 'clips' })
  const onNotice = (line: string) => hooks.onNotice?.(line)

  const backend = await openBackend({ backend: spec.backend, threads: spec.threads, onNotice })
  try {
    const engine = new Engine(backend)
    const source = openSource(engine, dataset, network.frontEnd)
    const saved = readCheckpoint(directory.checkpoint)
    if (!isTrained(saved)) {
      const answers = (await integerLogits(model, dataset, clips, { threads: spec.threads, onProgress, onNotice })).map(argMax)
      return { split, classes: network.classes, integer: scores(clips, answers, network.classes) }
    }
    const { store, quantization } = openTrained(engine, request, network, saved)
    return await scoreModels.all(
      engine,
      { network, store, source, quantization, floatParameters: saved.floatParameters, model },
      split,
      clips,
      onProgress,
    )
  } finally {
    backend.close()
  }
}

/** The clips to score, labelled with the model's classes. */
export async function loadEvaluationData(
  spec: Pick<EvaluateSpec, 'directory' | 'list' | 'strict' | 'threads'>,
  data: DataSpec,
  network: Network,
  hooks: Hooks,
): Promise<AudioDataset> {
  const dataset = await evaluationData(spec, data, network, hooks)
  noteSkipped(dataset, hooks)
  return dataset
}

async function evaluationData(
  spec: Pick<EvaluateSpec, 'directory' | 'list' | 'strict' | 'threads'>,
  data: DataSpec,
  network: Network,
  hooks: Hooks,
): Promise<AudioDataset> {
  const { classes, frontEnd } = network
  requireAudio(frontEnd)
  const options = { strict: spec.strict, threads: spec.threads, seconds: frontEnd.samples / frontEnd.sampleRate }
  const onProgress = (done: number, total: number) => hooks.onProgress({ stage: 'data', done, total, text: 'clips' })
  if (spec.list) return loadClipList(spec.directory, spec.list, classes, options, onProgress)
  const words = classes.filter((name) => !name.startsWith('_'))
  const hasOthers = words.length < classes.length
  const dataset = await loadAudioDataset(
    spec.directory,
    {
      ...options,
      ...(hasOthers || data.words ? { words } : {}),
      ...(data.lists ? { lists: data.lists, split: 'lists' as const } : { split: data.split }),
      ...(data.salt ? { salt: data.salt } : {}),
    },
    onProgress,
  )
  if (dataset.classes.join() !== classes.join()) {
    throw new RunError(
      `${spec.directory}: has the classes ${dataset.classes.join(', ')}; the model tells ${classes.join(', ')} apart. Give the clips with --list`,
    )
  }
  return dataset
}
