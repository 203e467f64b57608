// Bit sharing by additive residuals (Bayesian Bits, van Baalen et al., arXiv 2005.07093, section 2; "single-path bit sharing", arXiv
// 2101.04935): x2 = q2(x), x4 = x2 + s4 round((x - x2) / s4), x8 = x4 + s8 round((x - x4) / s8). Every grid contains the narrower one, so that x4
// and x8 are simply the nearest of their grids, and one learned step a tensor or channel moves all of them.
//
// Ours are the grids, with the house's odd numbers at 2 bits: {-3, -1, 1, 3} h; -7..7 steps of h; -127..127 steps of h / 12, which hold what lies far
// out. On normal weights h = 0.42 deviations then leaves an error of 0.125, 0.015 and 0.0001 of the variance, where steps of their own leave 0.116, 0.012
// and 0.0001. Steps of h / 2 at 4 bits are no better (0.125 and 0.016), since they reach no further than 3.5 h.
//
// With gates (arXiv 2005.07093, section 2) a residual counts as far as its hard-concrete gate is open, and so does, for each output
// channel, the 2-bit number itself: a channel whose gate is shut is pruned, all its weights are zero.
import { type BitSharingOptions, BitSharingWeights, coarse, geometricMean } from './bit-sharing.ts'
import { type GateSample, isOpen, openLogit, openProbability, openSlope, sampleGate } from './hard-concrete.ts'
import { areOdd, mseOptimalStep, ParameterGroup, quantize, smallestScale, weightLimit } from './uniform.ts'
import type { IntegerWeights } from './weight-quantizer.ts'

export const nestedWidths: readonly number[] = [2, 4, 8]

/** Steps of the 8-bit grid in a step of each width; h is the 2-bit one. */
const finestSteps = { 2: 12, 4: 12, 8: 1 } as const
const ratio = (bits: number): number => finestSteps[bits as 2 | 4 | 8]

/** Steps of gates are this many learning rates long: they have a few hundred to shut. */
const gateRate = 30

const drawn = ({ values }: ParameterGroup, uniform: () => number): GateSample[] =>
  Array.from(values, (logAlpha) => sampleGate(logAlpha, uniform()))

export interface NestedBitsOptions extends BitSharingOptions {
  /** Whether output channels and widths have gates; default false. */
  readonly gated?: boolean
}

interface Sample {
  readonly channels: readonly GateSample[]
  /** Of each width but the narrowest. */
  readonly widths: readonly GateSample[]
}

export class NestedBits extends BitSharingWeights {
  readonly gated: boolean
  private readonly options: NestedBitsOptions
  /** h. */
  private readonly step: ParameterGroup
  private readonly channelGates: ParameterGroup
  private readonly widthGates: ParameterGroup
  private readonly groupsOfParameters: readonly ParameterGroup[]
  private sample?: Sample

  /** Widths 2, 4, 8 or some of them. `of`: what learns the same numbers for more channels. */
  constructor(size: number, channels: number, options: NestedBitsOptions, of?: NestedBits) {
    super('nested bits', size, channels, options, nestedWidths)
    this.options = options
    this.gated = options.gated ?? false
    this.step = new ParameterGroup(this.groups, of?.step)
    this.channelGates = new ParameterGroup(channels, of?.channelGates)
    this.widthGates = new ParameterGroup(this.widths.length - 1, of?.widthGates)
    if (!of) {
      this.step.values.fill(1)
      for (const gates of [this.channelGates, this.widthGates]) {
        gates.values.fill(openLogit)
        gates.learningRateScale = gateRate
      }
    }
    this.groupsOfParameters = this.gated ? [this.step, this.channelGates, this.widthGates] : [this.step]
  }

  /** `gated`: default as this one. */
  slice(size: number, channels: number, gated = this.gated): NestedBits {
    const slice = new NestedBits(size, channels, { ...this.options, gated }, this)
    slice.select(this.bits())
    return slice
  }

