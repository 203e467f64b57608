// The programs that building and emulating firmware needs, and what to install where one is missing.
import { spawnSync } from 'node:child_process'
import { RunError } from '../errors.ts'

/** Program and the Debian packages that have it. */
const needed = [
  { program: 'make', version: '--version', packages: 'make' },
  { program: 'arm-none-eabi-gcc', version: '--version', packages: 'gcc-arm-none-eabi libnewlib-arm-none-eabi' },
  { program: 'qemu-system-arm', version: '--version', packages: 'qemu-system-arm' },
] as const

export const hasProgram = (program: string, ...args: string[]): boolean => spawnSync(program, args, { stdio: 'ignore' }).status === 0

/** Why firmware cannot be run here; undefined where it can. */
export function missingTools(): string | undefined {
  const missing = needed.filter(({ program, version }) => !hasProgram(program, version))
  if (missing.length === 0) return undefined
  const names = missing.map(({ program }) => program).join(', ')
  return `${names} ${missing.length === 1 ? 'is' : 'are'} not installed; on Debian: apt-get install ${missing.map(({ packages }) => packages).join(' ')}`
}

/** @throws RunError with what to install. */
export function requireTools(): void {
  const reason = missingTools()
  if (reason !== undefined) throw new RunError(reason)
}
