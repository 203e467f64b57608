// Where a program's time goes: the program runs as it always does, with a look at the clock between its commands, when all threads have come.
// The medians are listed beside what each command computed and moved; one that differs much from the others in GFLOP/s, and moves few
// bytes, is where to look first. Commands that nobody waits for (packing) are timed together with the next one that somebody does.
import { command } from './commands.ts'
import type { Engine } from './engine.ts'
import { type CommandWork, programCommands, programWork } from './work.ts'

export interface CommandProfile extends CommandWork {
  /** Median time of one execution. */
  readonly ms: number
}

/** Runs the program `runs` times (so it does to the heap what `runs` plain runs would do). One entry a command. */
export function profileProgram(engine: Engine, program: Int32Array, runs = 11): CommandProfile[] {
  const commands = programCommands(program)
  const clock = engine.heap.allocate(2 * (commands.length + 1))
  try {
    const timed: number[] = [program[0], program[1]]
    commands.forEach((own, i) => {
      command(timed, 'clock', [clock + 2 * i])
      timed.push(...own)
    })
    command(timed, 'clock', [clock + 2 * commands.length])
    const code = Int32Array.from(timed)
    const times: number[][] = commands.map(() => [])
    for (let run = 0; run < runs; run++) {
      engine.backend.run(code)
      const floats = engine.floats(clock, 2 * (commands.length + 1))
      const at = new Float64Array(floats.buffer, floats.byteOffset, commands.length + 1)
      times.forEach((own, i) => own.push(at[i + 1] - at[i]))
    }
    return programWork(program, engine.lanes).map((work, i) => ({ ...work, ms: times[i].toSorted((a, b) => a - b)[runs >> 1] }))
  } finally {
    engine.heap.release(clock)
  }
}

interface Sum {
  readonly ms: number
  readonly flops: number
  readonly bytes: number
}

/** Two tables for people: the commands that take at least `threshold` of the time (default 1 %), then the sums per command name. */
export function profileTable(commands: readonly CommandProfile[], threshold = 0.01): string {
  const total = commands.reduce((sum, { ms }) => sum + ms, 0)
  const line = (name: string, layer: string, { ms, flops, bytes }: Sum) => {
    const share = ((100 * ms) / total).toFixed(1)
    const speeds = [flops, bytes].map((amount) => (amount > 0 ? (amount / ms / 1e6).toFixed(1) : '').padStart(8))
    return `${ms.toFixed(3).padStart(9)} ${share.padStart(6)} % ${speeds.join(' ')}  ${name.padEnd(22)}${layer}`.trimEnd()
  }
  const sumOf = (some: readonly CommandProfile[]): Sum => ({
    ms: some.reduce((sum, { ms }) => sum + ms, 0),
    flops: some.reduce((sum, { flops }) => sum + flops, 0),
    bytes: some.reduce((sum, { readBytes, writtenBytes }) => sum + readBytes + writtenBytes, 0),
  })
  const names = [...new Set(commands.map(({ name }) => name))]
  const sums = names.map((name) => ({ name, sum: sumOf(commands.filter((own) => own.name === name)) }))
  const header = `${'ms'.padStart(9)} ${'share'.padStart(8)} ${'GFLOP/s'.padStart(8)} ${'GB/s'.padStart(8)}  command`
  return [
    header,
    ...commands.filter(({ ms }) => ms >= threshold * total).map((own) => line(own.name, own.layer, sumOf([own]))),
    '',
    header,
    ...sums.toSorted((a, b) => b.sum.ms - a.sum.ms).map(({ name, sum }) => line(name, '', sum)),
    line('total', '', sumOf(commands)),
  ].join('\n')
}
