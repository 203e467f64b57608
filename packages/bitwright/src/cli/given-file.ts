// Reads a file that was named on the command line.
import { existsSync, readFileSync, statSync } from 'node:fs'
import { UsageError } from '../errors.ts'
import { runDirectory } from '../study/run-directory.ts'

/** @throws UsageError when the path is missing, a folder, or not readable. */
export function readGivenFile(path: string): Uint8Array {
  const found = statSync(path, { throwIfNoEntry: false })
  if (!found) throw new UsageError(`${path}: no such file; check the path`)
  if (!found.isFile()) {
    const model = runDirectory(path).model
    throw new UsageError(
      existsSync(model) ? `${path}: is the folder of a run; give ${model}` : `${path}: is not a file; give the path of one`,
    )
  }
  try {
    return readFileSync(path)
  } catch (error) {
    throw new UsageError(`${path}: cannot be read (${(error as NodeJS.ErrnoException).code}); check its permissions`)
  }
}
