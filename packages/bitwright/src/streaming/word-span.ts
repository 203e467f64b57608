// Where in a clip the word is: from the first to the last frame that is not far below the loudest.

const frameSeconds = 0.01
/** A frame this much below the loudest one is not part of the word. */
const quietDecibels = 28

/** Samples [from, to) of the word; the whole clip where it is silent. */
export function wordSpan(clip: Int16Array, sampleRate: number): { from: number; to: number } {
  const frame = Math.max(1, Math.round(frameSeconds * sampleRate))
  const energies = Array.from({ length: Math.ceil(clip.length / frame) }, (_, i) =>
    clip.subarray(i * frame, (i + 1) * frame).reduce((sum, value) => sum + value * value, 0),
  )
  const limit = Math.max(...energies) / 10 ** (quietDecibels / 10)
  if (limit === 0) return { from: 0, to: clip.length }
  const first = energies.findIndex((energy) => energy >= limit)
  const last = energies.findLastIndex((energy) => energy >= limit)
  return { from: first * frame, to: Math.min(clip.length, (last + 1) * frame) }
}
