// Gradients of gates by central differences.

/** dValue / dAlpha of every option; `value` reads `alpha`. */
export function differences(alpha: readonly Float64Array[], value: () => number): number[][] {
  const step = 1e-5
  return alpha.map((row) =>
    Array.from(row, (was, i) => {
      row[i] = was + step
      const above = value()
      row[i] = was - step
      const below = value()
      row[i] = was
      return (above - below) / (2 * step)
    }),
  )
}
