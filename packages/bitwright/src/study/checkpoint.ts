// What a run goes on from: everything that the next epoch depends on, written at the end of each one. Typed arrays are kept as they are
// (the structured-clone format of V8, with a version of our own in front).
import { existsSync, readFileSync } from 'node:fs'
import { deserialize, serialize } from 'node:v8'
import { crc32 } from 'node:zlib'
import { RunError } from '../errors.ts'
import type { Network } from '../network/network.ts'
import type { Trainer } from '../training/trainer.ts'
import type { Compared } from './adapt-drift.ts'
import type { Standing } from './finalists.ts'
import { atomicWrite } from './run-directory.ts'

const format = 'bitwright-checkpoint-2'
/** In front of the content: its CRC-32. */
const headerBytes = 4

export type TrainerState = ReturnType<Trainer['state']>

/** Stages in order; `epoch` is the next one to run within the stage. */
export interface Checkpoint {
  readonly stage: 'drift' | 'search' | 'finalists' | 'train' | 'quantize' | 'done'
  readonly epoch: number
  /** Wall-clock seconds of all sittings so far. */
  readonly seconds: number
  /** Of a run that adapts another one: how the data differs, and the network with norms and ranges taken anew. */
  readonly compared?: Compared
  /** Of the search while it runs. */
  readonly strategy?: unknown
  /** Of the choice among finalists: how they stand, and the training under way. */
  readonly standing?: Standing
  readonly training?: Unstamped
  /** The network that is trained; absent until it is chosen. */
  readonly network?: Network
  /** What the network's training starts from, by name; absent: from scratch. */
  readonly initial?: ReadonlyMap<string, Float32Array>
  /** Of a training with gates for channels; once these are gone, `pruned`. */
  readonly pruning?: readonly (readonly number[])[]
  readonly pruned?: true
  /** Of the training or the quantization under way. */
  readonly trainer?: TrainerState
  /** Parameters after training in float, before quantization. */
  readonly floatParameters?: Float32Array
}

/** As a stage leaves it. */
export type Unstamped = Omit<Checkpoint, 'seconds'>

export function writeCheckpoint(path: string, checkpoint: Checkpoint): void {
  const content = serialize({ format, ...checkpoint })
  const bytes = Buffer.alloc(headerBytes + content.length)
  bytes.writeUInt32LE(crc32(content))
  content.copy(bytes, headerBytes)
  atomicWrite(path, bytes)
}

/** Undefined where there is none yet. @throws RunError when the file is not a checkpoint of this version. */
export function readCheckpoint(path: string): Checkpoint | undefined {
  if (!existsSync(path)) return undefined
  const damaged = new RunError(`${path}: is damaged; start the run again in another --out`)
  const bytes = readFileSync(path)
  const content = bytes.subarray(headerBytes)
  if (bytes.length < headerBytes || bytes.readUInt32LE() !== crc32(content)) throw damaged
  let value: { format?: string } & Checkpoint
  try {
    value = deserialize(content) as typeof value
  } catch {
    throw damaged
  }
  if (value?.format !== format)
    throw new RunError(`${path}: was written by another version (${value?.format}); start the run again in another --out`)
  return value
}
