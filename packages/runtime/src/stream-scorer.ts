// Scores of live audio from a streaming model, and the choice between it and a sliding window.

import { checkHop, type ClipScorer, SlidingWindowScorer, type TimedScores } from './audio-window.ts'
import type { Model } from './load.ts'
import type { ModelStream } from './stream.ts'
import { streamPlan } from './stream-plan.ts'

/** Scores of a stream whose model runs on it frame by frame. Silence precedes the stream, as for a sliding window. */
export class StreamScorer implements ClipScorer {
  private readonly model: Model
  private readonly stream: ModelStream
  private readonly sampleRate: number
  /** Of the model's hops, every how many give scores. */
  private readonly stride: number
  /** Samples of the stream until the first scores. */
  private readonly firstTime: number
  private hops = 0

  /** @param hopSeconds between scores, rounded to the model's hops; default: every one */
  constructor(model: Model, hopSeconds?: number) {
    if (hopSeconds !== undefined) checkHop(hopSeconds)
    this.model = model
    this.stream = model.stream()
    const { hopSamples, firstSamples } = this.stream.plan
    this.sampleRate = sampleRateOf(model)
    this.stride = Math.max(1, Math.round(((hopSeconds ?? 0) * this.sampleRate) / hopSamples))
    // so much that the first hop of the stream itself gives the first scores
    const silence = Math.max(0, firstSamples - hopSamples)
    this.firstTime = firstSamples - silence
    this.stream.push(new Int16Array(silence))
  }

  push(samples: Int16Array): TimedScores[] {
    return this.stream.push(samples).flatMap((logits) => {
      const time = (this.firstTime + this.hops++ * this.stream.plan.hopSamples) / this.sampleRate
      if (this.hops % this.stride !== 0) return []
      return [{ time, scores: this.model.interpret(logits).scores }]
    })
  }
}

function sampleRateOf({ name, frontEnd }: Model): number {
  if (frontEnd.kind === 'image') throw new RangeError(`${name}: takes images, not audio`)
  return frontEnd.sampleRate
}

/** Whether the model runs on a stream frame by frame; others hear a whole window at every hop. */
export function isStreamable(model: Model): boolean {
  return !('reason' in streamPlan(model.integerModel))
}

/** The cheapest scorer for the model. @param hopSeconds default: every hop of a streaming model, 0.1 of others */
export function createScorer(model: Model, hopSeconds?: number): ClipScorer {
  return isStreamable(model) ? new StreamScorer(model, hopSeconds) : new SlidingWindowScorer(model, hopSeconds)
}
