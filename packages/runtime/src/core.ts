// What every build of core/ offers to this package: one model, one front end and one stream at a time, in memory that the caller lays out.
// Addresses are offsets into that memory.

export interface Core {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): unknown }
  /** Address of the first byte that the core's own variables leave free. */
  heap(): number
  open(image: number, length: number): number
  fault(): number
  preparedBytes(): number
  prepare(memory: number): void
  frontEndValid(config: number): number
  frontEndBytes(config: number): number
  frontEndPrepare(config: number, memory: number): void
  frontEndSideBytes(): number
  frontEndWiden(memory: number): void
  features(pcm: number, frames: number, to: number): void
  run(arena: number, pcm: number, logits: number): void
  runPixels(arena: number, pixels: number, logits: number): void
  runFeatures(arena: number, features: number, logits: number): void
  softmax16(logits: number, count: number, scale: number, to: number): void
  streamPlanBytes(): number
  streamPlan(plan: number): number
  streamStateBytes(): number
  streamHopSamples(): number
  streamFirstSamples(): number
  streamOpen(state: number): void
  streamPush(pcm: number, count: number, logits: number): number
  streamReady(): number
}
