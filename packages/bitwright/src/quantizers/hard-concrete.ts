// Hard-concrete gates (Louizos, Welling, Kingma, "Learning sparse neural networks through L0 regularization", arXiv 1712.01312, section 2.2):
// z = clamp(s (zeta - gamma) + gamma, 0, 1), s = sigmoid((log u - log(1 - u) + log alpha) / beta), u uniform. Shut and wide open both have
// mass, so that a gate can be decided, and in between it has a gradient.
const [beta, gamma, zeta] = [2 / 3, -0.1, 1.1]

/** log alpha at the start: open with a probability of 0.99. */
export const openLogit = 3

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x))

export interface GateSample {
  /** 0..1 */
  readonly value: number
  /** d value / d log alpha. */
  readonly slope: number
}

/** @param uniform in (0, 1) */
export function sampleGate(logAlpha: number, uniform: number): GateSample {
  const s = sigmoid((Math.log(uniform) - Math.log(1 - uniform) + logAlpha) / beta)
  const stretched = s * (zeta - gamma) + gamma
  if (stretched <= 0) return { value: 0, slope: 0 }
  if (stretched >= 1) return { value: 1, slope: 0 }
  return { value: stretched, slope: ((zeta - gamma) * s * (1 - s)) / beta }
}

/** What a gate is once nothing is drawn any more (section 2.2, equation 13). */
export function settledGate(logAlpha: number): number {
  return Math.min(1, Math.max(0, sigmoid(logAlpha) * (zeta - gamma) + gamma))
}

/** Probability that the gate is not shut. */
export function openProbability(logAlpha: number): number {
  return sigmoid(logAlpha - beta * Math.log(-gamma / zeta))
}

/** d openProbability / d log alpha. */
export function openSlope(logAlpha: number): number {
  const open = openProbability(logAlpha)
  return open * (1 - open)
}

/** Whether the gate is decided to be open. */
export function isOpen(logAlpha: number): boolean {
  return openProbability(logAlpha) >= 0.5
}
