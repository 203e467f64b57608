// Real factors as the integer model holds them: real = multiplier * 2^(shift - 31) with an int32 multiplier and a shift in -31..30
// (gemmlowp's quantized multiplier; Jacob et al. 2018, arXiv 1712.05877, section 2.2).
//
// The core rounds twice where shift is negative: after the multiplication, and after the right shift. With -1 that puts a quarter of an
// output step wrong way up (0.26 becomes 0.5 becomes 1), which 8-bit models with their tiny factors never see and 1- to 4-bit ones do.
// `requantizer` therefore leaves the multiplier unnormalised (shift 0, one rounding) wherever that is the more exact.
export interface Multiplier {
  /** int32 */
  readonly multiplier: number
  /** -31..30; above 0: to the left, before the multiplication. */
  readonly shift: number
}

/**
 * The closest multiplier, |multiplier| in [2^30, 2^31): relative error at most 2^-31, for |real| from 2^-32 on (below, absolute 2^-63).
 * @throws RangeError when real is no number or its size is 2^30 or more.
 */
export function fixedPoint(real: number): Multiplier {
  if (!(Math.abs(real) < 2 ** 30)) throw new RangeError(`a factor of ${real} has no fixed-point form: its size must be below 2^30`)
  if (real === 0) return { multiplier: 0, shift: 0 }
  let shift = Math.max(-31, Math.floor(Math.log2(Math.abs(real))) + 1)
  let multiplier = Math.round(real * 2 ** (31 - shift))
  if (Math.abs(multiplier) >= 2 ** 31) {
    shift++
    multiplier = Math.round(real * 2 ** (31 - shift))
  }
  return { multiplier, shift }
}

/** The multiplier with the least error for whole numbers whose products lie within +-reach. */
export function requantizer(real: number, reach: number): Multiplier {
  const normalized = fixedPoint(real)
  if (normalized.shift >= 0) return normalized
  const ofTwoRoundings = 2 ** (normalized.shift - 1)
  const ofLessPrecision = Math.min(2 ** 31, reach / Math.abs(real)) * 2 ** -32
  return ofLessPrecision < ofTwoRoundings ? { multiplier: Math.round(real * 2 ** 31), shift: 0 } : normalized
}

/** The real factor. */
export function realFactor({ multiplier, shift }: Multiplier): number {
  return multiplier * 2 ** (shift - 31)
}
