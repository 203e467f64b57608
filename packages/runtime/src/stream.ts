// A model on a stream: each hop costs the new rows of every layer, and the logits are those of the whole window, bit for bit (core/stream.c).

import { isSpectral, prepareFrontEnd } from './front-end.ts'
import type { Model } from './load.ts'
import type { Machine } from './machine.ts'
import { streamPlan, type StreamPlan } from './stream-plan.ts'

/** Samples handed to the core at a time. */
const blockSamples = 4096

/** Bytes beyond which weights are not laid out for vectors. */
const largestPrepared = 2 ** 30

export class ModelStream {
  readonly plan: StreamPlan
  private readonly model: Model
  private places = { pcm: 0, logits: 0 }
  /** The machine's memory while another stream has the machine. */
  private aside: Uint8Array | undefined

  /** Use `model.stream()`. */
  constructor(model: Model) {
    const plan = streamPlan(model.integerModel)
    if ('reason' in plan) throw new RangeError(`${model.name}: cannot stream: ${plan.reason}; train it with --streaming`)
    this.plan = plan
    this.model = model
  }

  /** Takes the next samples, any number, and gives the logits they complete, oldest first. */
  push(samples: Int16Array): Int16Array[] {
    const { core } = this.install()
    const { classes } = this.model
    const results: Int16Array[] = []
    for (let at = 0; at < samples.length;) {
      const block = samples.subarray(at, at + blockSamples)
      new Int16Array(core.memory.buffer, this.places.pcm, block.length).set(block)
      for (let used = 0; used < block.length;) {
        used += core.streamPush(this.places.pcm + 2 * used, block.length - used, this.places.logits)
        if (core.streamReady()) results.push(new Int16Array(core.memory.buffer, this.places.logits, classes.length).slice())
      }
      at += block.length
    }
    return results
  }

  private install(): Machine {
    const machine = this.model.machines.streams
    const { owner } = machine
    if (owner === this) return machine
    if (owner instanceof ModelStream) owner.aside = machine.save()
    if (this.aside) machine.restore(this.aside)
    else this.begin(machine)
    this.aside = undefined
    machine.owner = this
    return machine
  }

  private begin(on: Machine): void {
    const { core } = on
    const { frontEnd, classes } = this.model
    on.open(this.model.file, this.model.name)
    if (isSpectral(frontEnd)) prepareFrontEnd(on, frontEnd)
    core.streamPlan(on.take(core.streamPlanBytes()))
    this.places = { pcm: on.take(2 * blockSamples), logits: on.take(2 * classes.length) }
    core.streamOpen(on.take(core.streamStateBytes()))
    const bytes = core.preparedBytes()
    if (bytes < largestPrepared) core.prepare(on.take(bytes))
  }
}
