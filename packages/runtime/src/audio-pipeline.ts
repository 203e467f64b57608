// The whole way of live audio, on whichever thread: blocks at the source's rate become 16-bit samples at the model's, scores, detections.

import type { ClipScorer, TimedScores } from './audio-window.ts'
import { type Detection, Detector, type DetectorSettings } from './detector.ts'
import type { Model } from './load.ts'
import { toInt16 } from './pcm.ts'
import { Resampler } from './resampler.ts'
import { createScorer } from './stream-scorer.ts'

export interface HearingOptions {
  /** Of the blocks; default: the model's. */
  readonly sampleRate?: number
  /** Seconds between scores; default: every hop of a model that streams, 0.1 of others. */
  readonly hopSeconds?: number
  readonly settings?: Partial<DetectorSettings>
}

export interface Scored extends TimedScores {
  /** Averaged over the smoothing time, in class order. */
  readonly smoothed: Float32Array
  readonly detection?: Detection
}

/** What a block brought, in the order of time. */
export interface Heard {
  /** As the model hears it: 16 bits at its sample rate. */
  readonly audio: Int16Array
  readonly scores: readonly Scored[]
}

export class AudioPipeline {
  private readonly windowSamples: number
  private readonly resampler: Resampler | undefined
  private readonly scorer: ClipScorer
  private readonly detector: Detector
  /** How far the stream's clock is ahead of the samples that came. */
  private skippedSeconds = 0

  /** @throws RangeError where the model takes images or an option is impossible */
  constructor(model: Model, { sampleRate, hopSeconds, settings }: HearingOptions) {
    const { frontEnd } = model
    if (frontEnd.kind === 'image') throw new RangeError(`${model.name}: takes images, not audio`)
    this.windowSamples = frontEnd.samples
    const needsResampler = sampleRate !== undefined && sampleRate !== frontEnd.sampleRate
    this.resampler = needsResampler ? new Resampler(sampleRate, frontEnd.sampleRate) : undefined
    this.scorer = createScorer(model, hopSeconds)
    this.detector = new Detector(model.classes, settings)
  }

  /** @param block mono; floats in [-1, 1], louder is clipped, what is no number is silence; or 16-bit samples */
  push(block: Float32Array | Int16Array): Heard {
    if (!this.resampler) return this.hear(block instanceof Int16Array ? block : toInt16(block))
    const samples = block instanceof Int16Array ? Float32Array.from(block, (sample) => sample / 32768) : block
    return this.hear(toInt16(this.resampler.push(samples)))
  }

  /** What the end of the stream still brings: half a window of silence follows, so that its last word is in the middle once. */
  finish(): Heard {
    const rest = this.resampler ? toInt16(this.resampler.finish()) : new Int16Array(0)
    const audio = new Int16Array(rest.length + Math.ceil(this.windowSamples / 2))
    audio.set(rest)
    return { ...this.hear(audio), audio: rest }
  }

  /** Lets time pass in which audio was lost. */
  skip(seconds: number): void {
    this.skippedSeconds += seconds
  }

  /** @throws RangeError where a setting is impossible */
  configure(settings: Partial<DetectorSettings>): void {
    this.detector.configure(settings)
  }

  private hear(audio: Int16Array): Heard {
    const scores = this.scorer.push(audio).map(({ time, scores: now }): Scored => {
      const scored = { time: time + this.skippedSeconds, scores: now }
      return { ...scored, ...this.detector.push(scored) }
    })
    return { audio, scores }
  }
}
