// SincConv's filters as the device makes them: 8-bit taps from two 16-bit cut-offs a filter, whatever the widths of the other layers
// (runtime/sinc-filter.ts). The forward pass sees those very taps; gradients go straight through the rounding of cut-offs and taps.
import { cutoffsPerRate, sincFilters, sincTapUnit } from '@bitwright/runtime'
import type { IntegerWeights, WeightQuantizer } from './weight-quantizer.ts'

/** A band's edges in Hz, as training has them: from 50 + |lowHz| on, 50 + |bandHz| wide (kernels/sinc.c). */
export interface Bands {
  readonly lowHz: Float32Array
  readonly bandHz: Float32Array
}

/** Two whole numbers a filter, in 2^-16 of the sample rate, at most half of it: [channels][low, high]. */
export function cutoffsOf({ lowHz, bandHz }: Bands, sampleRate: number): Uint16Array {
  const cutoffs = new Uint16Array(2 * lowHz.length)
  const whole = (hz: number) => Math.min(cutoffsPerRate / 2, Math.round((hz / sampleRate) * cutoffsPerRate))
  lowHz.forEach((low, c) => {
    const from = 50 + Math.abs(low)
    cutoffs[2 * c] = whole(from)
    cutoffs[2 * c + 1] = whole(from + 50 + Math.abs(bandHz[c]))
  })
  return cutoffs
}

const scale = Math.fround(1 / sincTapUnit)

export class MadeFilters implements WeightQuantizer {
  readonly size: number
  readonly channels: number
  private readonly sampleRate: number
  private readonly bands: () => Bands

  /** `bands` is asked for the edges as they are now, in every pass. */
  constructor(taps: number, channels: number, sampleRate: number, bands: () => Bands) {
    this.size = taps * channels
    this.channels = channels
    this.sampleRate = sampleRate
    this.bands = bands
  }

  cutoffs(): Uint16Array {
    return cutoffsOf(this.bands(), this.sampleRate)
  }

  initialize(_weights: Float32Array): void {}

  forward(_weights: Float32Array, out: Float32Array): void {
    const { values } = this.toIntegers()
    for (let i = 0; i < values.length; i++) out[i] = scale * values[i]
  }

  backward(_weights: Float32Array, dOut: Float32Array, dWeights: Float32Array): void {
    for (let i = 0; i < dOut.length; i++) dWeights[i] += dOut[i]
  }

  toIntegers(): IntegerWeights {
    const { channels } = this
    const taps = this.size / channels
    const rows = sincFilters(this.cutoffs(), taps)
    const values = new Int8Array(this.size)
    for (let c = 0; c < channels; c++) for (let tap = 0; tap < taps; tap++) values[tap * channels + c] = rows[c * taps + tap]
    return { values, scale: Float32Array.of(scale), isOdd: false }
  }

  bits(): number {
    return 8
  }
  /** Two cut-offs of 16 bits a filter. */
  sizeBits(): number {
    return 32 * this.channels
  }
  penaltyGradient(_dBits: number): void {}
  parameters(): readonly [] {
    return []
  }
  constrain(): void {}
  state(): Float32Array {
    return new Float32Array(0)
  }
  restore(_state: Float32Array): void {}
}
