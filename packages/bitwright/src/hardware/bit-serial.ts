// An array of multipliers that take one bit of the weight and one of the activation a cycle: a product of w and a bits takes w a cycles.
// (The form of Loom, Sharify et al., DAC 2018, with both operands serial; constants are examples.)
import type { ArrayKind, ArrayParameters } from './accelerator.ts'

export interface BitSerialParameters extends ArrayParameters {
  readonly model: 'bit-serial'
  /** Of one bit by one bit. */
  readonly bitProductPj: number
}

export const bitSerial: BitSerialParameters = {
  model: 'bit-serial',
  name: 'bit-serial',
  clockHz: 500e6,
  rows: 64,
  columns: 32,
  depthwiseColumns: 1,
  fillCycles: 96,
  weightBitsPerCycle: 256,
  vectorLanes: 32,
  memoryPjPerBit: 0.08,
  staticPjPerCycle: 5,
  bitProductPj: 0.012,
}

export const bitSerialKind = ({ bitProductPj }: BitSerialParameters): ArrayKind => ({
  product: (weightBits, inputBits) => ({ together: 1, cycles: weightBits * inputBits }),
  productPj: (weightBits, inputBits) => weightBits * inputBits * bitProductPj,
})
