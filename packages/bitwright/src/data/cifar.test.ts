import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { RunError, UsageError } from '../errors.ts'
import { isCifar, loadCifar } from './cifar.ts'
import { cifarClasses, writeCifar } from './testing/cifar-files.ts'

let folder = ''
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'bitwright-cifar-'))))
afterEach(() => rmSync(folder, { recursive: true }))

it('puts every record into the row of its sample, channels last', () => {
  writeCifar(folder)
  const dataset = loadCifar(folder)
  expect(dataset).toMatchObject({ kind: 'image', classes: [...cifarClasses], height: 32, width: 32, channels: 3, skipped: [] })
  expect(dataset.pixels.buffer).toBeInstanceOf(SharedArrayBuffer)
  const { train, validation, test } = dataset.splits
  expect([train.length, validation.length, test.length]).toEqual([72, 8, 30])
  expect(new Set([...train, ...validation, ...test].map(({ index }) => index)).size).toBe(110)
  for (const { path, label, index } of [...train, ...validation, ...test]) {
    const [file, number] = path.split('#')
    const record = readFileSync(join(folder, file)).subarray(Number(number) * 3073, (Number(number) + 1) * 3073)
    expect(label).toBe(record[0])
    for (const [y, x, channel] of [
      [0, 0, 0],
      [31, 2, 2],
      [7, 30, 1],
    ])
      expect(dataset.pixels[index * 3072 + (y * 32 + x) * 3 + channel], path).toBe(record[1 + channel * 1024 + y * 32 + x])
  }
  expect(test.every(({ path }) => path.startsWith('test_batch.bin#'))).toBe(true)
})

it('draws the same validation images every time, others with another salt', () => {
  writeCifar(folder)
  const paths = (salt?: string) => loadCifar(folder, salt === undefined ? {} : { salt }).splits.validation.map(({ path }) => path)
  expect(paths()).toEqual(paths())
  expect(paths('x')).not.toEqual(paths())
  expect(paths().some((path) => path.startsWith('data_batch_1')) && paths().some((path) => path.startsWith('data_batch_2'))).toBe(true)
})

it('names broken records and leaves them out, or refuses them', () => {
  writeCifar(folder)
  const batch = readFileSync(join(folder, 'data_batch_2.bin'))
  batch[5 * 3073] = 9
  writeFileSync(join(folder, 'data_batch_2.bin'), batch.subarray(0, 20 * 3073 + 7))
  const dataset = loadCifar(folder)
  expect(dataset.skipped).toEqual([
    { path: 'data_batch_2.bin#5', reason: 'has label 9; there are 3 classes' },
    { path: 'data_batch_2.bin#20', reason: 'is cut off' },
  ])
  expect(dataset.splits.train.length + dataset.splits.validation.length).toBe(59)
  expect(() => loadCifar(folder, { strict: true })).toThrow(RunError)
  expect(() => loadCifar(folder, { strict: true })).toThrow('data_batch_2.bin#5 has label 9')
})

it('says what is missing', () => {
  expect(isCifar(folder)).toBe(false)
  expect(isCifar(join(folder, 'nowhere'))).toBe(false)
  writeCifar(folder)
  expect(isCifar(folder)).toBe(true)
  writeFileSync(join(folder, 'batches.meta.txt'), 'one\none\n')
  expect(() => loadCifar(folder)).toThrow('has to name at least two classes, each once')
  rmSync(join(folder, 'batches.meta.txt'))
  expect(() => loadCifar(folder)).toThrow(UsageError)
  expect(() => loadCifar(folder)).toThrow('has no batches.meta.txt')
  rmSync(join(folder, 'test_batch.bin'))
  expect(() => loadCifar(folder)).toThrow('has data_batch_1.bin, data_batch_2.bin but no test_batch.bin')
  writeFileSync(join(folder, 'test_batch.bin'), new Uint8Array(10))
  writeFileSync(join(folder, 'batches.meta.txt'), 'a\nb\nc\n')
  expect(() => loadCifar(folder)).toThrow('the test split is empty')
})
