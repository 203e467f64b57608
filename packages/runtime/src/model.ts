// The integer model: what the trainer's conversion produces, what a .bw file holds, and what core/ executes.
//
// Arithmetic follows the convention TensorFlow Lite and CMSIS-NN share. real = scale * (q - zeroPoint).
// acc = bias[c] + (sum((x - zeroPoint_x) * w) << accumulatorShift) in int32; out = clamp(requantize(acc, multiplier[c], shift[c]) + zeroPoint_y).
// requantize is gemmlowp's: saturating rounding doubling high multiply by a Q31 multiplier, then a rounding right shift
// (shift > 0 is a left shift applied before, as in TFLite's MultiplyByQuantizedMultiplier).

import type { CompactForm } from './compact.ts'
import type { Packing } from './packing.ts'

/** An activation tensor. Shape [height, width, channels]; container is what a value occupies in the arena, values stay in [min, max]. */
export interface IntegerTensor {
  readonly name: string
  readonly shape: readonly [number, number, number]
  /** 2 and 4: packed; 8: int8; 16: int16. */
  readonly containerBits: 2 | 4 | 8 | 16
  /** True width: levels used are at most 2^bits. */
  readonly bits: number
  readonly scale: number
  readonly zeroPoint: number
  readonly min: number
  readonly max: number
}

interface LayerBase {
  readonly name: string
  /** Index into `tensors`. */
  readonly output: number
}

/** Dense (groups 1) or depthwise (groups = channels) convolution; linear layers are 1x1 convolutions on a 1x1 map. */
export interface IntegerConvolution extends LayerBase {
  readonly op: 'convolution'
  readonly input: number
  readonly kernelSize: readonly [number, number]
  readonly stride: readonly [number, number]
  /** [top, bottom, left, right], filled with the input's zero point. */
  readonly padding: readonly [number, number, number, number]
  readonly groups: number
  /** 1..8. Values lie in [-2^(b-1), 2^(b-1)-1], or are odd. */
  readonly weightBits: number
  /** Weights are the odd numbers from 1 - 2^b to 2^b - 1, b <= 7: all 2^b levels and no zero; always so at 1 bit, where it need not be said. */
  readonly oddWeights?: true
  /** [outputChannels][kernelHeight][kernelWidth][inputChannels / groups] */
  readonly weights: Int8Array
  /** Of a band-pass layer (one input channel, groups 1): its filters' cut-offs [outputChannels][low, high] in 2^-16 of the sample rate. The
   *  file holds these and every device makes the weights from them (sinc-filter.ts); weightBits is 8. */
  readonly cutoffs?: Uint16Array
  /** In which order the file holds the weights, and what scratch the layer's kernel wants: for one processor, or absent (packing.ts). */
  readonly packing?: Packing
  /** The sum is this many bits to the left of the bias, 0..24: biases have fractions of the sum's unit, which at one to four bits is
   *  large. Absent: 0; always with logOffset. */
  readonly accumulatorShift?: number
  /** The file has four bytes a channel for bias, multiplier and shift, which must then be what such bytes stand for (compact.ts); else, and always
   *  with logOffset, nine. */
  readonly compact?: CompactForm
  readonly bias: Int32Array
  readonly multiplier: Int32Array
  readonly shift: Int8Array
  /** For log-magnitude front ends: requantize(log2Q16(|acc| + logOffset[c]) + bias[c]) where acc has no bias. log2Q16(v), v >= 1, is
   *  log2(v) * 2^16 within 1.2, from a table with quadratic interpolation: the same integers everywhere. */
  readonly logOffset?: Uint32Array
}
/** out = clamp(requantize(requantize((a - za) << 20, m0, s0) + requantize((b - zb) << 20, m1, s1), m2, s2) + zy): TFLite's add. */
export interface IntegerAdd extends LayerBase {
  readonly op: 'add'
  readonly inputs: readonly [number, number]
  readonly multiplier: Int32Array // 3
  readonly shift: Int8Array // 3
}
/** out = clamp(requantize(sum(x - zx), multiplier, shift) + zy): the multiplier holds the division by the window. No padding. */
export interface IntegerAveragePool extends LayerBase {
  readonly op: 'averagePool'
  readonly input: number
  readonly kernelSize: readonly [number, number]
  readonly stride: readonly [number, number]
  readonly multiplier: Int32Array // 1
  readonly shift: Int8Array // 1
}
/** out = clamp(requantize(x - zx, multiplier, shift) + zy): another scale, width or zero point. */
export interface IntegerRequantize extends LayerBase {
  readonly op: 'requantize'
  readonly input: number
  readonly multiplier: Int32Array // 1
  readonly shift: Int8Array // 1
}
/** Same values in the same order under another shape. */
export interface IntegerReshape extends LayerBase {
  readonly op: 'reshape'
  readonly input: number
}
/** The last rows of the input, as many as the output has. */
export interface IntegerCrop extends LayerBase {
  readonly op: 'crop'
  readonly input: number
}
/**
 * Attention over a map of at most 1024 positions, of inputs query, key and value. A row of scores is sum((q - zq) * (k - zk)) over channels;
 * with scale = the float32 product of the two tensors' scales, probabilities are the row's softmax in 32767ths (softmaxIntegers in reference.ts);
 * out = clamp(requantize(sum(probability * (v - zv)), multiplier, shift) + zy).
 */
export interface IntegerAttend extends LayerBase {
  readonly op: 'attend'
  readonly inputs: readonly [query: number, key: number, value: number]
  readonly multiplier: Int32Array // 1
  readonly shift: Int8Array // 1
}
export type IntegerLayer =
  | IntegerConvolution
  | IntegerAdd
  | IntegerAveragePool
  | IntegerRequantize
  | IntegerReshape
  | IntegerCrop
  | IntegerAttend

/** Raw audio goes in as int16 (tensor 0: container 16, scale 2^-15, zero point 0). */
export interface IntegerRawFrontEnd {
  readonly kind: 'raw'
  readonly sampleRate: number
  readonly samples: number
}
/** MFCC or log-mel features, float inside core/, then quantized into tensor 0: clamp(round(feature / scale) + zeroPoint). */
export interface IntegerSpectralFrontEnd {
  readonly kind: 'mfcc' | 'logmel'
  readonly sampleRate: number
  readonly samples: number
  readonly windowSamples: number
  readonly hopSamples: number
  readonly melBands: number
  readonly coefficients: number
  readonly lowHz: number
  readonly highHz: number
}
/** Pixels of 8 bits go in as p - 128 (tensor 0: [height, width, channels], container 8, -128..127), so real = scale * (p - 128 - zeroPoint). */
export interface IntegerImageFrontEnd {
  readonly kind: 'image'
  readonly height: number
  readonly width: number
  readonly channels: number
}
export type IntegerFrontEnd = IntegerRawFrontEnd | IntegerSpectralFrontEnd | IntegerImageFrontEnd

export interface IntegerModel {
  readonly name: string
  readonly classes: readonly string[]
  readonly frontEnd: IntegerFrontEnd
  /** tensors[0] is the input; the last layer's output holds the logits [1, 1, classes] (int16). */
  readonly tensors: readonly IntegerTensor[]
  /** Execution order. */
  readonly layers: readonly IntegerLayer[]
}
