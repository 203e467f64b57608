export { openBackend, type BackendOptions } from './backends/open.ts'
export { type Backend, BackendError } from './backends/backend.ts'
export { commandName, float, none } from './commands.ts'
export { align, Engine, type EngineOptions, Heap } from './engine.ts'
export { type CommandProfile, profileProgram, profileTable } from './profile.ts'
export { type CommandWork, programWork, totalWork } from './work.ts'
export { type Parameter, type ParameterShape, ParameterStore } from './parameters.ts'
export {
  type QuantizerSlot,
  type Segment,
  segments,
  type Stored,
  Tape,
  type TapeOptions,
  type Value,
  type WeightReference,
} from './tape.ts'
export { convolution, type ConvolutionShape, linear } from './ops/convolution.ts'
export { batchNorm, type BatchNormParameters, bias, fakeQuantize, relu, relu6 } from './ops/normalization.ts'
export {
  add,
  addScaled,
  averagePool,
  crop,
  dot,
  globalAveragePool,
  logMagnitude,
  observe,
  type Observation,
  reshape,
  settle,
} from './ops/elementwise.ts'
export { attend } from './ops/attend.ts'
export { sincFilters, type SincParameters } from './ops/sinc.ts'
export {
  aggregate,
  type AggregateOptions,
  type Aggregator,
  dropout,
  dropoutSlot,
  dropoutValues,
  type LearnedAttention,
  sparseInput,
  sparseProduct,
  type SparseStored,
  writeDropout,
  writeSparse,
} from './ops/graph.ts'
export { crossEntropy, type Loss } from './ops/loss.ts'
export { type Hyperparameters, optimizer, type Optimizer, type OptimizerName, parameterRanges } from './ops/optimizers.ts'
export { Random, threefry2x32 } from './random.ts'
export { type SparseColumns, sparseColumns, type SparseMatrix, sparseOnes } from './sparse.ts'
