// The searched part that both keyword spaces have: stages iii and iv of arXiv 2104.06666, Table 1 (three layers of 20 channels, three of
// 40, the first of each strided), every layer one of 18 mobile blocks MBC[e, k], or identity where the shape is kept.
import { classifier, convolution, mobileBlock } from '../network/blocks.ts'
import type { NetworkNode, Pair } from '../network/network.ts'
import type { Place } from './chain.ts'

const expansions = [1, 2, 3, 4, 5, 6]
const kernels = [3, 5, 7]
export const identity = 'identity'

function place(name: string, inputChannels: number, channels: number, stride: Pair): Place {
  const blocks = expansions.flatMap((expansion) =>
    kernels.map((kernel) => {
      const option = `e${expansion}k${kernel}`
      const options = { inputChannels, channels, expansion, kernel, stride }
      return { name: option, nodes: (input: string) => mobileBlock(`${name}.${option}`, input, options) }
    }),
  )
  const keepsShape = inputChannels === channels && stride[0] === 1 && stride[1] === 1
  return { name, options: keepsShape ? [...blocks, { name: identity, nodes: () => [] }] : blocks }
}

/** The six places s3.l1 .. s4.l3 behind a map of `inputChannels`. */
export function mobileStages(inputChannels: number): Place[] {
  const stages = [
    { name: 's3', channels: 20 },
    { name: 's4', channels: 40 },
  ]
  let previous = inputChannels
  return stages.flatMap(({ name, channels }) =>
    [1, 2, 3].map((layer) => {
      const result = place(`${name}.l${layer}`, previous, channels, layer === 1 ? [2, 2] : [1, 1])
      previous = channels
      return result
    }),
  )
}

/** Stage v and the classifier: 1x1 convolution to 80 channels, global average pool, linear. */
export function mobileHead(classes: number): (input: string) => NetworkNode[] {
  return (input) => [convolution('last', input, { channels: 80, kernelSize: [1, 1] }), ...classifier('last', classes)]
}
