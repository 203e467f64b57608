export type * from './cost-model.ts'
export * from './lower.ts'
export { memory } from './memory.ts'
