// What runs on the audio thread: it gathers what a microphone gives into blocks and sends them, mixed to one channel, to the worker's port.
// Its function is taken as text, so it may use nothing from outside.

/** A block of live audio on its way to the worker. */
export interface LiveBlock {
  readonly samples: Float32Array
  /** By the clock of `Date.now`. */
  readonly sentMs: number
}

export const processorName = 'bitwright-blocks'

interface Processor {
  readonly port: MessagePort
}
declare const AudioWorkletProcessor: new () => Processor
declare const registerProcessor: (name: string, processor: unknown) => void

function register(name: string): void {
  const blockFrames = 1024

  class Blocks extends AudioWorkletProcessor {
    target: MessagePort | undefined
    isDone = false
    block = new Float32Array(blockFrames)
    filled = 0

    constructor() {
      super()
      this.port.addEventListener('message', ({ data }: MessageEvent<{ port?: MessagePort }>) => {
        if (data.port) this.target = data.port
        else this.isDone = true
      })
      this.port.start()
    }

    process([channels]: Float32Array[][]): boolean {
      // a source that is paused or gone has no channels: time goes on in silence
      const frames = channels[0]?.length ?? 128
      for (let i = 0; i < frames; i++) {
        let sum = 0
        for (const channel of channels) sum += channel[i]
        this.block[this.filled++] = channels.length > 0 ? sum / channels.length : 0
        if (this.filled === blockFrames) this.send()
      }
      return !this.isDone
    }

    send(): void {
      this.target?.postMessage({ samples: this.block, sentMs: Date.now() }, [this.block.buffer])
      this.block = new Float32Array(blockFrames)
      this.filled = 0
    }
  }

  registerProcessor(name, Blocks)
}

/** The script of an AudioWorklet module. */
export const workletSource = (): string => `(${register})('${processorName}')\n`
