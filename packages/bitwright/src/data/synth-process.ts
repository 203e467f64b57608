// Speaks utterances through espeak-ng in child processes, a few at a time, and cuts what comes back into words.

import { fork, type ChildProcess } from 'node:child_process'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { resample } from '@bitwright/runtime'
import { RunError, UsageError } from '../errors.ts'
import { decodeWav } from './wav.ts'

export interface Utterance {
  readonly id: number
  readonly voice: string
  readonly pitch: number
  readonly pace: number
  readonly ssml: string
}

export type UtteranceReply = { readonly id: number; readonly wav: Uint8Array } | { readonly id: number; readonly error: string }

export interface Sound {
  readonly samples: Float32Array
  readonly sampleRate: number
}

export interface Phrase {
  readonly voice: string
  readonly pitch: number
  readonly pace: number
  readonly words: readonly string[]
}

/** Throws a UsageError where the optional package is not installed. */
export function requireEspeak(packageName = 'espeak-ng'): void {
  try {
    createRequire(import.meta.url).resolve(packageName)
  } catch {
    throw new UsageError(
      `speech synthesis needs the optional package ${packageName} (GPL-3.0, run as a separate process): npm install ${packageName}`,
    )
  }
}

const pauseMs = 900
/** Longer than any pause inside a word, shorter than what an echoing voice leaves of `pauseMs`. */
const gapMs = 350
const hush = 24 / 32768

/**
 * Speaks each phrase in one go, its words parted by pauses, and hands the words of phrase i to `onWords(i, words)` at 16 kHz, in no
 * particular order. A phrase that cannot be cut cleanly is spoken word by word.
 */
export async function speakPhrases(
  phrases: readonly Phrase[],
  processes: number,
  onWords: (index: number, words: readonly Float32Array[]) => void,
): Promise<void> {
  requireEspeak()
  let next = 0
  const children: Child[] = []
  const work = async () => {
    const child = new Child()
    children.push(child)
    let index = next++
    let spoken = child.speak(phrases[index], phrases[index].words)
    while (index < phrases.length) {
      const phrase = phrases[index]
      let words = cutWords(await spoken)
      if (words.length !== phrase.words.length) {
        words = []
        for (const word of phrase.words) words.push(trim(await child.speak(phrase, [word]), word))
      }
      const finished = index
      index = next++
      // The child speaks the next phrase while this one is worked on.
      if (index < phrases.length) spoken = child.speak(phrases[index], phrases[index].words)
      onWords(
        finished,
        words.map(({ samples, sampleRate }) => resample(samples, sampleRate, 16000)),
      )
    }
  }
  try {
    await Promise.all(Array.from({ length: Math.min(processes, phrases.length) }, work))
  } finally {
    for (const child of children) child.end()
  }
}

/** One espeak-ng process, one utterance at a time. */
class Child {
  private readonly process: ChildProcess
  private stderr = ''
  private count = 0

  constructor() {
    const file = new URL(`./synth-child.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url)
    this.process = fork(fileURLToPath(file), { serialization: 'advanced', stdio: ['ignore', 'ignore', 'pipe', 'ipc'], execArgv: [] })
    this.process.stderr!.on('data', (text: Buffer) => (this.stderr = `${this.stderr}${text}`.slice(-2000)))
  }

  async speak({ voice, pitch, pace }: Phrase, words: readonly string[]): Promise<Sound> {
    const ssml = words.map((word) => `${word}<break time="${pauseMs}ms"/>`).join(' ')
    const utterance: Utterance = { id: this.count++, voice, pitch, pace, ssml }
    const reply = await new Promise<UtteranceReply>((resolve, reject) => {
      const settle = (act: () => void) => {
        this.process.removeAllListeners()
        act()
      }
      this.process.on('message', (message) => settle(() => resolve(message as UtteranceReply)))
      this.process.on('error', (error) => settle(() => reject(error)))
      this.process.on('exit', (code) => settle(() => reject(new RunError(`espeak-ng ended with code ${code}: ${this.stderr.trim()}`))))
      this.process.send(utterance, (error) => error && settle(() => reject(error)))
    })
    if ('error' in reply) throw new RunError(`espeak-ng cannot speak with voice ${voice}: ${reply.error}`)
    return decodeWav(reply.wav)
  }

  end(): void {
    this.process.removeAllListeners()
    if (this.process.connected) this.process.disconnect()
  }
}

/** The stretches between long gaps. */
export function cutWords({ samples, sampleRate }: Sound): Sound[] {
  const gap = (gapMs / 1000) * sampleRate
  const words: Sound[] = []
  let start = -1
  let end = -1
  for (let i = 0; i < samples.length; i++) {
    if (!loud(samples[i])) continue
    if (start >= 0 && i - end > gap) {
      words.push({ samples: samples.slice(start, end), sampleRate })
      start = i
    }
    if (start < 0) start = i
    end = i + 1
  }
  if (start >= 0) words.push({ samples: samples.slice(start, end), sampleRate })
  return words
}

const loud = (value: number) => Math.abs(value) > hush

function trim({ samples, sampleRate }: Sound, word: string): Sound {
  const start = samples.findIndex(loud)
  if (start < 0) throw new RunError(`espeak-ng says nothing for the word ${word}; spell it as it is spoken`)
  return { samples: samples.slice(start, samples.findLastIndex(loud) + 1), sampleRate }
}
