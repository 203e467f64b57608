// Small audio models with a front end of choice, for streams.
import type { IntegerModel, IntegerSpectralFrontEnd, IntegerTensor } from '@bitwright/runtime'
import type { Draw } from '@bitwright/runtime/testing'

export const classNames = ['ja', 'nein "?\\', 'naïve 雪']

/**
 * A dense layer over the whole input, and one row of padding where it is not to stream, to three logits.
 * @param hears a window that slides, or a stream
 */
export function audioModel(
  draw: Draw,
  frontEnd: IntegerModel['frontEnd'],
  input: Omit<IntegerTensor, 'name' | 'shape'>,
  hears: 'window' | 'stream' = 'window',
): IntegerModel {
  const shape = shapeOf(frontEnd)
  const padding = hears === 'window' ? 1 : 0
  const count = (shape[0] + padding) * shape[1] * shape[2]
  const channels = classNames.length
  const logits = { name: 'logits', containerBits: 16, bits: 16, scale: 1 / 64, zeroPoint: 0, min: -32768, max: 32767 } as const
  return {
    name: 'whole',
    classes: classNames,
    frontEnd,
    tensors: [
      { name: 'input', shape, ...input },
      { ...logits, shape: [1, 1, channels] },
    ],
    layers: [
      {
        op: 'convolution',
        name: 'logits',
        input: 0,
        output: 1,
        kernelSize: [shape[0] + padding, shape[1]],
        stride: [1, 1],
        padding: [padding, 0, 0, 0],
        groups: 1,
        weightBits: 3,
        weights: Int8Array.from({ length: channels * count }, () => draw(8) - 4),
        bias: Int32Array.from({ length: channels }, () => draw(200) - 100),
        multiplier: new Int32Array(channels).fill(2 ** 30),
        shift: new Int8Array(channels).fill(-3 - Math.ceil(Math.log2(input.max - input.min) / 2)),
      },
    ],
  }
}

function shapeOf(frontEnd: IntegerModel['frontEnd']): readonly [number, number, number] {
  if (frontEnd.kind === 'image') return [frontEnd.height, frontEnd.width, frontEnd.channels]
  if (frontEnd.kind === 'raw') return [frontEnd.samples, 1, 1]
  return [1 + Math.floor((frontEnd.samples - frontEnd.windowSamples) / frontEnd.hopSamples), frontEnd.coefficients, 1]
}

/** 13 frames of 7 coefficients; with a hop that is longer than the window some samples are in no frame. */
export function spectral(windowSamples: number, hopSamples: number): IntegerSpectralFrontEnd {
  const samples = windowSamples + 12 * hopSamples + 5
  return { kind: 'mfcc', sampleRate: 8000, samples, windowSamples, hopSamples, melBands: 9, coefficients: 7, lowHz: 20, highHz: 4000 }
}

export const narrow = { containerBits: 2, bits: 2, scale: 3, zeroPoint: 1, min: 0, max: 3 } as const
export const bytes = { containerBits: 8, bits: 8, scale: 0.25, zeroPoint: 3, min: -128, max: 127 } as const
export const samples16 = { containerBits: 16, bits: 16, scale: 2 ** -15, zeroPoint: 0, min: -32768, max: 32767 } as const
