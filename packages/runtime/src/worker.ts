// What runs off the main thread: a worker that holds a model and hears the blocks it is sent, by its page or straight from the audio
// thread through a port.

import { AudioPipeline, type Heard, type HearingOptions } from './audio-pipeline.ts'
import type { DetectorSettings } from './detector.ts'
import { load } from './load.ts'
import type { LiveBlock } from './worklet.ts'

export type ToWorker =
  | { readonly type: 'open'; readonly file: Uint8Array; readonly options: HearingOptions }
  /** Where live blocks come from. */
  | { readonly type: 'live'; readonly port: MessagePort; readonly sampleRate: number }
  /** Is answered by `heard`. */
  | { readonly type: 'block'; readonly block: Float32Array | Int16Array }
  /** Is answered by `heard`. */
  | { readonly type: 'finish' }
  | { readonly type: 'configure'; readonly settings: Partial<DetectorSettings> }

export type FromWorker =
  | { readonly type: 'heard'; readonly heard: Heard }
  | { readonly type: 'lost'; readonly seconds: number }
  | { readonly type: 'failed'; readonly message: string }

export interface WorkerScope {
  addEventListener(type: 'message', listener: (event: MessageEvent<ToWorker>) => void): void
  postMessage(message: FromWorker): void
}

/** Live audio that waited longer is left out, so that a slow machine stays with the present. */
const longestWaitMs = 2000

/** Makes a worker of the scope it is called in. @param now milliseconds, by the clock that stamps live blocks */
export function serveWorker(scope: WorkerScope, now: () => number = Date.now): void {
  let pipeline: AudioPipeline | undefined

  const answer = (message: ToWorker): void => {
    if (message.type === 'open') {
      pipeline = new AudioPipeline(load(message.file), message.options)
      return
    }
    if (!pipeline) throw new Error(`worker: '${message.type}' came before a model`)
    const opened = pipeline
    switch (message.type) {
      case 'live':
        message.port.addEventListener('message', ({ data }: MessageEvent<LiveBlock>) =>
          guarded(() => hearLive(opened, data, message.sampleRate)),
        )
        return message.port.start()
      case 'block':
        return scope.postMessage({ type: 'heard', heard: opened.push(message.block) })
      case 'finish':
        return scope.postMessage({ type: 'heard', heard: opened.finish() })
      case 'configure':
        return opened.configure(message.settings)
      default:
        throw new Error(`worker: unknown message ${JSON.stringify(message satisfies never)}`)
    }
  }

  const hearLive = (opened: AudioPipeline, { samples, sentMs }: LiveBlock, sampleRate: number): void => {
    if (now() - sentMs <= longestWaitMs) return scope.postMessage({ type: 'heard', heard: opened.push(samples) })
    const seconds = samples.length / sampleRate
    opened.skip(seconds)
    scope.postMessage({ type: 'lost', seconds })
  }

  const guarded = (work: () => void): void => {
    try {
      work()
    } catch (error) {
      scope.postMessage({ type: 'failed', message: (error as Error).message })
    }
  }

  scope.addEventListener('message', ({ data }) => guarded(() => answer(data)))
}
