// Where a program's time goes: every command is run alone, as a program of its own, in the program's order, and the medians of its
// times are listed beside what it computed. Alone, a command pays for one call of the backend (some microseconds), so the sum is a
// little above the time of the whole program; a command that differs much from the others in GFLOP/s is where to look first.
import type { Backend } from './backends/backend.ts'
import { commandName } from './commands.ts'
import { type CommandWork, layerWork, programCommands } from './work.ts'

export interface CommandProfile extends Pick<CommandWork, 'name' | 'layer' | 'flops'> {
  /** Median time of one execution. */
  readonly ms: number
}

/** Runs the program `runs` times, command by command (so it does to the heap what `runs` plain runs would do). One entry a command. */
export function profileProgram(backend: Backend, program: Int32Array, runs = 11): CommandProfile[] {
  const commands = programCommands(program).map((command) => ({
    program: Int32Array.from([program[0], program[1], ...command]),
    times: [] as number[],
  }))
  for (let run = 0; run < runs; run++) {
    for (const { program: single, times } of commands) {
      const start = performance.now()
      backend.run(single)
      times.push(performance.now() - start)
    }
  }
  return commands.map(({ program: single, times }) => {
    const name = commandName(single[2])
    return { name, ...layerWork(name, single.subarray(4)), ms: times.toSorted((a, b) => a - b)[runs >> 1] }
  })
}

/** Two tables for people: the commands that take at least `threshold` of the time (default 1 %), then the sums per command name. */
export function profileTable(commands: readonly CommandProfile[], threshold = 0.01): string {
  const total = commands.reduce((sum, { ms }) => sum + ms, 0)
  const line = (ms: number, flops: number, name: string, layer: string) => {
    const speed = flops > 0 ? (flops / ms / 1e6).toFixed(1) : ''
    return `${ms.toFixed(3).padStart(9)} ${((100 * ms) / total).toFixed(1).padStart(6)} % ${speed.padStart(8)}  ${name.padEnd(22)}${layer}`.trimEnd()
  }
  const sums = new Map<string, { ms: number; flops: number }>()
  for (const { name, ms, flops } of commands) {
    const sum = sums.get(name) ?? { ms: 0, flops: 0 }
    sums.set(name, { ms: sum.ms + ms, flops: sum.flops + flops })
  }
  const header = `${'ms'.padStart(9)} ${'share'.padStart(8)} ${'GFLOP/s'.padStart(8)}  command`
  return [
    header,
    ...commands.filter(({ ms }) => ms >= threshold * total).map(({ ms, flops, name, layer }) => line(ms, flops, name, layer)),
    '',
    header,
    ...[...sums].toSorted(([, a], [, b]) => b.ms - a.ms).map(([name, { ms, flops }]) => line(ms, flops, name, '')),
    line(
      total,
      commands.reduce((sum, { flops }) => sum + flops, 0),
      'total',
      '',
    ),
  ].join('\n')
}
