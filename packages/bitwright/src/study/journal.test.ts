// Journal: what a crash, a second writer or a damaged disk may do to it, and the run folder around it.
import { spawnSync } from 'node:child_process'
import { appendFileSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Random } from '@bitwright/engine'
import { RunError, UsageError } from '../errors.ts'
import type { StudyEvent } from './events.ts'
import { openJournal, readJournal } from './journal.ts'
import { atomicWrite, existingRunDirectory, prepareRunDirectory } from './run-directory.ts'

let folder: string
let path: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'bitwright-journal-'))
  path = join(folder, 'journal.jsonl')
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const resumed = (fromEpoch: number): StudyEvent => ({ type: 'resumed', fromEpoch, stage: 'train' })
/** The last event has a line break, braces and non-ASCII text inside, which must not end or hide a line. */
const sample: StudyEvent[] = [
  { type: 'stage', stage: 'data', state: 'started' },
  resumed(3),
  { type: 'failed', message: 'Grüße:\n{"crc":"00000000","event":{}} \u{1f4a5}' },
]

function write(events: readonly StudyEvent[]): void {
  const journal = openJournal(path)
  for (const event of events) journal.append(event)
  journal.close()
}

describe('journal', () => {
  test('gives back what was appended, in order, over several sittings', () => {
    write(sample)
    const journal = openJournal(path)
    expect(journal.events).toEqual(sample)
    journal.append(resumed(4))
    expect(journal.events).toEqual([...sample, resumed(4)])
    journal.close()
    expect(readJournal(path)).toEqual([...sample, resumed(4)])
  })

  test('an event is on disk when append returns', () => {
    const journal = openJournal(path)
    journal.append(sample[0])
    expect(readJournal(path)).toEqual([sample[0]])
    journal.close()
  })

  test('cut at any byte: opening keeps exactly the whole lines and the log can be continued', () => {
    write(sample)
    const whole = readFileSync(path)
    const ends = [...whole.entries()].filter(([, byte]) => byte === 10).map(([index]) => index + 1)
    for (let length = 0; length <= whole.length; length++) {
      writeFileSync(path, whole)
      truncateSync(path, length)
      const expected = sample.slice(0, ends.filter((end) => end <= length).length)
      expect(readJournal(path), `read at ${length}`).toEqual(expected)
      write([resumed(9)])
      expect(readJournal(path), `continued at ${length}`).toEqual([...expected, resumed(9)])
    }
  })

  test('a last line that was written in part and then zero-filled is cut off', () => {
    write(sample)
    appendFileSync(path, Buffer.concat([Buffer.from('{"crc":"12'), Buffer.alloc(200)]))
    const journal = openJournal(path)
    expect(journal.events).toEqual(sample)
    journal.close()
    expect(readJournal(path)).toEqual(sample)
  })

  test('any flipped bit is found: cut off in the last line, an error with the line number elsewhere', () => {
    write(sample)
    const whole = readFileSync(path)
    const random = new Random(1, 'flips')
    for (let round = 0; round < 200; round++) {
      const damaged = Buffer.from(whole)
      const at = random.integer(damaged.length)
      damaged[at] ^= 1 << random.integer(8)
      if (damaged[at] === 10 || whole[at] === 10) continue
      writeFileSync(path, damaged)
      const line = whole.subarray(0, at).filter((byte) => byte === 10).length
      if (line === sample.length - 1) expect(readJournal(path)).toEqual(sample.slice(0, -1))
      else {
        expect(() => readJournal(path)).toThrow(RunError)
        expect(() => openJournal(path)).toThrow(`line ${line + 1} is damaged`)
        expect(existsSync(`${path}.lock`)).toBe(false)
        expect(readFileSync(path).equals(damaged)).toBe(true)
      }
    }
  })

  test('has one writer: a second is told who holds it, and may write after the first closed', () => {
    const first = openJournal(path)
    expect(() => openJournal(path)).toThrow(`process ${process.pid} is writing it`)
    first.append(sample[0])
    first.close()
    write([sample[1]])
    expect(readJournal(path)).toEqual(sample.slice(0, 2))
    expect(readdirSync(folder)).toEqual(['journal.jsonl'])
    expect(() => first.append(sample[0])).toThrow('append after close')
  })

  test('refuses the lock of another live process', () => {
    writeFileSync(`${path}.lock`, `${process.ppid}\n`)
    expect(() => openJournal(path)).toThrow(new RegExp(`process ${process.ppid} is writing it.*delete .*journal.jsonl.lock`))
    expect(readFileSync(`${path}.lock`, 'utf8')).toBe(`${process.ppid}\n`)
  })

  test.each([
    ['a dead process', () => `${spawnSync(process.execPath, ['-e', '']).pid}\n`],
    ['an earlier process with our id', () => `${process.pid}\n`],
    ['nobody', () => ''],
  ])('takes over the lock of %s', (_, content) => {
    writeFileSync(`${path}.lock`, content())
    write([sample[0]])
    expect(readJournal(path)).toEqual([sample[0]])
    expect(readdirSync(folder)).toEqual(['journal.jsonl'])
  })

  test('a killed writer leaves a journal that opens', () => {
    const script = `
      const { openJournal } = await import(${JSON.stringify(new URL('journal.ts', import.meta.url).href)})
      openJournal(${JSON.stringify(path)}).append(${JSON.stringify(sample[2])})
      process.kill(process.pid, 'SIGKILL')`
    spawnSync(process.execPath, ['--input-type=module', '-e', script])
    expect(existsSync(`${path}.lock`)).toBe(true)
    write([resumed(1)])
    expect(readJournal(path)).toEqual([sample[2], resumed(1)])
  })

  test('a missing journal is a plain error when reading', () => {
    expect(() => readJournal(path)).toThrow(/cannot read the journal \(ENOENT\)/)
  })
})

describe('run directory', () => {
  test('refuses to start on an old run and says how to go on', () => {
    write([sample[0]])
    expect(() => prepareRunDirectory(folder, false)).toThrow(UsageError)
    expect(() => prepareRunDirectory(folder, false)).toThrow(/--resume, or give another --out/)
    expect(prepareRunDirectory(folder, true).model).toBe(join(folder, 'model.bw'))
  })

  test('a folder whose run never got to an event counts as new', () => {
    openJournal(path).close()
    expect(prepareRunDirectory(folder, false).journal).toBe(path)
    expect(() => prepareRunDirectory(folder, true)).toThrow(/--resume: .* holds no run/)
    expect(() => existingRunDirectory(folder)).toThrow(/holds no run/)
  })

  test('makes the folders above, and refuses a file', () => {
    prepareRunDirectory(join(folder, 'a', 'b'), false)
    expect(existsSync(join(folder, 'a', 'b'))).toBe(true)
    writeFileSync(join(folder, 'file'), '')
    expect(() => prepareRunDirectory(join(folder, 'file'), false)).toThrow(/is a file/)
  })

  test('atomicWrite replaces whole files and leaves nothing beside, even when it fails', () => {
    const file = join(folder, 'x.json')
    atomicWrite(file, 'one')
    atomicWrite(file, new Uint8Array([50]))
    expect(readFileSync(file, 'utf8')).toBe('2')
    expect(() => atomicWrite(join(folder, 'none', 'x'), 'x')).toThrow(/ENOENT/)
    expect(() => atomicWrite(folder, 'x')).toThrow()
    expect(readdirSync(folder)).toEqual(['x.json'])
  })
})
