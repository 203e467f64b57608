// A finished run, opened once for all that reads one: what it was asked, the network it ended with, and its model.
import { existsSync, readFileSync } from 'node:fs'
import { RunError } from '../errors.ts'
import { requireIntegerForm } from '../network/graph.ts'
import { type Network, parseNetwork } from '../network/index.ts'
import { existingRunDirectory, type RunDirectory } from './run-directory.ts'
import type { Spec } from './session.ts'
import { readRequest } from './spec.ts'

export interface FinishedRun {
  readonly directory: RunDirectory
  readonly request: Spec
  /** With the bits it ended with. */
  readonly network: Network
  /** The .bw file, unread. */
  readonly model: Uint8Array
}

/** The folder of a run that has its model. @throws RunError where it has none yet, UsageError where there is no run, or one on a graph. */
export function finishedRunDirectory(path: string): RunDirectory {
  const directory = existingRunDirectory(path)
  if (!existsSync(directory.model) && existsSync(directory.architecture)) requireIntegerForm(readArchitecture(directory).frontEnd)
  if (!existsSync(directory.model)) throw new RunError(`${path}: has no model yet; finish it with the same command and --resume`)
  return directory
}

const readArchitecture = ({ architecture }: RunDirectory): Network => parseNetwork(JSON.parse(readFileSync(architecture, 'utf8')))

/** @throws RunError where the run has no model yet, UsageError where there is no run. */
export function openFinishedRun(path: string): FinishedRun {
  const directory = finishedRunDirectory(path)
  return { directory, request: readRequest(path), network: readArchitecture(directory), model: readFileSync(directory.model) }
}
