// The journal: an append-only log of a run's events, the only memory of a study (docs: architecture, decision 9). One JSON line an
// event, `{"crc":"<CRC-32 of the event's JSON, hex>","event":{...}}`, fsynced before `append` returns. What a crash may have done to
// the end of the file is cut off on opening; damage anywhere else is an error, because an event that was acknowledged is gone.
import { closeSync, fsyncSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { crc32 } from 'node:zlib'
import { RunError } from '../errors.ts'
import type { StudyEvent } from './events.ts'
import { acquireLock } from './journal-lock.ts'

export interface Journal {
  /** Every event in the file, in order, those appended through this object included. */
  readonly events: readonly StudyEvent[]
  /** Returns when the event is on the disk. Throws what the file system throws (a full disk), leaving the file as it was before. */
  append(event: StudyEvent): void
  /** Releases the lock. Further appends throw. */
  close(): void
}

/**
 * Opens a journal for appending and creates it where there is none. A torn or damaged last line is cut off.
 * @throws RunError when another live process writes it, or when a line other than the last is damaged.
 */
export function openJournal(path: string): Journal {
  const file = resolve(path)
  mkdirSync(dirname(file), { recursive: true })
  const lock = acquireLock(`${file}.lock`, path)
  let descriptor: number | undefined
  try {
    descriptor = openSync(file, 'a+')
    const { events, bytes } = parseJournal(readFileSync(file), path)
    ftruncateSync(descriptor, bytes)
    fsyncSync(descriptor)
    return journalOn(descriptor, events, bytes, lock.release, path)
  } catch (error) {
    if (descriptor !== undefined) closeSync(descriptor)
    lock.release()
    throw error
  }
}

/** The events of a journal, without lock or change; a torn last line (perhaps being written right now) is left out. */
export function readJournal(path: string): StudyEvent[] {
  let bytes: Buffer
  try {
    bytes = readFileSync(path)
  } catch (error) {
    throw new RunError(`${path}: cannot read the journal (${(error as NodeJS.ErrnoException).code ?? String(error)})`)
  }
  return parseJournal(bytes, path).events
}

function journalOn(descriptor: number, events: StudyEvent[], bytes: number, release: () => void, path: string): Journal {
  let size = bytes
  let open = true
  return {
    events,
    append(event) {
      if (!open) throw new Error(`${path}: append after close`)
      const line = Buffer.from(encodeLine(event))
      try {
        for (let at = 0; at < line.length;) at += writeSync(descriptor, line, at)
        fsyncSync(descriptor)
      } catch (error) {
        ftruncateSync(descriptor, size)
        throw error
      }
      size += line.length
      events.push(event)
    },
    close() {
      if (!open) return
      open = false
      closeSync(descriptor)
      release()
    },
  }
}

function encodeLine(event: StudyEvent): string {
  const json = JSON.stringify(event)
  return `{"crc":"${crc32(json).toString(16).padStart(8, '0')}","event":${json}}\n`
}

const prefix = '{"crc":"01234567","event":'.length

/** Events of the leading whole lines, and how many bytes those lines take. */
function parseJournal(file: Buffer, path: string): { events: StudyEvent[]; bytes: number } {
  const events: StudyEvent[] = []
  let start = 0
  while (start < file.length) {
    const newline = file.indexOf(10, start)
    if (newline < 0) break
    const event = decodeLine(file.subarray(start, newline))
    if (event === undefined) {
      if (newline === file.length - 1) break
      throw new RunError(
        `${path}: line ${events.length + 1} is damaged (its checksum does not match); restore the file from a copy, ` +
          `or delete that line and all after it to go back to that moment`,
      )
    }
    events.push(event)
    start = newline + 1
  }
  return { events, bytes: start }
}

function decodeLine(line: Buffer): StudyEvent | undefined {
  const match = /^\{"crc":"([0-9a-f]{8})","event":$/.exec(line.toString('latin1', 0, prefix))
  if (!match || line.at(-1) !== 0x7d) return undefined
  const json = line.subarray(prefix, -1)
  if (crc32(json) !== Number.parseInt(match[1], 16)) return undefined
  return JSON.parse(json.toString('utf8')) as StudyEvent
}