  /** At the mean of the steps of least squared error of the two narrowest widths; 8 bits hardly mind. */
  initialize(weights: Float32Array): void {
    this.step.set(
      Float32Array.from({ length: this.groups }, (_, group) => {
        const magnitudes = this.magnitudesOf(weights, group)
        const steps = this.widths.slice(0, 2).map((bits) => {
          const optimal = mseOptimalStep(magnitudes, weightLimit(bits), undefined, areOdd(bits))
          return (optimal * ratio(2)) / ratio(bits)
        })
        return geometricMean(steps)
      }),
    )
  }

  override parameters(): readonly ParameterGroup[] {
    return this.groupsOfParameters
  }
  override constrain(): void {
    const { values } = this.step
    for (let i = 0; i < values.length; i++) values[i] = Math.max(smallestScale, values[i])
  }
  protected scales(): Float32Array {
    return this.scalesAt(this.bits())
  }
  private scalesAt(bits: number): Float32Array {
    return this.step.values.map((h) => coarse(h / ratio(2)) * ratio(bits))
  }

  // --- gates

  override select(bits: number): void {
    super.select(bits)
    this.sample = undefined
  }
  /** Until the next `select`, gates are sampled: values between the grids are seen too. @param uniform draws from (0, 1) */
  draw(uniform: () => number): void {
    this.sample = { channels: drawn(this.channelGates, uniform), widths: drawn(this.widthGates, uniform) }
  }
  /** The same at the selected width: only channels' gates are sampled. */
  drawChannels(uniform: () => number): void {
    const widths = this.widths.slice(1).map((bits) => ({ value: bits <= this.bits() ? 1 : 0, slope: 0 }))
    this.sample = { channels: drawn(this.channelGates, uniform), widths }
  }
  /** The width that the gates have decided for: as far as they are open one after another. */
  decidedBits(): number {
    const shut = this.widthGates.values.findIndex((logAlpha) => !isOpen(logAlpha))
    return this.widths[shut < 0 ? this.widths.length - 1 : shut]
  }
  /** Whether the gates have decided against a channel; then its weights are zero. */
  isPruned(channel: number): boolean {
    return this.gated && !isOpen(this.channelGates.values[channel])
  }
  /** Bits of a weight that the gates let through, in the mean. */
  expectedBits(): number {
    const { channels } = this
    return this.channelGates.values.reduce((sum, logAlpha) => sum + openProbability(logAlpha), 0) * (this.expectedWidth(0) / channels)
  }
  /** Bits above width `from` - 1, given that its gate is open. */
  private expectedWidth(from: number): number {
    const { widths } = this
    const own = widths[from] - (widths[from - 1] ?? 0)
    return from === widths.length - 1 ? own : own + openProbability(this.widthGates.values[from]) * this.expectedWidth(from + 1)
  }
  /** On `expectedBits`. */
  override penaltyGradient(dBits: number): void {
    if (!this.gated) return
    const width = this.expectedWidth(0)
    const { values, gradients } = this.channelGates
    values.forEach((logAlpha, c) => (gradients[c] += (dBits * openSlope(logAlpha) * width) / this.channels))
    let open = values.reduce((sum, logAlpha) => sum + openProbability(logAlpha), 0) / this.channels
    this.widthGates.values.forEach((logAlpha, i) => {
      this.widthGates.gradients[i] += dBits * open * openSlope(logAlpha) * this.expectedWidth(i + 1)
      open *= openProbability(logAlpha)
    })
  }

  /** On the expected bits of a weight at the selected width, for the channels' gates alone. */
  channelPenaltyGradient(dBits: number): void {
    const { values, gradients } = this.channelGates
    values.forEach((logAlpha, c) => (gradients[c] += (dBits * openSlope(logAlpha) * this.bits()) / this.channels))
  }

  // --- passes

  override forward(weights: Float32Array, out: Float32Array): void {
    if (this.sample) return this.sampledForward(weights, out, this.sample)
    super.forward(weights, out)
    if (!this.gated) return
    for (let c = 0; c < this.channels; c++) if (this.isPruned(c)) for (let i = c; i < this.size; i += this.channels) out[i] = 0
  }

