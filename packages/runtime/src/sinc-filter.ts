// Band-pass filters made from two cut-offs (SincConv: Ravanelli & Bengio 2018, as used by arXiv 2104.06666): the specification that
// core/sinc.h follows, in whole numbers, so that training, this interpreter and every device have the same taps.
//
// A tap at distance n from the middle, cut-offs being fractions of the sample rate:
//   cos(pi (high + low) n) * sin(pi (high - low) n) / (pi (high - low) n) * (0.54 + 0.46 cos(2 pi n / (taps - 1))) in units of 1 / 127.

/** Cut-offs are in this part of the sample rate. */
export const cutoffsPerRate = 2 ** 16
/** A tap of 127 is 1. */
export const sincTapUnit = 127

const quarter = 256
const sineTable = Array.from({ length: quarter + 2 }, (_, i) =>
  Math.round(32768 * Math.sin(((Math.PI / 2) * Math.min(i, quarter)) / quarter)),
)

/** 2^23 * sin of a phase in 2^-18 turns: a line between 256 points a quarter. */
function sine(phase: number): number {
  const within = phase & 0xffff
  const at = phase & 0x10000 ? 0x10000 - within : within
  const index = at >> 8
  const value = sineTable[index] * 256 + (sineTable[index + 1] - sineTable[index]) * (at & 255)
  return phase & 0x20000 ? -value : value
}
const cosine15 = (phase: number): number => (sine(phase + 0x10000) + 128) >> 8

/**
 * The filter that passes low..high (whole numbers, in 2^-16 of the sample rate): `taps` whole numbers of at most 127, zeros where
 * high <= low. Written into `out` from `offset` on, `stride` apart.
 */
export function sincFilter(low: number, high: number, taps: number, out: Int8Array, offset = 0, stride = 1): void {
  const difference = high > low ? high - low : 0
  const inverse = difference > 0 ? Math.floor(683565276 / difference) : 0 // 2^31 / pi
  const windowStep = taps > 1 ? Math.floor(2 ** 31 / (taps - 1)) : 0
  for (let i = 0; 2 * i < taps; i++) {
    const distance = taps - 1 - 2 * i
    let value = 32768
    if (distance > 0) value = Math.floor((Math.trunc(sine(Math.imul(difference, distance)) / distance) * inverse + 2 ** 21) / 2 ** 22)
    value = (value * cosine15(Math.imul(low + high, distance))) >> 15
    const window = 17695 + ((15073 * cosine15(Math.floor((windowStep * distance) / 2 ** 14))) >> 15)
    const tap = difference > 0 ? (((value * window) >> 15) * sincTapUnit + 2 ** 14) >> 15 : 0
    out[offset + i * stride] = out[offset + (taps - 1 - i) * stride] = tap
  }
}

/** The taps of all channels [channels][taps], cutoffs being [channels][low, high]. */
export function sincFilters(cutoffs: Uint16Array, taps: number): Int8Array {
  const channels = cutoffs.length / 2
  const filters = new Int8Array(channels * taps)
  for (let c = 0; c < channels; c++) sincFilter(cutoffs[2 * c], cutoffs[2 * c + 1], taps, filters, c * taps)
  return filters
}
