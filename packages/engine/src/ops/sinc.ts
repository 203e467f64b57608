// The learned band-pass filters of a raw-audio layer (kernels/sinc.c): two numbers per filter become a weight tensor.
import { float, none } from '../commands.ts'
import type { Tape, WeightReference } from '../tape.ts'

export interface SincParameters {
  /** Heap offsets of the lower cut-offs and band widths in Hz (see kernels/sinc.c) and of their gradients. */
  readonly low: number
  readonly band: number
  readonly lowGradient: number
  readonly bandGradient: number
}

/** Filters [taps][1][1][channels], made anew in every run; their gradient flows back into the two numbers per filter. */
export function sincFilters(tape: Tape, parameters: SincParameters, channels: number, taps: number, sampleRate: number): WeightReference {
  const offset = tape.allocate(taps * channels)
  const wanted = tape.training && parameters.lowGradient !== none
  const gradient = wanted ? tape.allocate(taps * channels) : none
  const common = [parameters.low, parameters.band, channels, taps, float(sampleRate)]
  tape.emit('generate', 'sinc', [...common, offset])
  if (wanted) tape.emit('finish', 'sincBackward', [...common, gradient, parameters.lowGradient, parameters.bandGradient])
  return { offset, gradient }
}
