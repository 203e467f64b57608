// 16-bit samples, the one form of audio that front ends and models take.

/** 16-bit PCM of floats in [-1, 1]; louder is clipped, what is no number is silence. */
export function toInt16(samples: Float32Array): Int16Array {
  return Int16Array.from(samples, (sample) => Math.max(-32768, Math.min(32767, Math.round(sample * 32768) || 0)))
}
