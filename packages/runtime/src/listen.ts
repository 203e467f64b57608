// model.listen(): audio in, events out. Blocks from any iterable are heard where they are in Node and in a worker in browsers; a stream
// or a node of the Web Audio graph is heard by a worklet that sends its blocks to the worker.

import { AudioPipeline, type Heard, type HearingOptions } from './audio-pipeline.ts'
import { type Hearing, Listener, type Sink } from './listener.ts'
import type { Model } from './load.ts'
import type { FromWorker, ToWorker } from './worker.ts'
import { processorName, workletSource } from './worklet.ts'

type Block = Float32Array | Int16Array

/** Blocks are mono and of any length; floats in [-1, 1]. */
export type AudioSource = MediaStream | AudioNode | AsyncIterable<Block> | Iterable<Block>

export interface ListenOptions extends HearingOptions {
  /** Address of a module that calls `serveWorker(self)`, for pages whose policy forbids blob: addresses. */
  readonly workerUrl?: string | URL
  /** Address of a file that holds `workletSource()`, for the same. */
  readonly workletUrl?: string | URL
}

/** The bundled runtime is one function, and this is that function, from within; see tools/build-browser.ts. */
declare const bitwrightRuntime: (() => unknown) | undefined

/** @throws through the listener's `done`: RangeError for a model of images or an impossible option */
export function listen(model: Model, source: AudioSource, options: ListenOptions = {}): Listener {
  return new Listener((sink) => (isGraph(source) ? hearGraph(model, source, options, sink) : hearBlocks(model, source, options, sink)))
}

function isGraph(source: AudioSource): source is MediaStream | AudioNode {
  if (typeof MediaStream !== 'undefined' && source instanceof MediaStream) return true
  return typeof AudioNode !== 'undefined' && source instanceof AudioNode
}

/** A pipeline, here or in a worker. */
interface Ear extends Hearing {
  push(block: Block): Heard | Promise<Heard>
  finish(): Heard | Promise<Heard>
}

function hearBlocks(model: Model, source: AsyncIterable<Block> | Iterable<Block>, options: ListenOptions, sink: Sink): Hearing {
  const ear = canWork(options) ? workerEar(model, options, sink) : localEar(model, options)
  // a long block is heard a second at a time, so that whoever waits for it has a turn
  const secondOf = options.sampleRate ?? (model.frontEnd.kind === 'image' ? 1 : model.frontEnd.sampleRate)
  const closing = new AbortController()
  const { signal } = closing
  const work = async (): Promise<void> => {
    for await (const block of source) {
      if (signal.aborted) return
      if (!(block instanceof Float32Array || block instanceof Int16Array))
        throw new TypeError('listen: a block is no Float32Array or Int16Array')
      for (let at = 0; at < block.length && !signal.aborted; at += secondOf) {
        sink.heard(await ear.push(block.subarray(at, at + secondOf)))
        if (at + secondOf < block.length) await new Promise((resolve) => setTimeout(resolve))
      }
    }
    if (!signal.aborted) sink.heard(await ear.finish())
  }
  work().then(
    () => sink.ended(),
    (error: unknown) => sink.ended({ error }),
  )
  return {
    configure: (settings) => ear.configure(settings),
    close: () => {
      closing.abort()
      return ear.close()
    },
  }
}

function localEar(model: Model, options: HearingOptions): Ear {
  const pipeline = new AudioPipeline(model, options)
  return {
    push: (block) => pipeline.push(block),
    finish: () => pipeline.finish(),
    configure: (settings) => pipeline.configure(settings),
    close: () => {},
  }
}

const canWork = ({ workerUrl }: ListenOptions): boolean =>
  typeof Worker !== 'undefined' && (workerUrl !== undefined || typeof bitwrightRuntime !== 'undefined')

