// Where the time of a step goes: methods are wrapped for as long as they are watched, and each one's time is counted without that of the
// wrapped methods it calls.

export class Breakdown {
  /** Milliseconds by label since the last `take`. */
  private times = new Map<string, number>()
  /** Time of inner wrapped methods, for each wrapped method that is running. */
  private readonly inner: number[] = []
  private readonly undo: (() => void)[] = []

  /** Counts the calls of these methods of an object (or of a class's prototype) under `label`. */
  watch<Owner extends object>(label: string, owner: Owner, ...methods: (keyof Owner & string)[]): void {
    const functions = owner as Record<string, (...values: unknown[]) => unknown>
    for (const method of methods) {
      const own = Object.getOwnPropertyDescriptor(owner, method)
      const original = functions[method]
      const { times, inner } = this
      functions[method] = function (this: unknown, ...values: unknown[]) {
        inner.push(0)
        const start = performance.now()
        try {
          return original.apply(this, values)
        } finally {
          const took = performance.now() - start
          times.set(label, (times.get(label) ?? 0) + took - inner.pop()!)
          if (inner.length > 0) inner[inner.length - 1] += took
        }
      }
      this.undo.push(() => {
        if (own) Object.defineProperty(owner, method, own)
        else delete functions[method]
      })
    }
  }

  /** The times so far; they start again from zero. */
  take(): Map<string, number> {
    const taken = new Map(this.times)
    this.times.clear()
    return taken
  }

  /** Puts the methods back. */
  end(): void {
    for (const undo of this.undo.toReversed()) undo()
    this.undo.length = 0
  }
}
