// Changes the sample rate with a Kaiser-windowed sinc in polyphase form (Crochiere and Rabiner, "Multirate Digital Signal Processing",
// 1983, section 4). The transition band is centred on 0.94 of the lower Nyquist frequency and ends just above it; rejection is over 80 dB.
// Recordings and live audio go through the same sums, so a clip gives the same bits however it is cut into blocks.

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

/** Resamples a recording from rate `from` to rate `to` (Hz). The result has round(length * to / from) samples, at least one, and no delay. */
export function resample(samples: Float32Array, from: number, to: number): Float32Array {
  if (from === to) return samples
  const resampler = new Resampler(from, to)
  const start = resampler.push(samples)
  const end = resampler.finish()
  const out = new Float32Array(start.length + end.length)
  out.set(start)
  out.set(end, start.length)
  return out
}

/** One stream on its way from one sample rate to another. What is no number counts as silence. */
export class Resampler {
  private readonly up: number
  private readonly down: number
  private readonly ratio: number
  private readonly bank: Bank
  /** Input that outputs to come still read; silence precedes the stream. */
  private held: Float32Array
  /** How far the next output lies beyond an input sample, in 1 / up of one. */
  private ticks = 0
  private taken = 0
  private given = 0

  /** @throws RangeError where a rate is no whole number of hertz */
  constructor(from: number, to: number) {
    for (const rate of [from, to]) {
      if (!Number.isInteger(rate) || rate <= 0) throw new RangeError(`sample rate ${rate}: must be a whole number of hertz above zero`)
    }
    const divisor = greatestCommonDivisor(from, to)
    this.up = to / divisor
    this.down = from / divisor
    this.ratio = to / from
    const key = `${this.up}:${this.down}`
    let bank = banks.get(key)
    if (!bank) banks.set(key, (bank = designBank(Math.min(this.up, maximumPhases), Math.min(1, this.ratio))))
    this.bank = bank
    this.held = new Float32Array(bank.taps / 2 - 1)
  }

  /** The outputs that these samples, and those before them, decide: half a filter less than the rates say. */
  push(samples: Float32Array): Float32Array {
    this.taken += samples.length
    return this.extend(samples, Infinity)
  }

  /** The outputs still owed, as though silence followed. The stream ends with it. */
  finish(): Float32Array {
    const total = this.taken === 0 ? 0 : Math.max(1, Math.round(this.taken * this.ratio))
    return this.extend(new Float32Array(this.bank.taps), total - this.given)
  }

  private extend(samples: Float32Array, limit: number): Float32Array {
    const held = new Float32Array(this.held.length + samples.length)
    held.set(this.held)
    for (let i = 0, at = this.held.length; i < samples.length; i++, at++) {
      const sample = samples[i]
      held[at] = Number.isFinite(sample) ? sample : Number.isNaN(sample) ? 0 : Math.sign(sample)
    }
    const { up, down } = this
    const { phases, taps, coefficients } = this.bank
    const exact = phases === up
    const out = new Float32Array(Math.max(0, Math.min(limit, Math.ceil(((held.length - taps + 1) * up) / down) + 1)))
    let { ticks } = this
    let first = 0
    let count = 0
    for (; count < limit && first + taps <= held.length; count++) {
      const position = (ticks * phases) / up
      const phase = Math.floor(position)
      const between = exact ? 0 : position - phase
      const row = phase * taps
      let sum = 0
      if (between === 0) {
        for (let k = 0; k < taps; k++) sum += coefficients[row + k] * held[first + k]
      } else {
        for (let k = 0; k < taps; k++) {
          const low = coefficients[row + k]
          sum += (low + between * (coefficients[row + taps + k] - low)) * held[first + k]
        }
      }
      out[count] = sum
      ticks += down
      first += Math.floor(ticks / up)
      ticks %= up
    }
    this.held = held.slice(first)
    this.ticks = ticks
    this.given += count
    return out.subarray(0, count)
  }
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
