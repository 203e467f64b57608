import { describe, expect, it } from 'vitest'
import { Random } from '@bitwright/engine'
import { RunError } from '../errors.ts'
import { decodeWav, encodeWav, readWavHeader } from './wav.ts'

type Chunk = readonly [tag: string, body: readonly number[] | Uint8Array, declared?: number]

function riff(chunks: readonly Chunk[], riffSize?: number): Uint8Array {
  const bytes: number[] = []
  for (const [tag, body, declared] of chunks) {
    const size = declared ?? body.length
    bytes.push(...[...tag].map((c) => c.charCodeAt(0)), ...u32(size), ...body)
    if (body.length % 2 === 1) bytes.push(0)
  }
  return Uint8Array.from([...'RIFF'].map((c) => c.charCodeAt(0)).concat(u32(riffSize ?? bytes.length + 4), [87, 65, 86, 69], bytes))
}

const u16 = (n: number) => [n & 255, (n >> 8) & 255]
const u32 = (n: number) => [n & 255, (n >>> 8) & 255, (n >>> 16) & 255, (n >>> 24) & 255]

function fmt(code: number, channels: number, rate: number, bits: number, extensible = false): number[] {
  const align = (channels * bits) / 8
  const plain = [...u16(extensible ? 0xfffe : code), ...u16(channels), ...u32(rate), ...u32(rate * align), ...u16(align), ...u16(bits)]
  const guid = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71]
  return extensible ? [...plain, ...u16(22), ...u16(bits), ...u32(0), ...u16(code), ...guid] : plain
}

const integers = (bits: number, values: readonly number[]) =>
  values.flatMap((v) => Array.from({ length: bits / 8 }, (_, i) => Math.floor(v / 256 ** i) & 255))

