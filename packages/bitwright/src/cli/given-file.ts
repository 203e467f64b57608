// Reads a file that was named on the command line.
import { readFileSync, statSync } from 'node:fs'
import { UsageError } from '../errors.ts'

/** @throws UsageError when the path is missing, a folder, or not readable. */
export function readGivenFile(path: string): Uint8Array {
  const found = statSync(path, { throwIfNoEntry: false })
  if (!found) throw new UsageError(`${path}: no such file; check the path`)
  if (!found.isFile()) throw new UsageError(`${path}: is not a file; give the path of one`)
  try {
    return readFileSync(path)
  } catch (error) {
    throw new UsageError(`${path}: cannot be read (${(error as NodeJS.ErrnoException).code}); check its permissions`)
  }
}
