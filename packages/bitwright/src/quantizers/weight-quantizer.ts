// What a weight quantizer is to the trainer: it replaces a tensor by scale * integer in the forward pass and says where gradients go.
//
// Life of one: constructed with the tensor's size; `initialize` once, from the float weights; then per training step `forward`,
// `backward`, possibly `penaltyGradient`, the optimiser on `parameters()`, and `constrain`; at the end `toIntegers`. Weights belong to the
// caller; the quantizer owns its learned parameters alone and allocates nothing per step that grows with the tensor.
//
// A tensor is a flat Float32Array whose last axis is the output channel: [.., channels]; a depthwise one is [kh][kw][channels].

/** One scale for the tensor, or one per output channel. */
export type Granularity = 'tensor' | 'channel'

export interface WeightQuantizerOptions {
  /** Width; where it is learned, the width at the start. */
  readonly bits: number
  readonly granularity: Granularity
}

/** One group of learned numbers, updated in place by the optimiser, which also zeroes the gradients. */
export interface LearnedParameters {
  readonly values: Float32Array
  readonly gradients: Float32Array
  /**
   * Factor on the learning rate for optimisers that normalise gradients (Adam): about the size of the values, so that a step of the
   * learning rate is a relative change. Plain SGD uses 1 instead. Set by `initialize`.
   */
  readonly learningRateScale: number
}

export interface IntegerWeights {
  /** In the tensor's own order: |value| <= 2^(bits-1) - 1, or odd with |value| <= 2^bits - 1. */
  readonly values: Int8Array
  readonly isOdd: boolean
  /** Length 1 (tensor) or `channels`; float32 scale * value is `forward`'s output bit for bit. */
  readonly scale: Float32Array
}

export interface WeightQuantizer {
  readonly size: number
  readonly channels: number
  /** Sets the learned parameters from trained or freshly drawn weights. */
  initialize(weights: Float32Array): void
  /** out = scale * integer. `out` may be `weights` itself. */
  forward(weights: Float32Array, out: Float32Array): void
  /** Accumulates into dWeights and into the gradients of `parameters()`. `weights` as in the forward pass. */
  backward(weights: Float32Array, dOut: Float32Array, dWeights: Float32Array): void
  /** Accumulates the gradient of a penalty on `bits()`, given as dPenalty / dBits; nothing happens where bits are fixed. */
  penaltyGradient(dBits: number): void
  /** Empty where nothing is learned; the same objects every time. */
  parameters(): readonly LearnedParameters[]
  /** Pulls the learned parameters back into their range; after every optimiser step. */
  constrain(): void
  /** Width of the integers as they are now. */
  bits(): number
  /** Bits of the integers of the whole tensor, scales excluded. */
  sizeBits(): number
  toIntegers(weights: Float32Array): IntegerWeights
  /** Everything `restore` needs to go on with the same bits; a copy. */
  state(): Float32Array
  restore(state: Float32Array): void
}
