// From a stream of samples to scores: a window as long as a training clip slides over the audio, and every hop the model hears it.
// For MFCC and log-mel models the frames already computed are kept, so a hop costs its new frames; the scores have the same bits as
// those of the whole window.

import { computeFeatures, isSpectral, spectralFrames } from './front-end.ts'
import type { Model } from './load.ts'
import type { IntegerSpectralFrontEnd } from './model.ts'

/** What a model says of the audio that ends at a moment. */
export interface TimedScores {
  /** Seconds from the start of the stream to the end of what was heard. */
  readonly time: number
  /** Softmax probabilities in class order. */
  readonly scores: Float32Array
}

/** Hears a stream at the model's sample rate. Silence precedes the stream, so that its first word counts too. */
export interface ClipScorer {
  /** Takes the next samples, any number, and gives the scores they complete, oldest first. */
  push(samples: Int16Array): TimedScores[]
}

/** The last so many values of a stream; zeros before its start. */
class Ring<Values extends Int16Array | Float32Array> {
  private readonly values: Values
  private next = 0

  constructor(values: Values) {
    this.values = values
  }

  /** Appends at most as many values as it holds. */
  append(values: Values): void {
    const room = Math.min(values.length, this.values.length - this.next)
    this.values.set(values.subarray(0, room), this.next)
    this.values.set(values.subarray(room))
    this.next = (this.next + values.length) % this.values.length
  }

  /** The oldest values first, as many as `out` takes. */
  copyTo(out: Values): Values {
    const room = Math.min(out.length, this.values.length - this.next)
    out.set(this.values.subarray(this.next, this.next + room))
    out.set(this.values.subarray(0, out.length - room), room)
    return out
  }
}

export const defaultHopSeconds = 0.1

/** @throws RangeError for seconds that are no hop */
export function checkHop(hopSeconds: number): void {
  if (!(hopSeconds > 0 && hopSeconds <= 3600)) throw new RangeError(`hopSeconds ${hopSeconds}: must be above zero, at most 3600`)
}

/** The hop in samples: of a spectral model a whole number of frames. */
export function hopSamplesOf({ frontEnd }: Model, hopSeconds = defaultHopSeconds): number {
  if (frontEnd.kind === 'image') throw new RangeError('the model takes images, not audio')
  checkHop(hopSeconds)
  const unit = isSpectral(frontEnd) ? frontEnd.hopSamples : 1
  return unit * Math.max(1, Math.round((hopSeconds * frontEnd.sampleRate) / unit))
}

/** Runs the model on its whole window at every hop; works for every model that takes audio. */
export class SlidingWindowScorer implements ClipScorer {
  private readonly model: Model
  private readonly hop: number
  private readonly sampleRate: number
  private readonly logits: (audio: Int16Array) => Int16Array
  /** Audio since the last scores. */
  private readonly pending: Int16Array
  private pendingSamples = 0
  private hops = 0

  /** @throws RangeError where the model takes images or the hop is impossible */
  constructor(model: Model, hopSeconds?: number) {
    const { frontEnd } = model
    this.hop = hopSamplesOf(model, hopSeconds)
    if (frontEnd.kind === 'image') throw new RangeError(`${model.name}: takes images, not audio`)
    this.model = model
    this.sampleRate = frontEnd.sampleRate
    this.pending = new Int16Array(this.hop)
    this.logits = isSpectral(frontEnd) ? spectralWindow(model, frontEnd, this.hop) : rawWindow(model, frontEnd.samples)
  }

  push(samples: Int16Array): TimedScores[] {
    const scored: TimedScores[] = []
    for (let at = 0; at < samples.length;) {
      const end = Math.min(samples.length, at + this.hop - this.pendingSamples)
      this.pending.set(samples.subarray(at, end), this.pendingSamples)
      this.pendingSamples += end - at
      at = end
      if (this.pendingSamples < this.hop) continue
      this.pendingSamples = 0
      this.hops++
      const { scores } = this.model.interpret(this.logits(this.pending))
      scored.push({ time: (this.hops * this.hop) / this.sampleRate, scores })
    }
    return scored
  }
}

type Window = (hop: Int16Array) => Int16Array

function rawWindow(model: Model, samples: number): Window {
  const ring = new Ring<Int16Array>(new Int16Array(samples))
  const window = new Int16Array(samples)
  return (hop) => {
    ring.append(hop.subarray(-samples))
    return model.run(ring.copyTo(window))
  }
}

/** Frames lie at the same places of every window, since a hop is a whole number of them. */
function spectralWindow(model: Model, frontEnd: IntegerSpectralFrontEnd, hop: number): Window {
  const { samples, windowSamples, hopSamples, coefficients } = frontEnd
  const frames = spectralFrames(frontEnd)
  const fresh = Math.min(frames, hop / hopSamples)
  /** A clip of so many frames; the hop after the only one is not told, since it may be longer than the clip. */
  const partOf = (count: number) => ({
    ...frontEnd,
    samples: windowSamples + (count - 1) * hopSamples,
    hopSamples: count === 1 ? windowSamples : hopSamples,
  })
  const part = partOf(fresh)
  // the last frame ends up to a hop before the window does
  const unused = samples - windowSamples - (frames - 1) * hopSamples
  const pcm = new Ring<Int16Array>(new Int16Array(part.samples + unused))
  const latest = new Int16Array(part.samples)
  const features = new Ring<Float32Array>(new Float32Array(frames * coefficients))
  const window = new Float32Array(frames * coefficients)
  const silence = computeFeatures(partOf(1), new Int16Array(windowSamples))
  for (let frame = 0; frame < frames; frame++) features.append(silence)
  return (audio) => {
    pcm.append(audio.subarray(-(part.samples + unused)))
    features.append(computeFeatures(part, pcm.copyTo(latest)))
    return model.runFeatures(features.copyTo(window))
  }
}
