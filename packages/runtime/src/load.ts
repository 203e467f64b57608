// A loaded model: PCM or pixels in, logits or a prediction out, computed by core/.

import { parseModel, readSizes } from './decode.ts'
import { isSpectral, prepareFrontEnd, widenFrontEnd } from './front-end.ts'
import { type Machine, type Machines, webAssembly } from './machine.ts'
import { type AudioSource, listen, type ListenOptions } from './listen.ts'
import type { Listener } from './listener.ts'
import type { IntegerFrontEnd, IntegerModel } from './model.ts'
import { ModelStream } from './stream.ts'
import { toInt16 } from './pcm.ts'

export interface Prediction {
  readonly label: string
  readonly index: number
  /** Softmax probabilities in class order, in 65535ths: the same bits in every home of the core. */
  readonly scores: Float32Array
  /** int16; times the last tensor's scale they are the real logits (its zero point taken off). */
  readonly logits: Int16Array
}

/** A probability of one, as the core says it. */
const certain = 65535

/** Bytes beyond which weights are not laid out for vectors. */
const largestPrepared = 2 ** 30

interface Places {
  readonly arena: number
  readonly input: number
  readonly logits: number
}

export class Model {
  readonly name: string
  readonly classes: readonly string[]
  readonly frontEnd: IntegerFrontEnd
  /** The .bw file. */
  readonly file: Uint8Array
  /** The model as plain data, as `decodeModel` gives it. */
  readonly integerModel: IntegerModel
  /** @internal */
  readonly machines: Machines
  private readonly sizes: ReturnType<typeof readSizes>
  private places: Places = { arena: 0, input: 0, logits: 0 }

  /** Use `load`. */
  constructor(file: Uint8Array, integerModel: IntegerModel, machines: Machines) {
    this.file = file
    this.machines = machines
    this.integerModel = integerModel
    this.name = integerModel.name
    this.classes = integerModel.classes
    this.frontEnd = integerModel.frontEnd
    this.sizes = readSizes(file)
  }

  /** What it runs on: WebAssembly, or the core compiled for this processor (`loadNative`). The bits are the same. */
  get home(): 'wasm' | 'native' {
    return this.machines.home
  }

  /**
   * Logits of one clip or image.
   * @param input `frontEnd.samples` 16-bit samples at `frontEnd.sampleRate`; of a model for images, its pixels [height][width][channels]
   * @throws RangeError where the model takes the other kind, or another number
   */
  run(input: Int16Array | Uint8Array): Int16Array {
    return input instanceof Uint8Array ? this.runPixels(input) : this.runPcm(input)
  }

  private runPcm(pcm: Int16Array): Int16Array {
    const { samples } = this.sizes
    if (this.frontEnd.kind === 'image') throw new RangeError(`${this.name}: takes the pixels of an image (Uint8Array), not samples`)
    if (pcm.length !== samples) throw new RangeError(`${this.name}: clip has ${pcm.length} samples, the model takes ${samples}`)
    const { core } = this.install()
    new Int16Array(core.memory.buffer, this.places.input, samples).set(pcm)
    core.run(this.places.arena, this.places.input, this.places.logits)
    return this.logits()
  }

  private runPixels(pixels: Uint8Array): Int16Array {
    const { inputValues } = this.sizes
    if (this.frontEnd.kind !== 'image') throw new RangeError(`${this.name}: takes 16-bit samples (Int16Array), not pixels`)
    if (pixels.length !== inputValues)
      throw new RangeError(
        `${this.name}: image has ${pixels.length} bytes, the model takes ${this.integerModel.tensors[0].shape.join(' x ')}`,
      )
    const { core } = this.install()
    new Uint8Array(core.memory.buffer, this.places.input, inputValues).set(pixels)
    core.runPixels(this.places.arena, this.places.input, this.places.logits)
    return this.logits()
  }

  /**
   * Logits from features computed before with `computeFeatures` ([frames][coefficients]; for a raw-audio model samples in [-1, 1],
   * for one of images the real values of tensor 0).
   * @throws RangeError where their number is wrong
   */
  runFeatures(features: Float32Array): Int16Array {
    const { inputValues } = this.sizes
    if (features.length !== inputValues) throw new RangeError(`${this.name}: ${features.length} features, the model takes ${inputValues}`)
    const { core } = this.install()
    new Float32Array(core.memory.buffer, this.places.input, inputValues).set(features)
    core.runFeatures(this.places.arena, this.places.input, this.places.logits)
    return this.logits()
  }

  /** The most likely class of a clip or image. @param input 16-bit samples, or floats in [-1, 1], or pixels */
  predict(input: Int16Array | Float32Array | Uint8Array): Prediction {
    return this.interpret(this.run(input instanceof Float32Array ? toInt16(input) : input))
  }

  /**
   * The model on an endless recording, frame by frame.
   * @throws RangeError where it is padded along time or cannot stream for another reason
   */
  stream(): ModelStream {
    return new ModelStream(this)
  }

  /** A prediction from logits that `run` or `runFeatures` gave. */
  interpret(logits: Int16Array): Prediction {
    let index = 0
    for (let i = 1; i < logits.length; i++) if (logits[i] > logits[index]) index = i
    const machine = this.machines.clips
    const { core } = machine
    const at = machine.borrow(4 * logits.length)
    const to = at + 2 * logits.length
    new Int16Array(core.memory.buffer, at, logits.length).set(logits)
    core.softmax16(at, logits.length, this.sizes.logitScale, to)
    const scores = Float32Array.from(new Uint16Array(core.memory.buffer, to, logits.length), (score) => score / certain)
    return { label: this.classes[index], index, scores, logits }
  }

  /**
   * Hears live audio: scores and detections as events of the listener.
   * @param source a MediaStream or AudioNode in a browser, or blocks of samples, in any iterable
   */
  listen(source: AudioSource, options?: ListenOptions): Listener {
    return listen(this, source, options)
  }

  private install(): Machine {
    const machine = this.machines.clips
    if (machine.owner === this) return machine
    machine.open(this.file, this.name)
    if (isSpectral(this.frontEnd)) {
      prepareFrontEnd(machine, this.frontEnd)
      widenFrontEnd(machine)
    }
    const { arenaBytes, samples, inputValues, classes } = this.sizes
    this.places = {
      arena: machine.take(arenaBytes),
      input: machine.take(Math.max(2 * samples, 4 * inputValues)),
      logits: machine.take(2 * classes),
    }
    // a model whose laid-out weights would not fit runs as it lies in the file
    const bytes = machine.core.preparedBytes()
    if (bytes < largestPrepared) machine.core.prepare(machine.take(bytes))
    machine.owner = this
    return machine
  }

  private logits(): Int16Array {
    return new Int16Array(this.machines.clips.core.memory.buffer, this.places.logits, this.sizes.classes).slice()
  }
}

/**
 * Loads a .bw file.
 * @param file name used in messages
 * @param machines what it runs on
 * @throws BadModelError where the file is damaged or no model
 */
export function load(bytes: Uint8Array, file = 'model.bw', machines = webAssembly): Model {
  const image = new Uint8Array(bytes)
  machines.clips.open(image, file)
  return new Model(image, parseModel(image, file), machines)
}
