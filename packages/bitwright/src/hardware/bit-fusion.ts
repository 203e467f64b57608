// A systolic array of units of bricks, each of which multiplies 2 bits by 2 (Bit Fusion, Sharma et al., ISCA 2018: 16 bricks a unit, section
// III). A product of w by a bits takes ceil(w / 2) x ceil(a / 2) bricks, both rounded up to a power of two; a unit has as many products a
// cycle as bricks allow, all added up; what is wider than a unit (16 bits) takes several cycles.
import type { ArrayKind, ArrayParameters } from './accelerator.ts'

export interface BitFusionParameters extends ArrayParameters {
  readonly model: 'bit-fusion'
  /** Of a unit. */
  readonly bricks: number
  /** Of one brick's product. */
  readonly brickPj: number
}

export const bitFusion: BitFusionParameters = {
  model: 'bit-fusion',
  name: 'bit-fusion',
  clockHz: 500e6,
  rows: 16,
  columns: 16,
  depthwiseColumns: 1,
  fillCycles: 32,
  weightBitsPerCycle: 256,
  vectorLanes: 16,
  memoryPjPerBit: 0.08,
  staticPjPerCycle: 10,
  bricks: 16,
  brickPj: 0.05,
}

const sides = (bits: number): number => 2 ** Math.ceil(Math.log2(Math.max(1, bits / 2)))

export function bitFusionKind({ bricks, brickPj }: BitFusionParameters): ArrayKind {
  const needed = (weightBits: number, inputBits: number): number => sides(weightBits) * sides(inputBits)
  return {
    product(weightBits, inputBits) {
      const own = needed(weightBits, inputBits)
      return { together: Math.max(1, Math.floor(bricks / own)), cycles: Math.ceil(own / bricks) }
    },
    productPj: (weightBits, inputBits) => needed(weightBits, inputBits) * brickPj,
  }
}
