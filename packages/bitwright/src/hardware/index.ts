export type * from './cost-model.ts'
export * from './lower.ts'
export { memory, pricedOn } from './memory.ts'
export { detectorSamples, firmwareMemory, frontEndBuffers, type FirmwareMemory } from './firmware.ts'
