// What the bundled runtime offers: loading, predicting and listening, and the scripts of its worker and worklet.

export type * from './model.ts'
export { BadModelError } from './errors.ts'
export { load, type Model, type Prediction } from './load.ts'
export { toInt16 } from './pcm.ts'
export { resample, Resampler } from './resampler.ts'
export { type ClipScorer, SlidingWindowScorer, type TimedScores } from './audio-window.ts'
export { defaultDetectorSettings, type Detection, Detector, type DetectorSettings } from './detector.ts'
export type { Heard, HearingOptions, Scored } from './audio-pipeline.ts'
export type { Listener, ListenerEventMap } from './listener.ts'
export type { AudioSource, ListenOptions } from './listen.ts'
export { serveWorker, type WorkerScope } from './worker.ts'
export { workletSource } from './worklet.ts'
