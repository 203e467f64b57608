// Changes the sample rate with a Kaiser-windowed sinc in polyphase form (Crochiere and Rabiner, "Multirate Digital Signal Processing",
// 1983, section 4). The transition band is centred on 0.94 of the lower Nyquist frequency and ends just above it; rejection is over 80 dB.

const zeroCrossings = 32
const rolloff = 0.94
const kaiserBeta = 8.6
/** Rates with a simple ratio have one filter per phase; others interpolate linearly between this many. */
const maximumPhases = 640

interface Bank {
  readonly phases: number
  readonly taps: number
  /** [phases + 1, taps]; the last phase is the first one sample later, for interpolation. */
  readonly coefficients: Float64Array
}

const banks = new Map<string, Bank>()

/** Resamples from rate `from` to rate `to` (Hz). The result has round(length * to / from) samples, at least one, and no delay. */
export function resample(samples: Float32Array, from: number, to: number): Float32Array {
  if (from === to) return samples
  const divisor = greatestCommonDivisor(from, to)
  const up = to / divisor
  const down = from / divisor
  const key = `${from}:${to}`
  let bank = banks.get(key)
  if (!bank) banks.set(key, (bank = designBank(Math.min(up, maximumPhases), Math.min(1, to / from))))
  const { phases, taps, coefficients } = bank
  const out = new Float32Array(Math.max(1, Math.round((samples.length * to) / from)))
  const exact = phases === up
  for (let i = 0; i < out.length; i++) {
    const ticks = i * down
    const centre = Math.floor(ticks / up)
    const position = ((ticks % up) * phases) / up
    const phase = Math.floor(position)
    const between = exact ? 0 : position - phase
    const first = centre - taps / 2 + 1
    const begin = Math.max(0, -first)
    const end = Math.min(taps, samples.length - first)
    const row = phase * taps
    let sum = 0
    if (between === 0) {
      for (let k = begin; k < end; k++) sum += coefficients[row + k] * samples[first + k]
    } else {
      for (let k = begin; k < end; k++) {
        const low = coefficients[row + k]
        sum += (low + between * (coefficients[row + taps + k] - low)) * samples[first + k]
      }
    }
    out[i] = sum
  }
  return out
}

function designBank(phases: number, ratio: number): Bank {
  const cutoff = rolloff * ratio
  const half = Math.ceil(zeroCrossings / cutoff)
  const taps = 2 * half
  const coefficients = new Float64Array((phases + 1) * taps)
  const scale = 1 / bessel0(kaiserBeta)
  for (let phase = 0; phase <= phases; phase++) {
    let total = 0
    for (let k = 0; k < taps; k++) {
      const distance = k - half + 1 - phase / phases
      const edge = distance / half
      const window = Math.abs(edge) >= 1 ? 0 : bessel0(kaiserBeta * Math.sqrt(1 - edge * edge)) * scale
      const angle = Math.PI * cutoff * distance
      const value = (angle === 0 ? 1 : Math.sin(angle) / angle) * window
      coefficients[phase * taps + k] = value
      total += value
    }
    for (let k = 0; k < taps; k++) coefficients[phase * taps + k] /= total
  }
  return { phases, taps, coefficients }
}

/** Modified Bessel function of the first kind, order zero, by its power series. */
function bessel0(x: number): number {
  let sum = 1
  let term = 1
  for (let k = 1; term > 1e-17 * sum; k++) {
    term *= (x / (2 * k)) ** 2
    sum += term
  }
  return sum
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b)
}
