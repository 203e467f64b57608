// A random model gives nearly every clip the same answer: its classifier's biases outweigh what a clip changes. For tests in which answers must
// differ, biases can be moved until all classes have the same mean logit.

import { interpret } from '../reference.ts'
import type { IntegerConvolution, IntegerModel } from '../model.ts'

/** Saturated logits say too little of how far a bias is off: they are moved again. */
const rounds = 3

/**
 * The model with other biases in its last layer, a convolution without a logarithm: on these inputs of tensor 0 the classes' logits then average
 * the same, as far as 32 bits allow.
 */
export function withBalancedClasses(model: IntegerModel, inputs: readonly ArrayLike<number>[]): IntegerModel {
  let balanced = model
  for (let round = 0; round < rounds; round++) {
    const { compact: _compact, ...classifier } = balanced.layers.at(-1) as IntegerConvolution
    const logits = inputs.map((input) => interpret(balanced, input)[classifier.output])
    const bias = classifier.bias.map((value, c) => {
      const mean = logits.reduce((sum, row) => sum + row[c], 0) / logits.length
      const factor = classifier.multiplier[c] * 2 ** (classifier.shift[c] - 31)
      const room = 2 ** 31 - 1 - largestSum(model, classifier, c)
      return factor === 0 ? value : Math.max(-room, Math.min(room, Math.round(value - mean / factor)))
    })
    balanced = { ...balanced, layers: [...balanced.layers.slice(0, -1), { ...classifier, bias }] }
  }
  return balanced
}

function largestSum(
  { tensors }: IntegerModel,
  { input, weights, bias, accumulatorShift = 0 }: IntegerConvolution,
  channel: number,
): number {
  const { min, max, zeroPoint } = tensors[input]
  const taps = weights.length / bias.length
  const magnitudes = weights.subarray(channel * taps, (channel + 1) * taps).reduce((sum, weight) => sum + Math.abs(weight), 0)
  return magnitudes * Math.max(max - zeroPoint, zeroPoint - min) * 2 ** accumulatorShift
}
