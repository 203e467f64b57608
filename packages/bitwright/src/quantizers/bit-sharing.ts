// Bit sharing: one tensor of latent weights, or one activation, seen at several widths, one of them at a time. What a sampled path of a
// supernet needs: `select` the width, then everything is as with any quantizer.
import { UsageError } from '../errors.ts'
import { ActivationQuantizer } from './activation-quantizer.ts'
import { checkBits, checkWeightBits, UniformWeightQuantizer } from './uniform.ts'
import type { Granularity, WeightQuantizer } from './weight-quantizer.ts'

export interface BitSharingOptions {
  /** Ascending. */
  readonly widths: readonly number[]
  readonly granularity: Granularity
}

export interface BitSharingQuantizer extends WeightQuantizer {
  /** Ascending. */
  readonly widths: readonly number[]
  /** @throws UsageError on a width that is not one of `widths`. */
  select(bits: number): void
  /** A quantizer of a tensor with fewer channels that learns the same numbers: those of the first channels. It selects for itself. */
  slice(size: number, channels: number): BitSharingQuantizer
}

function checkWidths(name: string, widths: readonly number[], check: (bits: number) => void, known?: readonly number[]): void {
  if (widths.length === 0 || widths.some((bits, i) => i > 0 && bits <= widths[i - 1]))
    throw new UsageError(`${name}: widths must rise, got [${widths}]`)
  for (const bits of widths) {
    check(bits)
    if (known && !known.includes(bits)) throw new UsageError(`${name}: widths are some of ${known.join(', ')}, got ${bits}`)
  }
}

function checkSelected(name: string, widths: readonly number[], bits: number): void {
  if (!widths.includes(bits)) throw new UsageError(`${name}: ${bits} bits are not among the shared widths ${widths.join(', ')}`)
}

/** Significant bits of a scale of nested grids: times an integer of 8 bits it is exact in float32, so that grids nest bit for bit. */
const coarseBits = 16

/** The nearest number of 16 significant bits. */
export function coarse(value: number): number {
  const unit = 2 ** (Math.floor(Math.log2(value)) + 1 - coarseBits)
  return Math.round(value / unit) * unit
}

/** exp of the mean logarithm. */
export function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length)
}

export abstract class BitSharingWeights extends UniformWeightQuantizer implements BitSharingQuantizer {
  readonly widths: readonly number[]
  private readonly name: string
  private selected: number

  /** `known`: the widths there are grids for. The widest is selected. */
  constructor(name: string, size: number, channels: number, { widths, granularity }: BitSharingOptions, known?: readonly number[]) {
    checkWidths(name, widths, (bits) => checkWeightBits(name, bits, 1), known)
    super(name, 1, size, channels, { bits: widths.at(-1)!, granularity })
    this.name = name
    this.widths = widths
    this.selected = widths.at(-1)!
  }

  abstract slice(size: number, channels: number): BitSharingQuantizer

  select(bits: number): void {
    checkSelected(this.name, this.widths, bits)
    this.selected = bits
  }
  bits(): number {
    return this.selected
  }
}

export interface BitSharingActivationOptions {
  /** Ascending. */
  readonly widths: readonly number[]
  /** Whether the value can be negative. */
  readonly signed: boolean
  /** Values per clip. */
  readonly elements: number
}

export abstract class BitSharingActivation extends ActivationQuantizer {
  readonly widths: readonly number[]
  private readonly name: string
  private selected: number

  /** `known`: the widths there are grids for. The widest is selected. */
  constructor(name: string, { widths, signed, elements }: BitSharingActivationOptions, known?: readonly number[]) {
    checkWidths(`${name}, activation`, widths, (bits) => checkBits(name, bits, 2), known)
    super(name, { bits: widths.at(-1)!, signed, elements })
    this.name = name
    this.widths = widths
    this.selected = widths.at(-1)!
  }

  /** @throws UsageError on a width that is not one of `widths`. */
  select(bits: number): void {
    checkSelected(this.name, this.widths, bits)
    this.selected = bits
  }
  bits(): number {
    return this.selected
  }
}
