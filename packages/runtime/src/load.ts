// A loaded model: PCM in, logits or a prediction out, computed by core/.

import { parseModel, readSizes } from './decode.ts'
import { prepareFrontEnd } from './front-end.ts'
import { checkImage, inferenceMachine, type Machine } from './machine.ts'
import type { IntegerFrontEnd, IntegerModel } from './model.ts'

export interface Prediction {
  readonly label: string
  readonly index: number
  /** Softmax probabilities in class order. */
  readonly scores: Float32Array
  /** int16; times the last tensor's scale they are the real logits (its zero point taken off). */
  readonly logits: Int16Array
}

interface Places {
  readonly arena: number
  readonly input: number
  readonly logits: number
}

export class Model {
  readonly name: string
  readonly classes: readonly string[]
  readonly frontEnd: IntegerFrontEnd
  /** The model as plain data, as `decodeModel` gives it. */
  readonly integerModel: IntegerModel
  private readonly image: Uint8Array
  private readonly sizes: ReturnType<typeof readSizes>
  private places: Places = { arena: 0, input: 0, logits: 0 }

  /** Use `load`. */
  constructor(image: Uint8Array, integerModel: IntegerModel) {
    this.image = image
    this.integerModel = integerModel
    this.name = integerModel.name
    this.classes = integerModel.classes
    this.frontEnd = integerModel.frontEnd
    this.sizes = readSizes(image)
  }

  /**
   * Logits of one clip.
   * @param pcm `frontEnd.samples` 16-bit samples at `frontEnd.sampleRate`
   * @throws RangeError where the clip has another length
   */
  run(pcm: Int16Array): Int16Array {
    const { samples } = this.sizes
    if (pcm.length !== samples) throw new RangeError(`${this.name}: clip has ${pcm.length} samples, the model takes ${samples}`)
    const { core } = this.install()
    new Int16Array(core.memory.buffer, this.places.input, samples).set(pcm)
    core.run(this.places.arena, this.places.input, this.places.logits)
    return this.logits()
  }

  /**
   * Logits from features computed before with `computeFeatures` ([frames][coefficients]; for a raw-audio model samples in [-1, 1]).
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

  /** The most likely class of a clip. @param pcm 16-bit samples, or floats in [-1, 1] */
  predict(pcm: Int16Array | Float32Array): Prediction {
    return this.interpret(this.run(pcm instanceof Float32Array ? toInt16(pcm) : pcm))
  }

  /** A prediction from logits that `run` or `runFeatures` gave. */
  interpret(logits: Int16Array): Prediction {
    let index = 0
    for (let i = 1; i < logits.length; i++) if (logits[i] > logits[index]) index = i
    const scores = Float32Array.from(logits, (logit) => Math.exp((logit - logits[index]) * this.sizes.logitScale))
    const sum = scores.reduce((total, score) => total + score, 0)
    return { label: this.classes[index], index, scores: scores.map((score) => score / sum), logits }
  }

  private install(): Machine {
    const machine = inferenceMachine()
    if (machine.owner === this) return machine
    checkImage(this.image, this.name)
    if (this.frontEnd.kind !== 'raw') prepareFrontEnd(machine, this.frontEnd)
    const { arenaBytes, samples, inputValues, classes } = this.sizes
    this.places = {
      arena: machine.take(arenaBytes),
      input: machine.take(Math.max(2 * samples, 4 * inputValues)),
      logits: machine.take(2 * classes),
    }
    machine.owner = this
    return machine
  }

  private logits(): Int16Array {
    return new Int16Array(inferenceMachine().core.memory.buffer, this.places.logits, this.sizes.classes).slice()
  }
}

/** 16-bit PCM of floats in [-1, 1]; louder is clipped, what is no number is silence. */
export function toInt16(samples: Float32Array): Int16Array {
  return Int16Array.from(samples, (sample) => Math.max(-32768, Math.min(32767, Math.round(sample * 32768) || 0)))
}

/**
 * Loads a .bw file.
 * @param file name used in messages
 * @throws BadModelError where the file is damaged or no model
 */
export function load(bytes: Uint8Array, file = 'model.bw'): Model {
  const image = bytes.slice()
  checkImage(image, file)
  return new Model(image, parseModel(image, file))
}
