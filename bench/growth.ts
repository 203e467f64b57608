// Growth laws from measured points: y = factor * x ^ exponent, by least squares on the logarithms.

export interface GrowthLaw {
  readonly factor: number
  readonly exponent: number
}

/** Needs two different x; all numbers above 0. */
export function growthLaw(points: readonly (readonly [number, number])[]): GrowthLaw {
  const logs = points.map(([x, y]) => [Math.log(x), Math.log(y)] as const)
  const [meanX, meanY] = [0, 1].map((axis) => logs.reduce((sum, log) => sum + log[axis], 0) / logs.length)
  const covariance = logs.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0)
  const variance = logs.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0)
  const exponent = variance > 0 ? covariance / variance : Number.NaN
  return { factor: Math.exp(meanY - exponent * meanX), exponent }
}
