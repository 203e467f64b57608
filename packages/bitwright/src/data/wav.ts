// Reads and writes RIFF/WAVE (Microsoft "Multiple Channel Audio Data and WAVE Files"): PCM of 8, 16, 24 and 32 bits and float of 32 and
// 64 bits, plain or WAVE_FORMAT_EXTENSIBLE, any rate from 1 to 384 kHz, any number of channels. What it does not read it names.

import { RunError } from '../errors.ts'

export interface WavHeader {
  readonly sampleRate: number
  readonly channels: number
  readonly bitsPerSample: number
  readonly float: boolean
  /** Samples per channel that the file holds. */
  readonly frames: number
}

export interface Wav extends WavHeader {
  /** Mean of the channels, [frames], full scale is 1; 16-bit mono keeps its exact values as pcm / 32768. */
  readonly samples: Float32Array
}

const pcmFormat = 1
const floatFormat = 3
const extensibleFormat = 0xfffe
const formatNames: Record<number, string> = { 2: 'ADPCM', 6: 'A-law', 7: 'mu-law', 17: 'IMA ADPCM', 49: 'GSM 6.10', 80: 'MPEG', 85: 'MP3' }
const magics: readonly (readonly [string, string])[] = [
  ['OggS', 'Ogg'],
  ['fLaC', 'FLAC'],
  ['ID3', 'MP3'],
  ['FORM', 'AIFF'],
  ['RIFX', 'big-endian RIFX'],
  ['RF64', 'RF64'],
]
const remedy = 'convert it to 16-bit PCM WAV, e.g. ffmpeg -i FILE -c:a pcm_s16le OUT.wav'

/** Reads a WAV file. Throws a RunError that says what is wrong; a data chunk that claims more than the file holds is cut to the file. */
export function decodeWav(bytes: Uint8Array): Wav {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const { header, start } = parse(view)
  const { channels, bitsPerSample, frames } = header
  const samples = new Float32Array(frames)
  const read = sampleReader(view, bitsPerSample, header.float)
  const width = bitsPerSample / 8
  for (let frame = 0, offset = start; frame < frames; frame++) {
    let sum = 0
    for (let channel = 0; channel < channels; channel++, offset += width) sum += read(offset)
    samples[frame] = channels === 1 ? sum : sum / channels
  }
  if (header.float && !samples.every(Number.isFinite)) throw new RunError('holds samples that are not finite numbers')
  return { ...header, samples }
}

/** Reads only the header: rate, channels, width and length. Throws as `decodeWav` does. */
export function readWavHeader(bytes: Uint8Array): WavHeader {
  return parse(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)).header
}

/** A WAV file of 16-bit mono PCM. */
export function encodeWav(pcm: Int16Array, sampleRate: number): Uint8Array {
  const out = new Uint8Array(44 + 2 * pcm.length)
  const view = new DataView(out.buffer)
  const tag = (offset: number, text: string) => {
    for (let i = 0; i < 4; i++) out[offset + i] = text.charCodeAt(i)
  }
  tag(0, 'RIFF')
  view.setUint32(4, 36 + 2 * pcm.length, true)
  tag(8, 'WAVE')
  tag(12, 'fmt ')
  view.setUint32(16, 16, true)
  view.setUint16(20, pcmFormat, true)
  view.setUint16(22, 1, true)
  view.setUint32(24, sampleRate, true)
  view.setUint32(28, 2 * sampleRate, true)
  view.setUint16(32, 2, true)
  view.setUint16(34, 16, true)
  tag(36, 'data')
  view.setUint32(40, 2 * pcm.length, true)
  for (let i = 0; i < pcm.length; i++) view.setInt16(44 + 2 * i, pcm[i], true)
  return out
}

function tagAt(view: DataView, offset: number): string {
  return String.fromCharCode(view.getUint8(offset), view.getUint8(offset + 1), view.getUint8(offset + 2), view.getUint8(offset + 3))
}

function parse(view: DataView): { header: WavHeader; start: number } {
  if (view.byteLength === 0) throw new RunError('is empty')
  const first = view.byteLength >= 4 ? tagAt(view, 0) : ''
  const other = magics.find(([magic]) => first.startsWith(magic))
  if (other) throw new RunError(`is ${other[1]}, not WAV: ${remedy}`)
  if (first !== 'RIFF') throw new RunError('is not a WAV file (it does not begin with RIFF)')
  if (view.byteLength < 12 || tagAt(view, 8) !== 'WAVE') throw new RunError('is not a WAV file (RIFF without WAVE)')
  const streamed = view.getUint32(4, true) === 0 || view.getUint32(4, true) === 0xffffffff
  let format: Format | undefined
  for (let offset = 12; offset + 8 <= view.byteLength;) {
    const tag = tagAt(view, offset)
    const declared = view.getUint32(offset + 4, true)
    const body = offset + 8
    const size = Math.min(declared, view.byteLength - body)
    if (tag === 'fmt ') format = parseFormat(view, body, size)
    if (tag === 'data') {
      if (!format) throw new RunError('has its data before its format (no fmt chunk)')
      const bytes = declared === 0 && streamed ? view.byteLength - body : size
      const frames = Math.floor(bytes / ((format.bitsPerSample / 8) * format.channels))
      if (frames === 0) throw new RunError('holds no samples')
      return { header: { ...format, frames }, start: body }
    }
    offset = body + declared + (declared & 1)
  }
  throw new RunError(format ? 'has no data chunk (cut off?)' : 'has no fmt chunk (cut off?)')
}

type Format = Omit<WavHeader, 'frames'>

function parseFormat(view: DataView, offset: number, size: number): Format {
  if (size < 16) throw new RunError(`has a fmt chunk of ${size} bytes, at least 16 are needed`)
  let code = view.getUint16(offset, true)
  if (code === extensibleFormat) {
    if (size < 40) throw new RunError(`has an extensible fmt chunk of ${size} bytes, 40 are needed`)
    code = view.getUint16(offset + 24, true)
  }
  const channels = view.getUint16(offset + 2, true)
  const sampleRate = view.getUint32(offset + 4, true)
  const align = view.getUint16(offset + 12, true)
  const bitsPerSample = view.getUint16(offset + 14, true)
  if (code !== pcmFormat && code !== floatFormat) {
    throw new RunError(`is compressed (${formatNames[code] ?? `format 0x${code.toString(16)}`}), not PCM: ${remedy}`)
  }
  const float = code === floatFormat
  if (!(float ? [32, 64] : [8, 16, 24, 32]).includes(bitsPerSample)) {
    throw new RunError(`has ${bitsPerSample}-bit ${float ? 'float' : 'PCM'} samples: ${remedy}`)
  }
  if (channels === 0 || align !== (channels * bitsPerSample) / 8) {
    throw new RunError(`has a broken header (${channels} channels of ${bitsPerSample} bits in frames of ${align} bytes)`)
  }
  if (sampleRate < 1000 || sampleRate > 384000) throw new RunError(`claims a sample rate of ${sampleRate} Hz, 1000 to 384000 are read`)
  return { sampleRate, channels, bitsPerSample, float }
}

function sampleReader(view: DataView, bits: number, float: boolean): (offset: number) => number {
  if (float) return bits === 32 ? (o) => view.getFloat32(o, true) : (o) => view.getFloat64(o, true)
  if (bits === 8) return (o) => (view.getUint8(o) - 128) / 128
  if (bits === 16) return (o) => view.getInt16(o, true) / 32768
  if (bits === 24) return (o) => (view.getUint16(o, true) + view.getInt8(o + 2) * 65536) / 8388608
  return (o) => view.getInt32(o, true) / 2147483648
}
