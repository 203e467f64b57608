// The table of this very machine: designed networks, timed as `predict` runs them. Layers cannot be timed one by one there, so that the law is
// one of whole networks, with one coefficient for all widths: hosts unpack weights when they load a model.
import { setImmediate } from 'node:timers/promises'
import { Random } from '@bitwright/engine'
import { encodeModel, isSpectral, type IntegerModel, type Model, spectralFrames } from '@bitwright/runtime'
import { loadNative } from '@bitwright/runtime/native'
import { designedNetwork, stockedModel } from './designed-networks.ts'
import { frameText } from './front-end-law.ts'
import { layerText, modelLayers } from './layer-shape.ts'
import type { Measurements } from './table.ts'

export interface MeasureOptions {
  /** Designed networks. */
  readonly networks: number
  readonly seed: number
  readonly onProgress: (done: number, total: number) => void
  readonly onNotice: (line: string) => void
  readonly signal?: AbortSignal
}

const rounds = 7
const roundMs = 2

/** Nanoseconds of a call: the fastest of some rounds. */
function fastest(run: () => void): number {
  run()
  const began = performance.now()
  run()
  const calls = Math.max(1, Math.ceil(roundMs / Math.max(1e-3, performance.now() - began)))
  const times = Array.from({ length: rounds }, () => {
    const started = performance.now()
    for (let i = 0; i < calls; i++) run()
    return (1e6 * (performance.now() - started)) / calls
  })
  return Math.min(...times)
}

/** Of the layers alone, and of a frame of features. */
function timesOf(model: Model, { frontEnd, tensors }: IntegerModel, random: Random): { readonly layers: number; readonly frame?: number } {
  const noise = (length: number): Int16Array => Int16Array.from({ length }, () => random.integer(20_000) - 10_000)
  if (frontEnd.kind === 'image') {
    const pixels = Uint8Array.from({ length: tensors[0].shape.reduce((product, size) => product * size) }, () => random.integer(256))
    return { layers: fastest(() => model.run(pixels)) }
  }
  const pcm = noise(frontEnd.samples)
  if (!isSpectral(frontEnd)) return { layers: fastest(() => model.run(pcm)) }
  const features = Float32Array.from(noise(spectralFrames(frontEnd) * frontEnd.coefficients), (value) => value / 100)
  const layers = fastest(() => model.runFeatures(features))
  return { layers, frame: Math.max(1, (fastest(() => model.run(pcm)) - layers) / spectralFrames(frontEnd)) }
}

/** @throws the signal's reason once it is aborted */
export async function measureMachine({ networks, seed, onProgress, onNotice, signal }: MeasureOptions): Promise<Measurements> {
  const random = new Random(seed, 'measured inputs')
  const frames: Record<string, number> = {}
  const rows: { layers: string[]; value: number }[] = []
  let home = 'wasm'
  for (let i = 0; i < networks; i++) {
    await setImmediate()
    signal?.throwIfAborted()
    onProgress(i, networks)
    const integer = stockedModel(designedNetwork(seed, i))
    const model = await loadNative(encodeModel(integer), integer.name, onNotice)
    home = model.home
    const { layers, frame } = timesOf(model, integer, random)
    rows.push({ layers: modelLayers(integer).map(layerText), value: Math.round(layers) })
    if (frame !== undefined && isSpectral(integer.frontEnd)) {
      const key = frameText(integer.frontEnd)
      frames[key] = Math.round(Math.min(frame, frames[key] ?? Infinity))
    }
  }
  onProgress(networks, networks)
  const source = `this machine (${process.platform} ${process.arch}), the ${home} core, ${networks} networks`
  return { name: 'measured', unit: 'nanoseconds', source, frames, layers: {}, networks: rows }
}
