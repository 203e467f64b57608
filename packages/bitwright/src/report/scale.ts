// Axes of the charts: linear scales and round tick values.

export type Domain = readonly [number, number]
export interface Scale {
  (value: number): number
  readonly domain: Domain
}

export function linearScale(domain: Domain, range: Domain): Scale {
  const [low, high] = domain
  const slope = high === low ? 0 : (range[1] - range[0]) / (high - low)
  return Object.assign((value: number) => range[0] + (value - low) * slope, { domain })
}

/** Round values (1, 2, 2.5 or 5 times a power of ten apart) inside the domain, about `count` of them. */
export function ticks([low, high]: Domain, count: number): number[] {
  if (!(high > low)) return [low]
  const rough = (high - low) / Math.max(1, count)
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = ([1, 2, 2.5, 5].find((factor) => factor * power >= rough * 0.999) ?? 10) * power
  const first = Math.ceil(low / step - 1e-9)
  const last = Math.floor(high / step + 1e-9)
  return Array.from({ length: last - first + 1 }, (_, index) => Number(((first + index) * step).toPrecision(12)))
}

/** The domain of finite values with a margin on both sides; `floor` and `ceiling` are never passed. */
export function paddedDomain(values: readonly number[], margin: number, floor = -Infinity, ceiling = Infinity): Domain {
  const finite = values.filter(Number.isFinite)
  if (finite.length === 0) return [0, 1]
  const low = Math.min(...finite)
  const high = Math.max(...finite)
  const room = (high - low || Math.abs(high) || 1) * margin
  return [Math.max(floor, low - room), Math.min(ceiling, high + room)]
}
