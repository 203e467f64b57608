// Penalties on widths, with their gradients for `penaltyGradient`.

export interface WidthItem {
  readonly bits: number
  /** Weights of the tensor, or activations per clip. */
  readonly count: number
}
export interface Penalty {
  readonly value: number
  /** dValue / dBits, in item order. */
  readonly dBits: readonly number[]
}

/** Average bits over all numbers. */
export function averageBits(items: readonly WidthItem[]): number {
  const count = items.reduce((sum, item) => sum + item.count, 0)
  return items.reduce((sum, item) => sum + item.bits * item.count, 0) / count
}

/**
 * strength * max(0, average bits - target) (arXiv 2104.06666 with target 0: 0.04 for weights and for activations, each with its own
 * average). With a target, the widths share out what it allows instead of falling as far as the strength can press them.
 */
export function averageBitsPenalty(items: readonly WidthItem[], strength: number, target = 0): Penalty {
  const count = items.reduce((sum, item) => sum + item.count, 0)
  const excess = Math.max(0, averageBits(items) - target)
  return { value: strength * excess, dBits: items.map((item) => (excess > 0 ? (strength * item.count) / count : 0)) }
}

/**
 * strength * max(0, size - target)^2 in kilobytes of 1024 bytes (arXiv 1905.11452, section 4, strength 0.1). The size is the sum over
 * items, or with `reduce: 'max'` the largest (activations that do not live at the same time). Default: 'sum'.
 */
export function sizePenalty(items: readonly WidthItem[], targetBytes: number, strength: number, reduce: 'sum' | 'max' = 'sum'): Penalty {
  const bytes = items.map(({ bits, count }) => (bits * count) / 8)
  const largest = bytes.indexOf(Math.max(...bytes))
  const size = reduce === 'sum' ? bytes.reduce((sum, value) => sum + value, 0) : bytes[largest]
  const excess = Math.max(0, size - targetBytes) / 1024
  const slope = (item: WidthItem, index: number): number =>
    reduce === 'max' && index !== largest ? 0 : (2 * strength * excess * item.count) / 8 / 1024
  return { value: strength * excess ** 2, dBits: items.map(slope) }
}
