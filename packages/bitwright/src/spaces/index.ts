export * from './decisions.ts'
export * from './kws-e2e.ts'
export * from './kws-mfcc.ts'
export type * from './space.ts'
