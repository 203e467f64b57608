// The request a run was started with, kept beside its journal, so that a resumed run is the same run.
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { RunError, UsageError } from '../errors.ts'
import type { SearchSpec, TrainSpec } from './api.ts'
import { atomicWrite, runDirectory } from './run-directory.ts'

/** What may differ between sittings without a change to the result. */
const free = new Set(['resume', 'command', 'threads', 'backend', 'out'])

function essence(spec: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(spec).filter(([key]) => !free.has(key)))
}

export function writeRequest(spec: SearchSpec | TrainSpec): void {
  const { path, spec: file } = runDirectory(spec.out)
  mkdirSync(path, { recursive: true })
  atomicWrite(file, `${JSON.stringify(spec, undefined, 2)}\n`)
}

/** The request of the run in this folder. */
export function readRequest(directory: string): SearchSpec | TrainSpec {
  const { spec } = runDirectory(directory)
  try {
    return JSON.parse(readFileSync(spec, 'utf8')) as SearchSpec | TrainSpec
  } catch (error) {
    throw new RunError(`${spec}: cannot be read (${(error as Error).message.split('\n')[0]})`)
  }
}

/** @throws UsageError naming the first setting in which a resumed run differs from the one in `out`. */
export function checkSameRequest(spec: SearchSpec | TrainSpec): void {
  if (!existsSync(runDirectory(spec.out).spec)) return
  const before = essence(readRequest(spec.out))
  const now = essence(JSON.parse(JSON.stringify(spec)) as object)
  for (const key of new Set([...Object.keys(before), ...Object.keys(now)])) {
    const [a, b] = [JSON.stringify(before[key]), JSON.stringify(now[key])]
    if (a !== b)
      throw new UsageError(
        `--resume: the run in ${spec.out} was started with ${key} ${a ?? 'not set'}, not ${b ?? 'not set'}; use the same flags or another --out`,
      )
  }
}
