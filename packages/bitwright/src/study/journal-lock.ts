// The lock that gives a journal one writer: a file beside it with the writer's process id. It appears complete (a hard link to a
// finished file), so a reader never sees it half written; the lock of a dead process is taken over.
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { RunError } from '../errors.ts'

export interface Lock {
  release(): void
}

const held = new Set<string>()

/**
 * Takes the lock file `path`; `subject` is what error messages call the thing it guards.
 * @throws RunError when a live process holds it.
 */
export function acquireLock(path: string, subject: string): Lock {
  const own = `${path}.${process.pid}`
  writeFileSync(own, `${process.pid}\n`)
  try {
    for (;;) {
      if (tryLink(own, path)) break
      const holder = readHolder(path)
      if (holder === undefined) continue
      if (isAlive(holder, path)) {
        throw new RunError(
          `${subject}: process ${holder} is writing it; wait for that process or stop it (if ${holder} is no Bitwright run, delete ${path})`,
        )
      }
      removeStale(path, holder)
    }
  } finally {
    rmSync(own, { force: true })
  }
  held.add(path)
  return {
    release() {
      if (held.delete(path)) rmSync(path, { force: true })
    },
  }
}

function tryLink(own: string, path: string): boolean {
  try {
    linkSync(own, path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

/** Process id in the lock file, 0 for one without a number, undefined where the file has just gone. */
function readHolder(path: string): number | undefined {
  try {
    const holder = Number.parseInt(readFileSync(path, 'utf8'), 10)
    return Number.isInteger(holder) && holder > 0 ? holder : 0
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

function isAlive(holder: number, path: string): boolean {
  if (holder === 0) return false
  // Process ids are used again, in containers quickly: our own id in a lock we do not hold is an earlier process.
  if (holder === process.pid) return held.has(path)
  try {
    process.kill(holder, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Moves the stale lock aside before deleting it: of two processes that saw it, one may already have put its own in its place. */
function removeStale(path: string, holder: number): void {
  const aside = `${path}.stale.${process.pid}`
  try {
    renameSync(path, aside)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  if (readHolder(aside) !== holder) tryLink(aside, path)
  rmSync(aside, { force: true })
}
