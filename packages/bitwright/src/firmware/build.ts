// Builds an exported folder with its own Makefile, and reads what the linker made of it.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { RunError, UsageError } from '../errors.ts'
import type { FirmwareTarget } from '../export/firmware-targets.ts'

export interface FirmwareBuild {
  /** Runs batches of clips, with marks for the counting of instructions. */
  readonly clips: string
  readonly sizes: FirmwareSizes
}

/** Of the program without the emulator's marks and files. */
export interface FirmwareSizes {
  /** Instructions, with start-up and what comes with the compiler. */
  readonly codeBytes: number
  /** All constants. */
  readonly constantBytes: number
  /** Static memory, the example's own included, without the stack. */
  readonly memoryBytes: number
  /** Bytes by the linker's names. */
  readonly symbols: ReadonlyMap<string, number>
}

/** @throws UsageError where the folder holds no exported firmware; RunError where it does not build. */
export function buildFirmware(folder: string, target: FirmwareTarget): FirmwareBuild {
  const absent = ['Makefile', 'model.bw', 'model.h', 'bitwright.c'].find((name) => !existsSync(join(folder, name)))
  if (absent)
    throw new UsageError(`${folder}: has no ${absent}; make the folder with \`bitwright export RUN --to firmware --out ${folder}\``)
  const [board, counted] = [`build/${target}/board.elf`, `build/${target}/counted.elf`]
  make(folder, [`TARGET=${target}`, board, counted])
  return { clips: join(folder, counted), sizes: readSizes(join(folder, board)) }
}

export function make(folder: string, args: readonly string[]): void {
  const all = ['-s', '-C', folder, `-j${availableParallelism()}`, ...args]
  const { status, stderr, error } = spawnSync('make', all, { encoding: 'utf8', stdio: ['ignore', 'ignore', 'pipe'], env: ownEnvironment() })
  if (status === 0) return
  throw new RunError(`${folder}: does not build: ${error ? error.message : explain(stderr)}`)
}

/** Variables of the caller that the Makefile would take for its own are left out. */
function ownEnvironment(): NodeJS.ProcessEnv {
  const { TARGET: _target, CROSS: _cross, OPT: _opt, HOP: _hop, ATTENTION: _attention, MAKEFLAGS: _flags, ...rest } = process.env
  return rest
}

/** The line that says most. */
function explain(stderr: string): string {
  if (stderr.includes('nano.specs')) return 'newlib is not installed; on Debian: apt-get install libnewlib-arm-none-eabi'
  const overflow = /region `(\w+)' overflowed by (\d+) bytes/.exec(stderr)
  if (overflow) return `it needs ${overflow[2]} bytes more of ${overflow[1]} than the emulated board has`
  const lines = stderr.split('\n').filter((line) => line.trim() !== '')
  return lines.find((line) => /error|Error|cannot/.test(line)) ?? lines.at(-1) ?? 'make fails without a word'
}

function output(program: string, args: readonly string[]): string {
  const { status, stdout } = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 2 ** 26 })
  if (status !== 0) throw new RunError(`${program} ${args.join(' ')} fails; install binutils-arm-none-eabi`)
  return stdout
}

export function readSizes(elf: string): FirmwareSizes {
  const sections = new Map(
    [...output('arm-none-eabi-size', ['-A', elf]).matchAll(/^\.(\S+)\s+(\d+)\s/gm)].map(([, name, bytes]) => [name, Number(bytes)]),
  )
  const symbols = new Map(
    [...output('arm-none-eabi-nm', ['-S', elf]).matchAll(/^[\da-f]+ ([\da-f]+) \w (\S+)$/gm)].map(([, size, name]) => [
      name,
      Number.parseInt(size, 16),
    ]),
  )
  const section = (...names: string[]) => names.reduce((sum, name) => sum + (sections.get(name) ?? 0), 0)
  return {
    codeBytes: section('text', 'ARM.exidx'),
    constantBytes: section('rodata'),
    memoryBytes: section('data', 'bss'),
    symbols,
  }
}
