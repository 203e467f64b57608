// Settings of the detector from a recording with known words: of all smoothings, refractory times and thresholds that stay within the wanted
// rate of false accepts, those that hear the most words, and of these the soonest.
import { Detector, type DetectorSettings, type TimedScores } from '@bitwright/runtime'
import type { PlacedWord } from './compose.ts'
import type { StreamScores } from '../study/events.ts'
import { scoreDetections } from './scoring.ts'

export interface CurvePoint extends StreamScores {
  readonly threshold: number
}

/** Scores of a recording, ready to be judged at many thresholds. */
export interface Recording {
  readonly classes: readonly string[]
  readonly scored: readonly TimedScores[]
  readonly words: readonly PlacedWord[]
  /** Words that should not be heard. */
  readonly others: readonly PlacedWord[]
  readonly seconds: number
}

const smoothings = [0, 0.1, 0.2, 0.3, 0.5]
const refractories = [0.5, 1]
/** Closer together towards 1, where scores that are sure of themselves lie. */
export const thresholds = Array.from({ length: 104 }, (_, i) => Number((1 - 0.8 * 0.91 ** i).toFixed(5)))

type Settings = Pick<DetectorSettings, 'smoothingSeconds' | 'refractorySeconds' | 'ignoredClasses'>

/** Detections and scores at every threshold, with everything else fixed. */
export function tradeOff(recording: Recording, settings: Settings): CurvePoint[] {
  const smoothed = smooth(recording, settings)
  return thresholds.map((threshold) => scoreAt(recording, smoothed, settings, threshold))
}

/** The scores of one setting, judged as the detector judges them. */
export function scoreSettings(recording: Recording, settings: DetectorSettings & { readonly threshold: number }): StreamScores {
  return scoreAt(recording, smooth(recording, settings), settings, settings.threshold)
}

/** @returns the best settings; where even the highest threshold lets more false accepts through than wanted, those with the fewest. */
export function tuneDetector(
  recording: Recording,
  falseAcceptsPerHour: number,
  ignoredClasses: readonly string[],
): { settings: DetectorSettings & { readonly threshold: number }; scores: StreamScores } {
  let best: { settings: DetectorSettings & { readonly threshold: number }; scores: CurvePoint } | undefined
  const isWithin = (scores: StreamScores) => scores.falseAcceptsPerHour <= falseAcceptsPerHour
  const isBetter = (now: CurvePoint, before: CurvePoint): boolean => {
    if (isWithin(now) !== isWithin(before)) return isWithin(now)
    if (!isWithin(now)) return now.falseAccepts < before.falseAccepts
    if (now.hits !== before.hits) return now.hits > before.hits
    return (now.latency?.median ?? Infinity) < (before.latency?.median ?? Infinity)
  }
  for (const smoothingSeconds of smoothings) {
    for (const refractorySeconds of refractories) {
      const settings = { smoothingSeconds, refractorySeconds, ignoredClasses }
      for (const scores of tradeOff(recording, settings)) {
        if (!best || isBetter(scores, best.scores)) best = { settings: { ...settings, threshold: scores.threshold }, scores }
      }
    }
  }
  const { threshold: _, ...scores } = best!.scores
  return { settings: best!.settings, scores }
}

/** [score][class], averaged by the detector itself. */
function smooth({ classes, scored }: Recording, settings: Settings): Float32Array[] {
  const detector = new Detector(classes, { ...settings, threshold: 1 })
  return scored.map((scores) => detector.push(scores).smoothed)
}

/** The detector's judgement of averaged scores (runtime/src/detector.ts), with nothing allocated on the way: it is asked a thousand times. */
function scoreAt(
  recording: Recording,
  smoothed: readonly Float32Array[],
  { refractorySeconds, ignoredClasses }: Settings,
  threshold: number,
): CurvePoint {
  const { classes, scored } = recording
  const candidates = classes.flatMap((name, index) => (ignoredClasses.includes(name) ? [] : [index]))
  const detections: { index: number; time: number }[] = []
  let [held, last] = [-1, -Infinity]
  for (const [i, scores] of smoothed.entries()) {
    let best = -1
    for (const index of candidates) if (scores[index] >= threshold && (best < 0 || scores[index] > scores[best])) best = index
    if (held >= 0 && scores[held] < threshold) held = -1
    const { time } = scored[i]
    if (best < 0 || best === held || time - last < refractorySeconds - 1e-6) continue
    held = best
    last = time
    detections.push({ index: best, time })
  }
  return { threshold, ...scoreDetections(recording, detections) }
}
