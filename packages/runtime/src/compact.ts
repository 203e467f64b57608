// Compact parameters (docs/bw-format.md): four bytes for each output channel of a convolution, 17 bits of scale and 15 of bias. What the model
// holds and computes with is their wide form, which core/parameters.h makes of them in the same way.

/** What the channels of a layer share. */
export interface CompactForm {
  /** The last bit of a scale with exponent 0 is worth 2^scaleExponent; -62..2. */
  readonly scaleExponent: number
  /** A bias's last bit is worth 2^(biasExponent - 1) to 2^biasExponent of the output's steps, or a whole unit of the sums if that is more; -128..127. */
  readonly biasExponent: number
}

export interface ChannelParameters {
  readonly bias: number
  readonly multiplier: number
  readonly shift: number
}

/** A channel's parameters in the file. */
export interface CompactCode {
  /** 13 bits of fraction, then 4 of exponent. */
  readonly scale: number
  /** 15 bits, signed. */
  readonly bias: number
}

export const scaleExponents = [-62, 2] as const
export const biasExponents = [-128, 127] as const
export const fractionBits = 13
export const largestScale = 2 ** (fractionBits + 4) - 1
export const largestBias = 2 ** 14 - 1
export const mostBiasShift = 17

/** How far a bias lies to the left in a channel whose scale is in [2^(exponent - 1), 2^exponent). */
export function biasShift(biasExponent: number, exponent: number): number {
  return Math.max(0, Math.min(mostBiasShift, biasExponent - exponent))
}

/** With which the largest scales have this shift. */
export function scaleExponentOf(shift: number): number {
  return shift - 15 - fractionBits
}

/** The wide form. */
export function expandChannel({ scaleExponent, biasExponent }: CompactForm, code: CompactCode): ChannelParameters {
  const [high, low] = [Math.floor(code.scale / 2 ** fractionBits), code.scale % 2 ** fractionBits]
  const fraction = high > 0 ? 2 ** fractionBits + low : low
  const length = fraction === 0 ? fractionBits + 1 : Math.floor(Math.log2(fraction)) + 1
  const exponent = scaleExponent + Math.max(high, 1) - 1 + length // the scale is in [2^(exponent - 1), 2^exponent)
  const bias = code.bias * 2 ** biasShift(biasExponent, exponent)
  const multiplier = fraction * 2 ** (31 - length)
  // rounded once, not twice, where the second rounding would be of few bits
  if (exponent < 0 && exponent > -6) return { bias, multiplier: multiplier * 2 ** exponent, shift: 0 }
  if (exponent < -31) return { bias, multiplier: Math.floor(multiplier * 2 ** (exponent + 31)), shift: -31 }
  return { bias, multiplier, shift: exponent }
}

/** The code that expands to these parameters; undefined where there is none. */
export function compactChannel(form: CompactForm, { bias, multiplier, shift }: ChannelParameters): CompactCode | undefined {
  if (multiplier < 0) return undefined
  const length = 32 - Math.clz32(multiplier)
  const exponent = multiplier === 0 ? form.scaleExponent + fractionBits + 1 : shift - 31 + length
  const high = Math.max(0, exponent - form.scaleExponent - fractionBits)
  const fraction = multiplier * 2 ** (shift - 31 - form.scaleExponent - Math.max(high, 1) + 1)
  const scale = high === 0 ? fraction : high * 2 ** fractionBits + fraction - 2 ** fractionBits
  const code = { scale: multiplier === 0 ? 0 : scale, bias: bias / 2 ** biasShift(form.biasExponent, exponent) }
  if (!Number.isInteger(code.scale) || code.scale < 0 || code.scale > largestScale) return undefined
  if (!Number.isInteger(code.bias) || Math.abs(code.bias + 0.5) > largestBias + 0.5) return undefined
  const expanded = expandChannel(form, code)
  return expanded.bias === bias && expanded.multiplier === multiplier && expanded.shift === shift ? code : undefined
}
