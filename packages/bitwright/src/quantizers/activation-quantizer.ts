// The TypeScript side of activation fake-quantization: the kernels do the rounding, this owns the parameters. A kernel computes
// s * clamp(round(v / s), qmin, qmax) from the slot [s, 1/s, qmin, qmax] and, going backward with the gradient g of its output, sums
//   inside = sum of (round(v/s) - v/s) * g over qmin <= v/s <= qmax,  low = sum of g over v/s < qmin,  high = sum of g over v/s > qmax,
// so that dLoss/ds at fixed limits = inside + qmin * low + qmax * high (straight through the rounding).
//
// Limits: unsigned 0 .. 2^b - 1; signed -2^(b-1) .. 2^(b-1) - 1, at least 2 bits. All levels are used: the one that a symmetric grid would
// leave out is a quarter of them at 2 bits.
// Life of one: `initialize` from calibration batches; per step `writeSlot`, the kernels, `backward` once, possibly `penaltyGradient`, the
// optimiser on `parameters()`, `constrain`.
import { checkBits, parametersState, restoreParameters, type ParameterGroup } from './uniform.ts'
import type { ActivationStatistics } from './activation-statistics.ts'

export interface ActivationQuantizerOptions {
  /** Width; where it is learned, the width at the start. 1 to 8 unsigned, 2 to 8 signed. */
  readonly bits: number
  /** Whether the value can be negative. */
  readonly signed: boolean
  /** Values per clip. */
  readonly elements: number
}

export interface Grid {
  readonly scale: number
  readonly minimum: number
  readonly maximum: number
}

/** 2^b - 1 unsigned, 2^(b-1) - 1 signed. */
export function largestInteger(bits: number, signed: boolean): number {
  return 2 ** (signed ? bits - 1 : bits) - 1
}

export abstract class ActivationQuantizer {
  readonly signed: boolean
  readonly elements: number
  protected readonly initialBits: number

  /** @throws UsageError when bits are out of range. */
  constructor(name: string, { bits, signed, elements }: ActivationQuantizerOptions) {
    checkBits(`${name}, ${signed ? 'signed' : 'unsigned'} activation`, bits, signed ? 2 : 1)
    this.signed = signed
    this.elements = elements
    this.initialBits = bits
  }

  abstract initialize(statistics: ActivationStatistics): void
  /** Width of the integers as they are now. */
  abstract bits(): number
  abstract parameters(): readonly ParameterGroup[]
  /** Accumulates into the gradients of `parameters()` from the kernel's three sums over the batch. */
  abstract backward(inside: number, low: number, high: number): void
  /** Pulls the learned parameters back into their range; after every optimiser step. */
  abstract constrain(): void
  protected abstract scale(): number
  /** Learned numbers that grow with the values that are rounded: steps and ranges. */
  protected scales(): readonly ParameterGroup[] {
    return this.parameters()
  }
  /** Stretches the grid, at its width. */
  rescale(factor: number): void {
    for (const { values } of this.scales()) for (let i = 0; i < values.length; i++) values[i] *= factor
    this.constrain()
  }

  /** Accumulates the gradient of a penalty on `bits()`; nothing happens where bits are fixed. */
  penaltyGradient(_dBits: number): void {}

  /** Largest integer. */
  protected limit(): number {
    return largestInteger(this.bits(), this.signed)
  }

  /** Scale (float32) and integer limits in use. */
  grid(): Grid {
    const maximum = this.limit()
    return { scale: Math.fround(this.scale()), minimum: this.signed ? -maximum - 1 : 0, maximum }
  }

  /** Writes [s, 1/s, qmin, qmax] at `offset`. */
  writeSlot(slot: Float32Array, offset = 0): void {
    const { scale, minimum, maximum } = this.grid()
    slot.set([scale, 1 / scale, minimum, maximum], offset)
  }

  /** Bits of the value for one clip. */
  sizeBits(): number {
    return this.bits() * this.elements
  }
  /** Everything `restore` needs to go on with the same bits; a copy. */
  state(): Float32Array {
    return parametersState(this.parameters())
  }
  restore(state: Float32Array): void {
    restoreParameters(this.parameters(), state)
  }
}