describe('decodeWav', () => {
  it.each([
    ['8-bit unsigned', 1, 8, [0, 128, 255], [-1, 0, 127 / 128]],
    ['16-bit', 1, 16, [-32768, -1, 32767], [-1, -1 / 32768, 32767 / 32768]],
    ['24-bit', 1, 24, [-8388608, -1, 65536 * 5 + 3], [-1, -1 / 8388608, (65536 * 5 + 3) / 8388608]],
    ['32-bit', 1, 32, [-2147483648, 1 << 20, -5], [-1, 2 ** -11, -5 / 2147483648]],
  ])('reads %s', (_, code, bits, values, expected) => {
    for (const extensible of [false, true]) {
      const wav = decodeWav(
        riff([
          ['fmt ', fmt(code, 1, 8000, bits, extensible)],
          ['data', integers(bits, values)],
        ]),
      )
      expect([...wav.samples]).toEqual(expected.map(Math.fround))
      expect(wav).toMatchObject({ sampleRate: 8000, channels: 1, bitsPerSample: bits, float: false, frames: 3 })
    }
  })

  it('reads 32 and 64-bit float and averages channels', () => {
    const left = [0.5, -0.25, 1.5]
    const right = [0.25, 0.75, -0.5]
    const interleaved = left.flatMap((v, i) => [v, right[i]])
    for (const extensible of [false, true]) {
      const single = new Uint8Array(Float32Array.from(interleaved).buffer)
      const double = new Uint8Array(Float64Array.from(interleaved).buffer)
      const a = decodeWav(
        riff([
          ['fmt ', fmt(3, 2, 44100, 32, extensible)],
          ['data', single],
        ]),
      )
      const b = decodeWav(
        riff([
          ['fmt ', fmt(3, 2, 44100, 64, extensible)],
          ['data', double],
        ]),
      )
      expect([...a.samples]).toEqual([0.375, 0.25, 0.5])
      expect([...b.samples]).toEqual([0.375, 0.25, 0.5])
    }
  })

  it('skips unknown chunks, odd sizes with their padding byte, and leftover bytes', () => {
    const chunks: Chunk[] = [
      ['LIST', [1, 2, 3]],
      ['fmt ', fmt(1, 2, 16000, 16)],
      ['junk', [9]],
      ['data', [...integers(16, [4, 8, -2, -4]), 7]],
    ]
    expect([...decodeWav(riff(chunks)).samples]).toEqual([6 / 32768, -3 / 32768])
  })

  it('reads streamed files whose sizes were never filled in', () => {
    const header = fmt(1, 1, 16000, 16)
    const data = integers(16, [1, 2, 3])
    for (const declared of [0xffffffff, 0x7ffffff0, 0]) {
      const bytes = riff(
        [
          ['fmt ', header],
          ['data', data, declared],
        ],
        declared === 0 ? 0 : 0xffffffff,
      )
      expect(readWavHeader(bytes).frames).toBe(3)
      expect([...decodeWav(bytes).samples]).toEqual([1 / 32768, 2 / 32768, 3 / 32768])
    }
  })

  it('reads what encodeWav wrote, also from an offset into a larger buffer', () => {
    const random = new Random(3, 'wav')
    const pcm = Int16Array.from({ length: 1001 }, () => random.integer(65536) - 32768)
    const file = encodeWav(pcm, 22050)
    const padded = new Uint8Array(file.length + 5)
    padded.set(file, 5)
    const wav = decodeWav(padded.subarray(5))
    expect(wav.sampleRate).toBe(22050)
    expect(Int16Array.from(wav.samples, (v) => v * 32768)).toEqual(pcm)
  })

  const good = integers(16, [1, 2])
  it.each([
    ['is empty', new Uint8Array()],
    ['is Ogg, not WAV', Uint8Array.from([...'OggS1234567890'].map((c) => c.charCodeAt(0)))],
    ['does not begin with RIFF', Uint8Array.from({ length: 64 }, (_, i) => i)],
    ['RIFF without WAVE', riff([]).subarray(0, 10)],
    ['no fmt chunk', riff([])],
    ['no data chunk', riff([['fmt ', fmt(1, 1, 16000, 16)]])],
    [
      'data before its format',
      riff([
        ['data', good],
        ['fmt ', fmt(1, 1, 16000, 16)],
      ]),
    ],
    [
      'holds no samples',
      riff([
        ['fmt ', fmt(1, 1, 16000, 16)],
        ['data', []],
      ]),
    ],
    [
      'compressed (mu-law)',
      riff([
        ['fmt ', fmt(7, 1, 8000, 8)],
        ['data', good],
      ]),
    ],
    [
      'format 0x1234',
      riff([
        ['fmt ', fmt(0x1234, 1, 8000, 8, true)],
        ['data', good],
      ]),
    ],
    [
      '12-bit PCM',
      riff([
        ['fmt ', fmt(1, 2, 16000, 12)],
        ['data', good],
      ]),
    ],
    [
      '0 channels',
      riff([
        ['fmt ', fmt(1, 0, 16000, 16)],
        ['data', good],
      ]),
    ],
    [
      'sample rate of 3 Hz',
      riff([
        ['fmt ', fmt(1, 1, 3, 16)],
        ['data', good],
      ]),
    ],
    [
      'fmt chunk of 8 bytes',
      riff([
        ['fmt ', [1, 0, 1, 0, 0, 0, 0, 0]],
        ['data', good],
      ]),
    ],
    [
      'not finite',
      riff([
        ['fmt ', fmt(3, 1, 16000, 32)],
        ['data', new Uint8Array(Float32Array.of(0, NaN).buffer)],
      ]),
    ],
  ])('refuses with "%s"', (message, bytes) => {
    expect(() => decodeWav(bytes)).toThrow(RunError)
    expect(() => decodeWav(bytes)).toThrow(message)
  })

  it('answers 4,000 mutated and truncated files with samples or a RunError', () => {
    const random = new Random(7, 'fuzz')
    const seeds = [
      encodeWav(new Int16Array(40).fill(1000), 16000),
      riff([
        ['LIST', [1, 2, 3]],
        ['fmt ', fmt(3, 2, 48000, 64, true)],
        ['data', new Uint8Array(160)],
      ]),
    ]
    let decoded = 0
    for (let round = 0; round < 4000; round++) {
      const bytes = seeds[round % 2].slice(0, random.uniform() < 0.3 ? random.integer(seeds[round % 2].length) : undefined)
      for (let change = random.integer(4); change >= 0 && bytes.length > 0; change--) {
        bytes[random.integer(bytes.length)] = random.uniform() < 0.5 ? random.integer(256) : [0, 1, 127, 128, 255][random.integer(5)]
      }
      try {
        const wav = decodeWav(bytes)
        expect(wav.samples.length).toBeGreaterThan(0)
        expect(wav.samples.length).toBeLessThan(bytes.length)
        decoded++
      } catch (error) {
        expect(error).toBeInstanceOf(RunError)
      }
    }
    expect(decoded).toBeGreaterThan(500)
    expect(decoded).toBeLessThan(3500)
  })
})
