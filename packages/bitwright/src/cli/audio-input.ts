// Audio for `listen`: a WAV file, raw samples on standard input, or the microphone through a recorder that the machine has.
import type { Model } from '@bitwright/runtime'
import { spawn, spawnSync } from 'node:child_process'
import { readWav } from '../data/clip.ts'
import { RunError, UsageError } from '../errors.ts'
import { readGivenFile } from './given-file.ts'

export interface AudioInput {
  readonly blocks: AsyncIterable<Int16Array> | Iterable<Float32Array>
  readonly sampleRate: number
  /** Ends a recorder. */
  close(): void
}

/** Programs that write 16-bit mono samples to standard output, and how to ask them. */
export const recorders: readonly { readonly name: string; readonly args: (rate: number) => string[] }[] = [
  { name: 'arecord', args: (rate) => ['-q', '-t', 'raw', '-f', 'S16_LE', '-c', '1', '-r', String(rate)] },
  { name: 'rec', args: (rate) => ['-q', '-t', 'raw', '-e', 'signed', '-b', '16', '-L', '-c', '1', '-r', String(rate), '-'] },
  {
    name: 'ffmpeg',
    args: (rate) => {
      const device =
        process.platform === 'darwin'
          ? ['avfoundation', ':0']
          : process.platform === 'win32'
            ? ['dshow', 'audio=default']
            : ['alsa', 'default']
      return ['-loglevel', 'error', '-f', device[0], '-i', device[1], '-ac', '1', '-ar', String(rate), '-f', 's16le', '-']
    },
  },
]

/** @param audio a WAV file, `-` for standard input, undefined for the microphone */
export function openAudio(audio: string | undefined, model: Model, rate?: number): AudioInput {
  const { frontEnd } = model
  if (frontEnd.kind === 'image') throw new UsageError(`${model.name}: reads images, and listen takes sound`)
  if (audio === '-')
    return { blocks: samplesOf(process.stdin), sampleRate: rate ?? frontEnd.sampleRate, close: () => process.stdin.destroy() }
  if (audio === undefined) return openMicrophone(frontEnd.sampleRate)
  readGivenFile(audio)
  try {
    const { samples, sampleRate } = readWav(audio)
    return { blocks: [samples], sampleRate, close: () => {} }
  } catch (error) {
    throw error instanceof RunError ? new RunError(`${audio}: ${error.message}`) : error
  }
}

function openMicrophone(sampleRate: number): AudioInput {
  const recorder = recorders.find(({ name }) => spawnSync(name, ['--version'], { stdio: 'ignore' }).error === undefined)
  if (!recorder)
    throw new RunError('--microphone: found none of arecord, rec, ffmpeg; install alsa-utils, sox or ffmpeg, or pipe samples in with -')
  const child = spawn(recorder.name, recorder.args(sampleRate), { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = new Promise<number>((resolve) => child.once('close', (code) => resolve(code ?? 0)))
  return {
    blocks: (async function* () {
      yield* samplesOf(child.stdout)
      const code = await ended
      if (code !== 0) throw new RunError(`--microphone: ${recorder.name} ended with code ${code}; see what it says above`)
    })(),
    sampleRate,
    close: () => child.kill(),
  }
}

/** 16-bit samples of a stream of bytes, however it is cut. */
export async function* samplesOf(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Int16Array> {
  let rest = new Uint8Array(0)
  for await (const bytes of stream) {
    const all = Buffer.concat([rest, bytes])
    const whole = all.length - (all.length % 2)
    rest = Uint8Array.from(all.subarray(whole))
    if (whole === 0) continue
    yield new Int16Array(Uint8Array.from(all.subarray(0, whole)).buffer)
  }
}
