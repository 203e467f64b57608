// `evaluate --stream`: a finished run's model on long recordings. The detector is set on the validation split's words for a wanted rate of
// false accepts, scored on the test split's, and kept beside the model as detector.json.
import { createScorer, isStreamable, load, type Model, type TimedScores } from '@bitwright/runtime'
import type { AudioDataset, SplitName } from '../data/dataset.ts'
import { UsageError } from '../errors.ts'
import { renderReport } from '../report/report.ts'
import { composeAudio, isKeyword, signalToNoise } from '../streaming/compose.ts'
import { type Recording, scoreSettings, tradeOff, tuneDetector } from '../streaming/tuning.ts'
import { loadForWork } from '../training/load-for-work.ts'
import type { EvaluateStreamSpec, Hooks } from './api.ts'
import { loadEvaluationData } from './evaluate.ts'
import type { StreamEvaluation } from './events.ts'
import { openFinishedRun } from './finished-run.ts'
import { openJournal } from './journal.ts'
import { atomicWrite } from './run-directory.ts'

/** The recording the detector is set on is this many times as long as the one it is scored on: a rare thing needs time to be seen. */
const validationTimes = 3
/** Sound that is heard between two looks at the event loop. */
const pieceSeconds = 5
/** Of a model that hears a whole window at every hop. */
const windowsPerSecond = 10

/** @throws RunError when the run has no model yet, UsageError when its classes hold no words. */
export async function evaluateStream(spec: EvaluateStreamSpec, hooks: Hooks): Promise<StreamEvaluation> {
  const { directory, request, network, model: file } = openFinishedRun(spec.run)
  const seconds = spec.minutes * 60
  const total = (1 + validationTimes) * seconds
  const clips = total * (isStreamable(load(file, directory.model)) ? 1 : windowsPerSecond)
  const model = await loadForWork(file, directory.model, clips, (line) => hooks.onNotice?.(line))
  const ignoredClasses = model.classes.filter((name) => !isKeyword(name))
  if (ignoredClasses.length === model.classes.length) throw new UsageError(`${spec.run}: has no class that is a word to be heard`)
  const dataset = await loadEvaluationData(spec, request.data, network, hooks)
  if (dataset.kind !== 'audio') throw new UsageError(`${spec.run}: reads images, and --stream takes sound`)

  const progress = (from: number) => (done: number) =>
    hooks.onProgress({ stage: 'evaluate', done: Math.round(from + done), total, text: 'seconds of sound' })
  const validation = await record(model, dataset, 'validation', validationTimes * seconds, spec.seed, progress(0))
  const tuned = tuneDetector(validation, spec.falseAcceptsPerHour, ignoredClasses)
  const test = await record(model, dataset, 'test', seconds, spec.seed, progress(validationTimes * seconds))
  const { settings } = tuned
  const result: StreamEvaluation = {
    minutes: spec.minutes,
    seed: spec.seed,
    wantedFalseAcceptsPerHour: spec.falseAcceptsPerHour,
    isFrameByFrame: isStreamable(model),
    signalToNoise,
    otherWords: test.others.length,
    settings,
    scores: scoreSettings(test, settings),
    validation: { minutes: validationTimes * spec.minutes, scores: tuned.scores },
    curve: tradeOff(test, settings).map(({ threshold, recall, falseAcceptsPerHour }) => ({ threshold, recall, falseAcceptsPerHour })),
  }
  const measured = { minutes: result.minutes, ...result.scores, wantedFalseAcceptsPerHour: spec.falseAcceptsPerHour }
  atomicWrite(directory.detector, `${JSON.stringify({ ...settings, measured }, undefined, 2)}\n`)
  const journal = openJournal(directory.journal)
  try {
    journal.append({ type: 'stream', ...result })
    atomicWrite(directory.report, renderReport(journal.events))
  } finally {
    journal.close()
  }
  return result
}

/** What the model says of a long recording of the split's words. */
async function record(
  model: Model,
  dataset: AudioDataset,
  split: SplitName,
  seconds: number,
  seed: number,
  onProgress: (seconds: number) => void,
): Promise<Recording> {
  const { pcm, words, others, sampleRate } = composeAudio(dataset, { split, seconds, seed })
  if (words.length === 0) {
    throw new UsageError(`${dataset.directory}: no ${split} word fits into ${seconds / 60} minutes; give more --minutes or clips`)
  }
  const scorer = createScorer(model)
  const scored: TimedScores[] = []
  const piece = pieceSeconds * sampleRate
  for (let at = 0; at < pcm.length; at += piece) {
    for (const scores of scorer.push(pcm.subarray(at, at + piece))) scored.push(scores)
    onProgress(Math.min(pcm.length, at + piece) / sampleRate)
    await new Promise((resolve) => setImmediate(resolve))
  }
  return { classes: model.classes, scored, words, others, seconds }
}
