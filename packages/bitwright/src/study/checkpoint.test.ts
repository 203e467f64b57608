import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { serialize } from 'node:v8'
import { crc32 } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { RunError } from '../errors.ts'
import { builtinNetwork } from '../network/index.ts'
import { type Checkpoint, readCheckpoint, writeCheckpoint } from './checkpoint.ts'

let folder: string
let path: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'bitwright-checkpoint-'))
  path = join(folder, 'checkpoint.bin')
})
afterEach(() => rmSync(folder, { recursive: true }))

const parameters = Float32Array.from({ length: 1001 }, (_, i) => Math.sin(i) * 10 ** ((i % 60) - 30))
parameters.set([NaN, Infinity, -0, 2 ** -149], 17)
const checkpoint: Checkpoint = {
  stage: 'quantize',
  epoch: 3,
  seconds: 12.5,
  strategy: { gates: [[1, 0.1], [Math.PI]], parameters: parameters.slice(5, 9), current: undefined },
  network: builtinNetwork('ds-cnn-s', { classes: ['yes', 'no'] }),
  trainer: {
    updates: 7,
    parameters,
    quantization: [
      [1, 0],
      [0.3, -0],
    ],
  },
  floatParameters: parameters.subarray(500),
}

describe('a checkpoint', () => {
  it('comes back with every bit', () => {
    expect(readCheckpoint(path)).toBeUndefined()
    writeCheckpoint(path, checkpoint)
    const back = readCheckpoint(path)!
    expect(back).toMatchObject(checkpoint)
    expect(back.trainer!.parameters).toBeInstanceOf(Float32Array)
    const bits = (values: Float32Array) => [...new Uint32Array(values.slice().buffer)]
    expect(bits(back.trainer!.parameters)).toEqual(bits(parameters))
    expect(bits(back.floatParameters!)).toEqual(bits(parameters.slice(500)))
  })

  it('replaces the one before and leaves nothing else in the folder', () => {
    writeCheckpoint(path, checkpoint)
    writeCheckpoint(path, { stage: 'done', epoch: 0, seconds: 20 })
    expect(readCheckpoint(path)).toMatchObject({ stage: 'done', epoch: 0, seconds: 20 })
    expect(readCheckpoint(path)!.trainer).toBeUndefined()
    expect(readdirSync(folder)).toEqual(['checkpoint.bin'])
  })

  it('is refused when damaged', () => {
    writeCheckpoint(path, checkpoint)
    const whole = readFileSync(path)
    const flipped = Buffer.from(whole)
    flipped[flipped.length >> 1] ^= 4
    for (const bytes of [
      flipped,
      Buffer.alloc(0),
      Buffer.from('not a checkpoint'),
      whole.subarray(0, whole.length - 100),
      whole.subarray(0, 40),
    ]) {
      writeFileSync(path, bytes)
      expect(() => readCheckpoint(path)).toThrow(RunError)
      expect(() => readCheckpoint(path)).toThrow(`${path}: is damaged; start the run again in another --out`)
    }
  })

  it('is refused when another version wrote it', () => {
    for (const value of [{ format: 'bitwright-checkpoint-0', stage: 'train' }, { stage: 'train' }, null, 7]) {
      const content = serialize(value)
      const header = Buffer.alloc(4)
      header.writeUInt32LE(crc32(content))
      writeFileSync(path, Buffer.concat([header, content]))
      expect(() => readCheckpoint(path)).toThrow(RunError)
      expect(() => readCheckpoint(path)).toThrow(/was written by another version.*another --out/)
    }
  })
})
