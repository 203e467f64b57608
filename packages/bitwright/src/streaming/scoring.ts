// What a detector is worth on a long recording: how many keywords it hears, how often it hears one that is not there, and how late.
import type { Detection } from '@bitwright/runtime'
import type { StreamScores } from '../study/events.ts'
import type { PlacedWord } from './compose.ts'

/** A detection counts for a word from its start until this long after its end. */
export const toleranceSeconds = 0.75

/** All in the order of time; `others` are the words that should not be heard. */
export function scoreDetections(
  { words, others, seconds }: { readonly words: readonly PlacedWord[]; readonly others: readonly PlacedWord[]; readonly seconds: number },
  detections: readonly Pick<Detection, 'index' | 'time'>[],
): StreamScores {
  const latencies: number[] = []
  const heard = new Set<number>()
  const falseAcceptsOn = { keywords: 0, otherWords: 0, noise: 0 }
  const mistaken = new Set<string>()
  let first = 0
  let other = 0
  for (const { index, time } of detections) {
    while (first < words.length && words[first].end + toleranceSeconds < time) first++
    let found = -1
    for (let i = first; i < words.length && words[i].start <= time; i++) if (words[i].label === index && !heard.has(i)) found = i
    if (found < 0) {
      while (other < others.length && others[other].end + toleranceSeconds < time) other++
      // of the words in whose time it is, the one that began last
      const keyword = latest(words, first, time)
      const another = latest(others, other, time)
      if (another && !(keyword && keyword.start > another.start)) {
        falseAcceptsOn.otherWords++
        mistaken.add(another.clip)
      } else if (keyword) falseAcceptsOn.keywords++
      else falseAcceptsOn.noise++
    } else {
      heard.add(found)
      latencies.push(time - words[found].end)
    }
  }
  const sorted = latencies.toSorted((a, b) => a - b)
  const quantile = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]
  const falseAccepts = falseAcceptsOn.keywords + falseAcceptsOn.otherWords + falseAcceptsOn.noise
  return {
    recall: words.length === 0 ? 0 : heard.size / words.length,
    hits: heard.size,
    words: words.length,
    falseAccepts,
    falseAcceptsOn: { ...falseAcceptsOn, otherClips: mistaken.size },
    falseAcceptsPerHour: (falseAccepts * 3600) / seconds,
    ...(sorted.length > 0 ? { latency: { median: quantile(0.5), ninetieth: quantile(0.9) } } : {}),
  }
}

/** Of the words from one on, the last that has begun. */
function latest(words: readonly PlacedWord[], from: number, time: number): PlacedWord | undefined {
  let found: PlacedWord | undefined
  for (let i = from; i < words.length && words[i].start <= time; i++) found = words[i]
  return found
}
