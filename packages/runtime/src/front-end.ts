// Spectral features: the MFCC and log-mel of core/front_end.c. Training, evaluation and shipping all call this.

import { Machine } from './machine.ts'
import { frontEndKinds } from './layout.ts'
import { createWasmCore } from './wasm-core.ts'
import type { IntegerFrontEnd, IntegerSpectralFrontEnd } from './model.ts'

export function isSpectral(frontEnd: IntegerFrontEnd): frontEnd is IntegerSpectralFrontEnd {
  return frontEnd.kind === 'mfcc' || frontEnd.kind === 'logmel'
}

/** Number of frames of a clip: 1 + floor((samples - windowSamples) / hopSamples), without centring. */
export function spectralFrames(config: IntegerSpectralFrontEnd): number {
  return 1 + Math.floor((config.samples - config.windowSamples) / config.hopSamples)
}

/** The 36 bytes of bw_front_end. */
export function configBytes(config: IntegerSpectralFrontEnd): Uint8Array {
  const view = new DataView(new ArrayBuffer(36))
  const { sampleRate, samples, windowSamples, hopSamples, melBands, coefficients } = config
  const words = [frontEndKinds.indexOf(config.kind), sampleRate, samples, windowSamples, hopSamples, melBands, coefficients]
  words.forEach((value, i) => view.setUint32(4 * i, value, true))
  view.setFloat32(28, config.lowHz, true)
  view.setFloat32(32, config.highHz, true)
  return new Uint8Array(view.buffer)
}

/** Lays out a prepared front end in a machine; returns its address, undefined where the configuration is impossible. */
export function prepareFrontEnd(machine: Machine, config: IntegerSpectralFrontEnd): number | undefined {
  const { sampleRate, samples, windowSamples, hopSamples, melBands, coefficients } = config
  if (![sampleRate, samples, windowSamples, hopSamples, melBands, coefficients].every(Number.isInteger)) return undefined
  const at = machine.take(36)
  new Uint8Array(machine.core.memory.buffer).set(configBytes(config), at)
  if (!machine.core.frontEndValid(at)) return undefined
  const memory = machine.take(machine.core.frontEndBytes(at))
  machine.core.frontEndPrepare(at, memory)
  return memory
}

/** Gives the prepared front end of a machine what it needs to take several frames of a clip at a time. */
export function widenFrontEnd(machine: Machine): void {
  machine.core.frontEndWiden(machine.take(machine.core.frontEndSideBytes()))
}

/** Bytes of tables and buffers the front end keeps in memory (not part of a model's arena). */
export function frontEndBytes(config: IntegerSpectralFrontEnd): number {
  const machine = (extractor ??= new Machine(createWasmCore()))
  machine.reset()
  prepared = undefined
  const at = machine.take(36)
  new Uint8Array(machine.core.memory.buffer).set(configBytes(config), at)
  return machine.core.frontEndValid(at) ? machine.core.frontEndBytes(at) : 0
}

/** What core/front_end.h calls by these names: constants of a front end, the same bits on every machine. */
export interface FrontEndTables {
  /** Length of the FFT. */
  readonly size: number
  /** [windowSamples] */
  readonly window: Float32Array
  /** [size / 2] each */
  readonly cosine: Float32Array
  readonly sine: Float32Array
  /** The bands' weights, one after the other. */
  readonly triangles: Float32Array
  /** [melBands] each */
  readonly bandStart: Uint16Array
  readonly bandCount: Uint16Array
  /** [melBands][coefficients] */
  readonly dct: Float32Array
}

/** The tables that the core makes for a front end, for devices that keep them as constants. @throws RangeError where it is impossible */
export function frontEndTables(config: IntegerSpectralFrontEnd): FrontEndTables {
  const machine = (extractor ??= new Machine(createWasmCore()))
  machine.reset()
  prepared = undefined
  const handle = prepareFrontEnd(machine, config)
  if (handle === undefined) throw new RangeError(`frontEndTables: impossible front end ${JSON.stringify(config)}`)
  // struct bw_spectral: the 36 bytes of the configuration, then words
  const { buffer } = machine.core.memory
  const [size, window, cosine, sine, triangles, bandStart, bandCount, dct] = new Uint32Array(buffer, handle + 36, 8)
  const floats = (at: number, count: number) => new Float32Array(buffer, at, count).slice()
  const shorts = (at: number) => new Uint16Array(buffer, at, config.melBands).slice()
  return {
    size,
    window: floats(window, config.windowSamples),
    cosine: floats(cosine, size / 2),
    sine: floats(sine, size / 2),
    triangles: floats(
      triangles,
      shorts(bandCount).reduce((sum, count) => sum + count, 0),
    ),
    bandStart: shorts(bandStart),
    bandCount: shorts(bandCount),
    dct: floats(dct, config.melBands * config.coefficients),
  }
}

let extractor: Machine | undefined
let prepared: { readonly key: string; readonly pcm: number; readonly features: number; readonly frames: number } | undefined

/**
 * Features of one clip.
 * @param pcm `config.samples` 16-bit samples (taken as pcm / 32768)
 * @returns [frames][coefficients], natural-log units
 * @throws RangeError where the configuration is impossible or the clip has another length
 */
export function computeFeatures(config: IntegerSpectralFrontEnd, pcm: Int16Array): Float32Array<ArrayBuffer> {
  const { kind, sampleRate, samples, windowSamples, hopSamples, melBands, coefficients, lowHz, highHz } = config
  if (pcm.length !== samples) throw new RangeError(`computeFeatures: clip has ${pcm.length} samples, the front end takes ${samples}`)
  const machine = (extractor ??= new Machine(createWasmCore()))
  const key = `${kind} ${sampleRate} ${samples} ${windowSamples} ${hopSamples} ${melBands} ${coefficients} ${lowHz} ${highHz}`
  if (prepared?.key !== key) {
    prepared = undefined
    machine.reset()
    if (prepareFrontEnd(machine, config) === undefined) {
      throw new RangeError(
        `computeFeatures: impossible front end ${JSON.stringify(config)}: it needs 2 <= windowSamples <= 4096 and <= samples, ` +
          'coefficients <= melBands <= 128 (equal for logmel), 0 <= lowHz < highHz <= sampleRate / 2',
      )
    }
    widenFrontEnd(machine)
    const frames = spectralFrames(config)
    prepared = { key, frames, pcm: machine.take(2 * samples), features: machine.take(4 * frames * coefficients) }
  }
  const { memory } = machine.core
  new Int16Array(memory.buffer, prepared.pcm, samples).set(pcm)
  machine.core.features(prepared.pcm, prepared.frames, prepared.features)
  return new Float32Array(memory.buffer, prepared.features, prepared.frames * coefficients).slice()
}
