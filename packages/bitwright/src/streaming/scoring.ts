// What a detector is worth on a long recording: how many keywords it hears, how often it hears one that is not there, and how late.
import type { Detection } from '@bitwright/runtime'
import type { StreamScores } from '../study/events.ts'
import type { PlacedWord } from './compose.ts'

/** A detection counts for a word from its start until this long after its end. */
export const toleranceSeconds = 0.75

/** Both in the order of time. */
export function scoreDetections(
  words: readonly PlacedWord[],
  detections: readonly Pick<Detection, 'index' | 'time'>[],
  seconds: number,
): StreamScores {
  const latencies: number[] = []
  const heard = new Set<number>()
  let falseAccepts = 0
  let first = 0
  for (const { index, time } of detections) {
    while (first < words.length && words[first].end + toleranceSeconds < time) first++
    let found = -1
    for (let i = first; i < words.length && words[i].start <= time; i++) if (words[i].label === index && !heard.has(i)) found = i
    if (found < 0) falseAccepts++
    else {
      heard.add(found)
      latencies.push(time - words[found].end)
    }
  }
  const sorted = latencies.toSorted((a, b) => a - b)
  const quantile = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]
  return {
    recall: words.length === 0 ? 0 : heard.size / words.length,
    hits: heard.size,
    words: words.length,
    falseAccepts,
    falseAcceptsPerHour: (falseAccepts * 3600) / seconds,
    ...(sorted.length > 0 ? { latency: { median: quantile(0.5), ninetieth: quantile(0.9) } } : {}),
  }
}