  /**
   * A pruned channel of odd integers, none of which is zero, has a scale of zero.
   * @throws Error where it shares the scale with others: it must be dropped from the network first
   */
  override toIntegers(weights: Float32Array): IntegerWeights {
    const integers = super.toIntegers(weights)
    for (let c = 0; c < this.channels; c++) {
      if (!this.isPruned(c)) continue
      if (integers.isOdd) {
        if (this.groups === 1) throw new Error(`channel ${c} is pruned, which odd weights cannot say; drop it (withoutPrunedChannels)`)
        integers.scale[c] = 0
        continue
      }
      for (let i = c; i < this.size; i += this.channels) integers.values[i] = 0
    }
    return integers
  }

  backward(weights: Float32Array, dOut: Float32Array, dWeights: Float32Array): void {
    if (this.sample) return this.sampledBackward(weights, dOut, dWeights, this.sample)
    const sums = new Float64Array(this.groups)
    const pruned = Array.from({ length: this.channels }, (_, c) => this.isPruned(c))
    const grid = this.gridAt(this.bits())
    for (let i = 0; i < this.size; i++) {
      if (pruned[i % this.channels]) continue
      const { inside, dStep } = grid(weights[i], i % this.groups)
      if (inside) dWeights[i] += dOut[i]
      sums[i % this.groups] += dOut[i] * dStep
    }
    for (let group = 0; group < this.groups; group++) this.step.gradients[group] += sums[group]
  }

  /** A weight at a width: its value, whether a gradient goes straight through, and d value / d h. */
  private gridAt(bits: number): (weight: number, group: number) => { value: number; inside: boolean; dStep: number } {
    const scales = this.scalesAt(bits)
    const [limit, isOdd] = [weightLimit(bits), areOdd(bits)]
    const perStep = ratio(bits) / ratio(2)
    return (weight, group) => {
      const exact = weight / scales[group]
      const integer = quantize(weight, scales[group], limit, isOdd)
      const inside = Math.abs(exact) <= limit
      return { value: scales[group] * integer, inside, dStep: perStep * (inside ? integer - exact : Math.sign(exact) * limit) }
    }
  }

  /** How much of each width's value is seen where the channel's gate is open: z4 (1 - z8) of x4. */
  private shares({ widths }: Sample): number[] {
    let open = 1
    return this.widths.map((_, i) => {
      const next = widths[i]?.value ?? 0
      const share = open * (1 - next)
      open *= next
      return share
    })
  }

  private sampledForward(weights: Float32Array, out: Float32Array, sample: Sample): void {
    const shares = this.shares(sample)
    const grids = this.widths.map((bits) => this.gridAt(bits))
    for (let i = 0; i < this.size; i++) {
      const weight = weights[i]
      const mixed = grids.reduce((sum, grid, b) => sum + shares[b] * grid(weight, i % this.groups).value, 0)
      out[i] = sample.channels[i % this.channels].value * mixed
    }
  }

  private sampledBackward(weights: Float32Array, dOut: Float32Array, dWeights: Float32Array, sample: Sample): void {
    const shares = this.shares(sample)
    const grids = this.widths.map((bits) => this.gridAt(bits))
    const dShares = shares.map(() => 0)
    for (let i = 0; i < this.size; i++) {
      const channel = i % this.channels
      const gate = sample.channels[channel]
      let mixed = 0
      for (const [b, grid] of grids.entries()) {
        const { value, inside, dStep } = grid(weights[i], i % this.groups)
        const d = gate.value * dOut[i]
        if (inside) dWeights[i] += shares[b] * d
        this.step.gradients[i % this.groups] += shares[b] * d * dStep
        dShares[b] += d * value
        mixed += shares[b] * value
      }
      this.channelGates.gradients[channel] += gate.slope * dOut[i] * mixed
    }
    // the share of width b is the product of the gates up to it, times 1 - the next
    sample.widths.forEach(({ slope }, gate) => {
      let open = 1
      let d = 0
      this.widths.forEach((_, b) => {
        const next = sample.widths[b]?.value ?? 0
        if (b === gate) d -= open * dShares[b]
        if (b > gate) d += open * (1 - next) * dShares[b]
        if (b !== gate) open *= next
      })
      this.widthGates.gradients[gate] += slope * d
    })
  }
}
