// What listening to audio gives back, wherever the work is done: a handle that dispatches events and can be stopped.

import type { Heard, Scored } from './audio-pipeline.ts'
import type { Detection, DetectorSettings } from './detector.ts'

export interface ListenerEventMap {
  /** 16-bit samples as the model hears them. */
  audio: CustomEvent<Int16Array>
  scores: CustomEvent<Scored>
  detection: CustomEvent<Detection>
  /** Seconds of audio that were left out because this machine was too slow for it. */
  lost: CustomEvent<number>
}

/** Where those who do the work report. */
export interface Sink {
  heard(heard: Heard): void
  lost(seconds: number): void
  /** The source has ended, or listening failed. */
  ended(failure?: { readonly error: unknown }): void
}

/** The work, under way. */
export interface Hearing {
  /** @throws RangeError where a setting is impossible */
  configure(settings: Partial<DetectorSettings>): void
  /** Ends it and frees what it holds. */
  close(): void | Promise<void>
}

export interface ListenerTarget extends EventTarget {
  addEventListener<Type extends keyof ListenerEventMap>(
    type: Type,
    listener: (event: ListenerEventMap[Type]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void
  addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void
  removeEventListener<Type extends keyof ListenerEventMap>(
    type: Type,
    listener: (event: ListenerEventMap[Type]) => void,
    options?: boolean | EventListenerOptions,
  ): void
  removeEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | EventListenerOptions): void
}

const TypedTarget = EventTarget as { new (): ListenerTarget; prototype: ListenerTarget }

/** Dispatches `audio`, `scores`, `detection` and `lost` events until it is stopped or the source ends. */
export class Listener extends TypedTarget {
  /** Resolves when the source has ended or `stop` was called; rejects where listening failed. */
  readonly done: Promise<void>
  private readonly hearing: Promise<Hearing>
  private readonly settle: (failure?: { readonly error: unknown }) => void
  private isStopped = false

  /** @param start begins the work; called after the caller had time to add event listeners */
  constructor(start: (sink: Sink) => Hearing | Promise<Hearing>) {
    super()
    let settle: typeof this.settle = () => {}
    this.done = new Promise((resolve, reject) => {
      settle = (failure) => (failure ? reject(failure.error) : resolve())
    })
    this.settle = settle
    const sink: Sink = {
      heard: ({ audio, scores }) => {
        if (audio.length > 0) this.report('audio', audio)
        for (const scored of scores) {
          this.report('scores', scored)
          if (scored.detection) this.report('detection', scored.detection)
        }
      },
      lost: (seconds) => this.report('lost', seconds),
      ended: (failure) => void this.end(failure),
    }
    this.hearing = Promise.resolve().then(() => start(sink))
    this.hearing.catch((error: unknown) => this.end({ error }))
  }

  /** Changes the detector's settings from the next scores on. @throws RangeError where one is impossible */
  async configure(settings: Partial<DetectorSettings>): Promise<void> {
    const hearing = await this.hearing
    hearing.configure(settings)
  }

  /** Ends listening; no event follows. The source is the caller's own: stop its tracks or close it. */
  async stop(): Promise<void> {
    await this.end()
    await this.done
  }

  private report(type: keyof ListenerEventMap, detail: unknown): void {
    if (!this.isStopped) this.dispatchEvent(new CustomEvent(type, { detail }))
  }

  private async end(failure?: { readonly error: unknown }): Promise<void> {
    if (this.isStopped) return
    this.isStopped = true
    try {
      const hearing = await this.hearing
      await hearing.close()
    } catch (error) {
      failure ??= { error }
    }
    this.settle(failure)
  }
}
