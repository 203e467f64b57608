// Background recordings from nothing: white and pink noise, mains hum, and the babble of many voices. Root mean square 0.1, no sample above 1.

import type { Random } from '@bitwright/engine'

const level = 0.1

/** The same power in every hertz. */
export function whiteNoise(length: number, random: Random): Float32Array {
  return levelled(Float32Array.from({ length }, () => random.uniform(-1, 1)))
}

/** The same power in every octave (within half a decibel from 10 Hz to 7 kHz): white noise through three real poles and their zeros. */
export function pinkNoise(length: number, random: Random): Float32Array {
  const out = new Float32Array(length)
  let a = 0
  let b = 0
  let c = 0
  for (let i = 0; i < length; i++) {
    const white = random.uniform(-1, 1)
    a = 0.99765 * a + 0.099046 * white
    b = 0.963 * b + 0.2965164 * white
    c = 0.57 * c + 1.0526913 * white
    out[i] = a + b + c + 0.1848 * white
  }
  return levelled(out)
}

/** 50 Hz and its harmonics, swelling slowly, over a faint hiss. */
export function hum(length: number, sampleRate: number, random: Random): Float32Array {
  const partials = Array.from({ length: 12 }, (_, i) => ({
    step: (2 * Math.PI * 50 * (i + 1)) / sampleRate,
    phase: random.uniform(0, 2 * Math.PI),
    gain: random.uniform(0.3, 1) / (i + 1),
  }))
  const swell = (2 * Math.PI * random.uniform(0.1, 0.4)) / sampleRate
  return levelled(
    Float32Array.from({ length }, (_, i) => {
      let sum = 0.05 * random.uniform(-1, 1)
      for (const { step, phase, gain } of partials) sum += gain * Math.sin(step * i + phase)
      return sum * (1 + 0.4 * Math.sin(swell * i))
    }),
  )
}

/** Eight streams at once, each going through the given speech in an order of its own. */
export function mixBabble(length: number, speech: readonly Float32Array[], random: Random): Float32Array {
  const out = new Float32Array(length)
  for (let stream = 0; stream < 8 && speech.length > 0; stream++) {
    for (let at = -random.integer(8000); at < length;) {
      const part = speech[random.integer(speech.length)]
      for (let i = Math.max(0, -at); i < part.length && at + i < length; i++) out[at + i] += part[i]
      at += part.length + random.integer(3000)
    }
  }
  return levelled(out)
}

function levelled(samples: Float32Array): Float32Array {
  let energy = 0
  let peak = 0
  for (const value of samples) {
    energy += value * value
    peak = Math.max(peak, Math.abs(value))
  }
  const gain = peak === 0 ? 0 : Math.min(level / Math.sqrt(energy / samples.length), 0.99 / peak)
  return samples.map((value) => value * gain)
}
