// Ctrl-C: the first asks the running study to save a checkpoint and stop, the second ends the process at once.

export interface Interrupt {
  requested(): boolean
  stopWatching(): void
}

/** A terminal and a launcher may both deliver one key press; signals closer together than this are one. */
const samePressMs = 500

/** Watches SIGINT until `stopWatching`. `now` in milliseconds. */
export function watchInterrupt(say: (line: string) => void, now: () => number = () => performance.now()): Interrupt {
  let first: number | undefined
  const onSignal = () => {
    if (first === undefined) {
      first = now()
      say('stopping: saving a checkpoint (Ctrl-C again ends at once, without one)')
    } else if (now() - first > samePressMs) {
      process.off('SIGINT', onSignal)
      process.kill(process.pid, 'SIGINT')
    }
  }
  process.on('SIGINT', onSignal)
  return { requested: () => first !== undefined, stopWatching: () => process.off('SIGINT', onSignal) }
}
