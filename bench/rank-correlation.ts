// How far two orders agree.

/** Kendall's tau-b: pairs in the same order less those in the other, ties in either left out of its own norm. */
export function kendallTau(a: readonly number[], b: readonly number[]): number {
  let [agreement, untiedA, untiedB] = [0, 0, 0]
  for (let i = 0; i < a.length; i++) {
    for (let j = i + 1; j < a.length; j++) {
      const [x, y] = [Math.sign(a[i] - a[j]), Math.sign(b[i] - b[j])]
      agreement += x * y
      untiedA += x * x
      untiedB += y * y
    }
  }
  return agreement / Math.sqrt(untiedA * untiedB)
}

/** `count` members at equal steps of a measure's order, the ends included. */
export function spread<T>(members: readonly T[], measure: (member: T) => number, count: number): T[] {
  const ordered = members.toSorted((a, b) => measure(a) - measure(b))
  if (ordered.length <= count) return ordered
  return Array.from({ length: count }, (_, i) => ordered[Math.round((i * (ordered.length - 1)) / Math.max(1, count - 1))])
}
