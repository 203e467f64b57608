// The float64 reference of what is more than a few lines of loops: fake-quantization with a straight-through gradient, softmax
// cross-entropy, SincConv filters.
import { Node, type Reference } from './reference.ts'

/** Ties go to the even neighbour, as IEEE 754 rounds. */
export function roundHalfToEven(x: number): number {
  const floor = Math.floor(x)
  const rest = x - floor
  if (rest !== 0.5) return rest < 0.5 ? floor : floor + 1
  return floor % 2 === 0 ? floor : floor + 1
}

export interface Quantizer {
  readonly step: number
  readonly lowest: number
  readonly highest: number
}

/** What stays fixed when a straight-through estimator is differentiated: how far each number was rounded, or where it was cut off. */
export type Rounding = { readonly rounded: Float64Array; readonly region: Int8Array }

/**
 * step * clamp(round(x / step), lowest, highest). Straight-through: inside, round(u) = u + a constant, so d/dx = 1 and
 * d/dstep = round(u) - u; cut off, d/dx = 0 and d/dstep = the level. `sums` receives [inside, below, above].
 * With `frozen`, the rounding of an earlier run is kept, which makes the op as smooth as the estimator pretends.
 */
export function fakeQuantize(
  reference: Reference,
  x: Node,
  { step, lowest, highest }: Quantizer,
  sums: Float64Array,
  frozen?: Rounding,
): { output: Node; rounding: Rounding } {
  const rounding = frozen ?? { rounded: new Float64Array(x.data.length), region: new Int8Array(x.data.length) }
  const output = new Node(x.shape)
  x.data.forEach((value, i) => {
    const u = value / step
    if (!frozen) {
      rounding.rounded[i] = roundHalfToEven(u) - u
      rounding.region[i] = u < lowest ? -1 : u > highest ? 1 : 0
      // a number that an activation left exactly on the lowest level is not in doubt
      if (u !== lowest && u > lowest - 0.5 && u < highest + 0.5) {
        reference.kink(Math.min(0.5 - Math.abs(rounding.rounded[i]), Math.abs(u - lowest), Math.abs(u - highest)))
      }
    }
    output.data[i] = step * (rounding.region[i] < 0 ? lowest : rounding.region[i] > 0 ? highest : u + rounding.rounded[i])
  })
  reference.onBackward(() => {
    output.gradient.forEach((g, i) => {
      const region = rounding.region[i]
      if (region === 0) x.gradient[i] += g
      sums[region === 0 ? 0 : region < 0 ? 1 : 2] += region === 0 ? rounding.rounded[i] * g : g
    })
  })
  return { output, rounding }
}

/** What the loss compares logits with. */
export interface Wanted {
  readonly labels: readonly number[]
  readonly smoothing: number
  /** In the place of smoothed labels: [batch][classes]. */
  readonly targets?: ArrayLike<number>
}

/** sum over rows of -sum_k target_k log softmax_k, times scale / batch; rows with a negative label are left out. */
export function crossEntropy(
  reference: Reference,
  logits: Node,
  { labels, smoothing, targets }: Wanted,
  scale: number,
): { loss: number; correct: number } {
  const [batch, , , classes] = logits.shape
  const target = (row: number, k: number) =>
    targets ? targets[row * classes + k] : (k === labels[row] ? 1 - smoothing : 0) + smoothing / classes
  const probabilities = new Float64Array(batch * classes)
  let loss = 0
  let correct = 0
  for (let row = 0; row < batch; row++) {
    if (labels[row] < 0) continue
    const z = logits.data.subarray(row * classes, (row + 1) * classes)
    const highest = Math.max(...z)
    const total = z.reduce((sum, v) => sum + Math.exp(v - highest), 0)
    z.forEach((v, k) => {
      probabilities[row * classes + k] = Math.exp(v - highest) / total
      loss -= target(row, k) * (v - highest - Math.log(total))
    })
    if (z.indexOf(highest) === labels[row]) correct++
  }
  reference.onBackward(() => {
    for (let row = 0; row < batch; row++) {
      if (labels[row] < 0) continue
      for (let k = 0; k < classes; k++)
        logits.gradient[row * classes + k] += ((probabilities[row * classes + k] - target(row, k)) * scale) / batch
    }
  })
  return { loss: loss / batch, correct }
}

/** An ideal band-pass filter's impulse response. */
const response = (n: number, f1: number, f2: number) =>
  n === 0 ? 2 * (f2 - f1) : (Math.sin(2 * Math.PI * f2 * n) - Math.sin(2 * Math.PI * f1 * n)) / (Math.PI * n)

/**
 * SincConv filters [taps][channels] (Ravanelli & Bengio 2018): (sin 2 pi f2 n - sin 2 pi f1 n) / (pi n), Hamming-windowed, divided by
 * 2 (f2 - f1), with f1 = (50 + |low|) / rate and f2 = min(f1 + (50 + |band|) / rate, 1/2), n centred.
 */
export function sincFilters(reference: Reference, low: Node, band: Node, taps: number, rate: number): Node {
  const channels = low.data.length
  const filters = new Node([1, taps, 1, channels])
  const each = (use: (c: number, i: number, window: number, n: number, f1: number, f2: number, clipped: boolean) => void) => {
    for (let c = 0; c < channels; c++) {
      const f1 = (50 + Math.abs(low.data[c])) / rate
      const free = f1 + (50 + Math.abs(band.data[c])) / rate
      for (let i = 0; i < taps; i++) {
        const window = 0.54 - 0.46 * Math.cos((2 * Math.PI * i) / (taps - 1))
        use(c, i, window, i - (taps - 1) / 2, f1, Math.min(free, 0.5), free > 0.5)
      }
    }
  }
  each((c, i, window, n, f1, f2) => (filters.data[i * channels + c] = (window * response(n, f1, f2)) / (2 * (f2 - f1))))
  reference.onBackward(() =>
    each((c, i, window, n, f1, f2, clipped) => {
      const g = filters.gradient[i * channels + c] * window
      const width = 2 * (f2 - f1)
      const value = response(n, f1, f2)
      const d1 = (-2 * Math.cos(2 * Math.PI * f1 * n)) / width + (2 * value) / width ** 2
      const d2 = clipped ? 0 : (2 * Math.cos(2 * Math.PI * f2 * n)) / width - (2 * value) / width ** 2
      low.gradient[c] += (g * (d1 + d2) * Math.sign(low.data[c])) / rate
      band.gradient[c] += (g * d2 * Math.sign(band.data[c])) / rate
    }),
  )
  return filters
}
