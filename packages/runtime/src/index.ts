// The runtime: .bw files in and out, what a model costs, running it, and the features it was trained on.

export type * from './model.ts'
export { BadModelError } from './errors.ts'
export { encodeModel } from './encode.ts'
export { decodeModel } from './decode.ts'
export { modelInfo, type LayerInfo, type ModelInfo } from './info.ts'
export { load, toInt16, Model, type Prediction } from './load.ts'
export { cutoffsPerRate, sincFilters, sincTapUnit } from './sinc-filter.ts'
export { resample, Resampler } from './resampler.ts'
export { computeFeatures, spectralFrames } from './front-end.ts'
