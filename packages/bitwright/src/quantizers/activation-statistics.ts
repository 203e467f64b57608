// What an activation looked like on calibration batches: magnitudes in a histogram of fixed size whose range doubles when a value falls
// outside, so that it needs no second pass and nothing that grows with the data.
import { mseOptimalStep, powerOfTwoStep } from './uniform.ts'

const bins = 2048

export class ActivationStatistics {
  private readonly counts = new Float64Array(bins)
  private width = 2 ** -20 / bins
  private seen = 0
  private sum = 0
  private largest = 0

  /**
   * Adds the values of one batch.
   * @throws RangeError on a value that is not finite.
   */
  observe(values: ArrayLike<number>): void {
    for (let i = 0; i < values.length; i++) {
      const magnitude = Math.abs(values[i])
      if (!Number.isFinite(magnitude)) throw new RangeError(`activation statistics: value ${i} is ${values[i]}`)
      while (magnitude >= this.width * bins) this.double()
      this.counts[Math.floor(magnitude / this.width)]++
      this.sum += magnitude
      if (magnitude > this.largest) this.largest = magnitude
    }
    this.seen += values.length
  }

  private double(): void {
    for (let bin = 0; bin < bins; bin++) this.counts[bin] = 2 * bin < bins ? this.counts[2 * bin] + this.counts[2 * bin + 1] : 0
    this.width *= 2
  }

  maxAbs(): number {
    return this.largest
  }
  meanAbs(): number {
    return this.seen === 0 ? 0 : this.sum / this.seen
  }
  /** Step of the grid step * {0..limit} with the least squared error over the magnitudes seen. */
  optimalStep(limit: number): number {
    return mseOptimalStep(this.centres(), limit, this.counts)
  }
  /** The better of the two powers of two around it. */
  powerOfTwoStep(limit: number): number {
    return powerOfTwoStep(this.centres(), limit, this.counts)
  }

  private centres(): Float64Array {
    return Float64Array.from({ length: bins }, (_, bin) => (bin + 0.5) * this.width)
  }
}
