// What a model takes on a microcontroller, symbol by symbol, as the firmware of export/firmware.ts lays it out: constants in flash, static
// memory in RAM. Exact, so that the linker's own table can be held against it. Code and stack are the compiler's and not in it.
import {
  type DetectorSettings,
  frontEndTables,
  type IntegerFrontEnd,
  type IntegerModel,
  isSpectral,
  modelInfo,
  streamPlan,
} from '@bitwright/runtime'

/** As the runtime's detector has it. */
const detectorTimeTolerance = 1e-6

/** Audio comes in frames: a window of samples that gives one row of features; of raw audio a frame is one sample. */
export interface FrameLayout {
  readonly frameSamples: number
  readonly frameHop: number
  /** Of one clip; 0 for images. */
  readonly frames: number
  /** Values of the input tensor that a frame gives. */
  readonly frameValues: number
  /** Of a whole clip; 0 for images. */
  readonly clipSamples: number
  /** Samples to the first answer; 0 for images. */
  readonly firstSamples: number
  /** Samples from one answer to the next: as the model streams, or about a quarter of a clip, in whole frames; 0 for images. */
  readonly hopSamples: number
}

/** How an input comes to the model, and by that which of firmware/input/ is exported. */
export type FirmwareInputKind = 'image' | 'window' | 'stream'

export interface FirmwareMemory extends FrameLayout {
  readonly input: FirmwareInputKind
  /** Of bw_memory where a front end's buffers begin: those of a stream lie in what its layers have for a row. */
  readonly frontEndOffset: number
  /** Constants, by the linker's names. */
  readonly flash: Readonly<Record<string, number>>
  /** Static memory, by the linker's names. */
  readonly ram: Readonly<Record<string, number>>
  readonly flashBytes: number
  readonly ramBytes: number
}

/** Places of a front end's buffers in bw_memory, which the arena needs only between frames. */
export interface FrontEndBuffers {
  readonly re: readonly [number, number]
  readonly im: readonly [number, number]
  readonly power: number
  readonly energy: number
  readonly bytes: number
}

/** struct bw_spectral (core/front_end.h): configuration, size, seven tables, six buffers. */
const frontEndStateBytes = 36 + 4 + 4 * 13

const up = (bytes: number): number => Math.ceil(bytes / 16) * 16

export function frontEndBuffers(fftSize: number, melBands: number): FrontEndBuffers {
  const half = up(4 * (fftSize / 2))
  const power = up(4 * (fftSize / 2 + 1))
  return { re: [0, 2 * half], im: [half, 3 * half], power: 4 * half, energy: 4 * half + power, bytes: 4 * half + power + up(4 * melBands) }
}

function frameLayout(frontEnd: IntegerFrontEnd): FrameLayout {
  if (frontEnd.kind === 'image')
    return { frameSamples: 0, frameHop: 0, frames: 0, frameValues: 0, clipSamples: 0, firstSamples: 0, hopSamples: 0 }
  if (!isSpectral(frontEnd)) {
    const frames = frontEnd.samples
    return {
      frameSamples: 1,
      frameHop: 1,
      frames,
      frameValues: 1,
      clipSamples: frames,
      firstSamples: frames,
      hopSamples: Math.max(1, Math.round(frames / 4)),
    }
  }
  const { samples, windowSamples: frameSamples, hopSamples: frameHop, coefficients: frameValues } = frontEnd
  const frames = 1 + Math.floor((samples - frameSamples) / frameHop)
  const firstSamples = (frames - 1) * frameHop + frameSamples
  return {
    frameSamples,
    frameHop,
    frames,
    frameValues,
    clipSamples: samples,
    firstSamples,
    hopSamples: Math.max(1, Math.round(frames / 4)) * frameHop,
  }
}

const total = (sizes: Readonly<Record<string, number>>): number => Object.values(sizes).reduce((sum, bytes) => sum + bytes, 0)

/** Times of a detector in samples, as firmware/detector.c takes them: a difference that is exactly such a time is not within it. */
export function detectorSamples({ smoothingSeconds, refractorySeconds }: DetectorSettings, sampleRate: number) {
  const samples = (seconds: number) => Math.max(0, Math.ceil((seconds - detectorTimeTolerance) * sampleRate))
  return { smoothingSamples: samples(smoothingSeconds), refractorySamples: samples(refractorySeconds) }
}

/**
 * @param model packed for the processor, or as it is in the .bw file
 * @param detector where the firmware detects
 */
export function firmwareMemory(model: IntegerModel, detector?: DetectorSettings): FirmwareMemory {
  const { frontEnd, tensors, classes } = model
  const { flashBytes: bytes, ramBytes: arenaBytes } = modelInfo(model)
  const plan = streamPlan(model)
  const stream = 'reason' in plan ? undefined : plan
  const ownFrames = frameLayout(frontEnd)
  const frames = stream ? { ...ownFrames, firstSamples: stream.firstSamples, hopSamples: stream.hopSamples } : ownFrames
  const frontEndOffset = stream?.keptBytes ?? 0
  const flash: Record<string, number> = { bw_model_image: bytes }
  const ram: Record<string, number> = { bw_memory: stream?.stateBytes ?? arenaBytes }
  if (isSpectral(frontEnd)) {
    const { size, ...tables } = frontEndTables(frontEnd)
    flash.bw_front_end_tables = Object.values(tables).reduce((sum, table: Float32Array | Uint16Array) => sum + table.byteLength, 0)
    flash.bw_front_end_state = frontEndStateBytes
    ram.bw_memory = Math.max(ram.bw_memory, frontEndOffset + frontEndBuffers(size, frontEnd.melBands).bytes)
  }
  if (stream) {
    ram.bw_plan = stream.planBytes
  } else if (frontEnd.kind !== 'image') {
    if (isSpectral(frontEnd)) ram.bw_window = 2 * frontEnd.windowSamples
    ram.bw_heard = Math.ceil((tensors[0].shape.reduce((product, size) => product * size, 1) * tensors[0].containerBits) / 8)
  }
  if (detector && frontEnd.kind !== 'image') {
    const answers = Math.max(1, Math.ceil(detectorSamples(detector, frontEnd.sampleRate).smoothingSamples / frames.hopSamples))
    flash.bw_thresholds = 4 * classes.length
    ram.bw_scores_heard = 4 * classes.length + Math.ceil((2 * classes.length * answers) / 4) * 4
  }
  const input = frontEnd.kind === 'image' ? 'image' : stream ? 'stream' : 'window'
  return { ...frames, input, frontEndOffset, flash, ram, flashBytes: total(flash), ramBytes: total(ram) }
}
