// One file to one clip: decode, resample, and fit to the length every network expects.

import { readFileSync } from 'node:fs'
import { resample } from '@bitwright/runtime'
import { RunError } from '../errors.ts'
import { decodeWav, type Wav } from './wav.ts'

/** Reads and decodes a file; what cannot be opened becomes a RunError like what cannot be decoded. The path is not in the message. */
export function readWav(path: string): Wav {
  let bytes: Uint8Array
  try {
    bytes = readFileSync(path)
  } catch (error) {
    throw new RunError(`cannot be read (${(error as NodeJS.ErrnoException).code ?? (error as Error).message})`)
  }
  return decodeWav(bytes)
}

/** The whole recording at `sampleRate`, 16 bits. 16-bit mono at that rate keeps its bits. */
export function readPcm(path: string, sampleRate: number): Int16Array {
  const wav = readWav(path)
  return toPcm(resample(wav.samples, wav.sampleRate, sampleRate))
}

/** Rounds samples in [-1, 1] to 16 bits; what lies outside is clipped. */
export function toPcm(samples: Float32Array): Int16Array {
  const pcm = new Int16Array(samples.length)
  for (let i = 0; i < pcm.length; i++) pcm[i] = Math.max(-32768, Math.min(32767, Math.floor(samples[i] * 32768 + 0.5)))
  return pcm
}

/**
 * Writes a recording of any length into `out`: a shorter one in the middle with zeros on both sides (the odd zero at the end), of a
 * longer one the stretch with the most energy (the earliest of equals).
 */
export function fitClip(recording: Int16Array, out: Int16Array): void {
  if (recording.length <= out.length) {
    out.fill(0)
    out.set(recording, (out.length - recording.length) >> 1)
    return
  }
  const start = loudestStretch(recording, out.length)
  out.set(recording.subarray(start, start + out.length))
}

function loudestStretch(recording: Int16Array, length: number): number {
  let energy = 0
  for (let i = 0; i < length; i++) energy += recording[i] * recording[i]
  let best = energy
  let start = 0
  for (let i = length; i < recording.length; i++) {
    const old = recording[i - length]
    energy += recording[i] * recording[i] - old * old
    if (energy > best) {
      best = energy
      start = i - length + 1
    }
  }
  return start
}
