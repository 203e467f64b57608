// The folder of one run: the names of its files, and how they are written so that a crash leaves the old file or the new one.
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { UsageError } from '../errors.ts'

export interface RunDirectory {
  readonly path: string
  /** Every event of the run. */
  readonly journal: string
  /** The request the run was started with. */
  readonly spec: string
  /** Parameters, optimiser and search state to resume from. */
  readonly checkpoint: string
  /** Of a joint search: shared weights and scores, for other members of its front. */
  readonly search: string
  /** The chosen network with its bits. */
  readonly architecture: string
  /** The integer model. */
  readonly model: string
  /** The detector's settings for streams. */
  readonly detector: string
  readonly report: string
}

export function runDirectory(path: string): RunDirectory {
  return {
    path,
    journal: join(path, 'journal.jsonl'),
    spec: join(path, 'spec.json'),
    checkpoint: join(path, 'checkpoint.bin'),
    search: join(path, 'search.bin'),
    architecture: join(path, 'architecture.json'),
    model: join(path, 'model.bw'),
    detector: join(path, 'detector.json'),
    report: join(path, 'report.html'),
  }
}

/** Whether the folder holds a run that got as far as its first event. */
export function holdsRun(path: string): boolean {
  const { journal } = runDirectory(path)
  return existsSync(journal) && statSync(journal).size > 0
}

/**
 * Makes the folder for a new run, or finds the one of a run to resume.
 * @throws UsageError when a new run would land on an old one, when there is nothing to resume, or when the path is a file.
 */
export function prepareRunDirectory(path: string, resume: boolean): RunDirectory {
  if (existsSync(path) && !statSync(path).isDirectory()) throw new UsageError(`--out ${path}: is a file; give the path of a folder`)
  const occupied = holdsRun(path)
  if (occupied && !resume) {
    throw new UsageError(`--out ${path}: already holds a run; go on with it by adding --resume, or give another --out`)
  }
  if (!occupied && resume) throw new UsageError(`--resume: ${path} holds no run to go on with; leave --resume away to start one`)
  mkdirSync(path, { recursive: true })
  return runDirectory(path)
}

/** Removes the files of a run, and its folder where nothing else is in it. */
export function discardRun({ path, ...files }: RunDirectory): void {
  for (const file of Object.values(files)) rmSync(file, { force: true })
  if (readdirSync(path).length === 0) rmdirSync(path)
}

/** Finds the folder of an existing run. @throws UsageError where there is none. */
export function existingRunDirectory(path: string): RunDirectory {
  if (!holdsRun(path))
    throw new UsageError(`${path}: holds no run (no journal.jsonl); give the folder that was --out of a search or training`)
  return runDirectory(path)
}

/** Writes beside and renames: after a crash at any moment the path holds the old bytes or the new ones, never a part. */
export function atomicWrite(path: string, bytes: Uint8Array | string): void {
  const beside = `${path}.${process.pid}.new`
  try {
    writeFileSync(beside, bytes, { flush: true })
    renameSync(beside, path)
  } catch (error) {
    rmSync(beside, { force: true })
    throw error
  }
  syncDirectory(dirname(path))
}

/** Makes a rename durable; Windows has no such call and needs none. */
function syncDirectory(path: string): void {
  if (process.platform === 'win32') return
  const descriptor = openSync(path, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}
