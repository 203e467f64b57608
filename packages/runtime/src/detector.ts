// From scores over time to detections. Posteriors are averaged over a short stretch (Chen, Parada and Heigold, "Small-footprint keyword
// spotting using deep neural networks", ICASSP 2014, section 2.3); a class whose average reaches its threshold is detected, once, and
// nothing else is for a refractory time. That a class must fall below its threshold before it is detected again is ours.

import type { TimedScores } from './audio-window.ts'

/** How scores become detections; plain data, kept as JSON beside a model. */
export interface DetectorSettings {
  /** Scores of this long are averaged; 0 takes each by itself. */
  readonly smoothingSeconds: number
  /** Of the averaged score, for all classes or by name; classes not named have the default. */
  readonly threshold: number | Readonly<Record<string, number>>
  /** How long after a detection there is no other. */
  readonly refractorySeconds: number
  /** Classes that are never detected. */
  readonly ignoredClasses: readonly string[]
}

export const defaultDetectorSettings = {
  smoothingSeconds: 0.3,
  threshold: 0.6,
  refractorySeconds: 0.5,
  ignoredClasses: ['_silence_', '_unknown_'],
} as const satisfies DetectorSettings

export interface Detection {
  readonly label: string
  readonly index: number
  /** Averaged. */
  readonly score: number
  /** Seconds from the start of the stream. */
  readonly time: number
}

export interface Judged {
  /** Averaged scores in class order. */
  readonly smoothed: Float32Array
  readonly detection?: Detection
}

/** Times are sums of hops; a difference that should be exactly the smoothing time comes out this close to it. */
const timeTolerance = 1e-6

/** Judges one stream: the same scores at the same times give the same detections. */
export class Detector {
  private readonly classes: readonly string[]
  private settings: DetectorSettings = defaultDetectorSettings
  private thresholds: readonly number[] = []
  private recent: TimedScores[] = []
  /** The class detected last, while its score stays up. */
  private held = -1
  private lastTime = -Infinity

  /** @throws RangeError where a setting is impossible */
  constructor(classes: readonly string[], settings: Partial<DetectorSettings> = {}) {
    this.classes = classes
    this.configure(settings)
  }

  /** Changes settings from the next scores on. @throws RangeError where one is impossible */
  configure(changes: Partial<DetectorSettings>): void {
    const settings = checkDetectorSettings({ ...this.settings, ...changes })
    const { threshold, ignoredClasses } = settings
    const thresholdOf = (label: string): number =>
      typeof threshold === 'number' ? threshold : (threshold[label] ?? defaultDetectorSettings.threshold)
    this.settings = settings
    this.thresholds = this.classes.map((label) => (ignoredClasses.includes(label) ? Infinity : thresholdOf(label)))
  }

  /** Takes scores in the order of their times. */
  push(scored: TimedScores): Judged {
    const { smoothingSeconds, refractorySeconds } = this.settings
    const { time } = scored
    this.recent = [...this.recent.filter((earlier) => time - earlier.time < smoothingSeconds - timeTolerance), scored]
    const smoothed = Float32Array.from(
      this.classes,
      (_, index) => this.recent.reduce((sum, { scores }) => sum + scores[index], 0) / this.recent.length,
    )
    let best = -1
    for (const [index, score] of smoothed.entries()) {
      if (score >= this.thresholds[index] && (best < 0 || score > smoothed[best])) best = index
    }
    if (this.held >= 0 && smoothed[this.held] < this.thresholds[this.held]) this.held = -1
    if (best < 0 || best === this.held || time - this.lastTime < refractorySeconds - timeTolerance) return { smoothed }
    this.held = best
    this.lastTime = time
    return { smoothed, detection: { label: this.classes[best], index: best, score: smoothed[best], time } }
  }
}

/** @throws RangeError that names the setting, its value and what it must be */
export function checkDetectorSettings(settings: DetectorSettings): DetectorSettings {
  const { smoothingSeconds, threshold, refractorySeconds, ignoredClasses } = settings
  for (const [name, value] of Object.entries({ smoothingSeconds, refractorySeconds })) {
    if (!(Number.isFinite(value) && value >= 0)) throw new RangeError(`${name} ${value}: must be a number of seconds, zero or more`)
  }
  const thresholds: readonly (readonly [string, unknown])[] =
    typeof threshold === 'object' && threshold !== null
      ? Object.entries(threshold).map(([label, value]) => [`threshold of ${label}`, value])
      : [['threshold', threshold]]
  for (const [name, value] of thresholds) {
    if (!(typeof value === 'number' && value > 0 && value <= 1)) throw new RangeError(`${name} ${value}: must be above 0, at most 1`)
  }
  if (!Array.isArray(ignoredClasses) || ignoredClasses.some((label) => typeof label !== 'string'))
    throw new RangeError('ignoredClasses: must be a list of class names')
  return settings
}