/** A worker that reports to the sink what it hears live, and to its caller what it was sent. */
function workerEar(
  model: Model,
  { workerUrl, sampleRate, hopSeconds, settings }: ListenOptions,
  sink: Sink,
): Ear & { readonly worker: Worker } {
  const options: HearingOptions = { sampleRate, hopSeconds, settings }
  // wrong options fail here, with their own kind of error
  void new AudioPipeline(model, options)
  const worker = workerUrl === undefined ? new Worker(scriptUrl('worker', workerSource)) : new Worker(workerUrl, { type: 'module' })
  const waiting: ((heard: Heard) => void)[] = []
  const fail = (message: string): void => sink.ended({ error: new Error(message) })
  worker.addEventListener('error', ({ message }) => fail(`listen: the worker failed (${message || 'it could not be loaded'})`))
  worker.addEventListener('message', ({ data }: MessageEvent<FromWorker>) => {
    switch (data.type) {
      case 'heard': {
        const answer = waiting.shift()
        if (answer) answer(data.heard)
        else sink.heard(data.heard)
        return
      }
      case 'lost':
        return sink.lost(data.seconds)
      case 'failed':
        return fail(data.message)
      default:
        throw new Error(`unknown message ${JSON.stringify(data satisfies never)}`)
    }
  })
  const send = (message: ToWorker): void => worker.postMessage(message)
  const ask = (message: ToWorker): Promise<Heard> =>
    new Promise((resolve) => {
      waiting.push(resolve)
      send(message)
    })
  send({ type: 'open', file: model.file, options })
  return {
    worker,
    push: (block) => ask({ type: 'block', block }),
    finish: () => ask({ type: 'finish' }),
    configure: (changes) => send({ type: 'configure', settings: changes }),
    close: () => worker.terminate(),
  }
}

async function hearGraph(model: Model, source: MediaStream | AudioNode, options: ListenOptions, sink: Sink): Promise<Hearing> {
  if (!canWork(options)) throw new Error('listen: a stream needs the bundled runtime (@bitwright/runtime/browser) or options.workerUrl')
  const isStream = source instanceof MediaStream
  if (isStream && source.getAudioTracks().length === 0) throw new Error('listen: the stream has no audio track')
  const context = isStream ? new AudioContext() : (source.context as AudioContext)
  const release = async (): Promise<void> => (isStream ? context.close() : undefined)
  let ear: ReturnType<typeof workerEar> | undefined
  try {
    const { worker, configure, close } = (ear = workerEar(model, { ...options, sampleRate: context.sampleRate }, sink))
    await context.audioWorklet.addModule(options.workletUrl ?? scriptUrl('worklet', workletSource))
    // some browsers run only what leads to the speakers; the node's output is silence
    const node = new AudioWorkletNode(context, processorName)
    node.connect(context.destination)
    const { port1, port2 } = new MessageChannel()
    worker.postMessage({ type: 'live', port: port1, sampleRate: context.sampleRate } satisfies ToWorker, [port1])
    node.port.postMessage({ port: port2 }, [port2])
    const input = isStream ? context.createMediaStreamSource(source) : source
    input.connect(node)
    const tracks = isStream ? source.getAudioTracks() : []
    const onEnded = (): void => {
      if (tracks.every(({ readyState }) => readyState === 'ended')) sink.ended()
    }
    for (const track of tracks) track.addEventListener('ended', onEnded)
    void context.resume()
    return {
      configure,
      close: async () => {
        for (const track of tracks) track.removeEventListener('ended', onEnded)
        input.disconnect(node)
        node.disconnect()
        node.port.postMessage({})
        await close()
        await release()
      },
    }
  } catch (error) {
    await ear?.close()
    await release()
    throw error
  }
}

const workerSource = (): string => `(${bitwrightRuntime})().serveWorker(self)`

const urls = new Map<string, string>()

/** A blob: address for a script, the same each time: a worklet module of one address is only loaded once in a context. */
function scriptUrl(name: string, source: () => string): string {
  let url = urls.get(name)
  if (url === undefined) urls.set(name, (url = URL.createObjectURL(new Blob([source()], { type: 'text/javascript' }))))
  return url
}
