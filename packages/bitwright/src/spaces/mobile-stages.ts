// The searched part that both keyword spaces have: stages iii and iv of arXiv 2104.06666, Table 1 (three layers of 20 channels, three of
// 40, the first of each strided), every layer one of 18 mobile blocks MBC[e, k], or identity where the shape is kept.
import { classifier, convolution, mobileBlock, streamingIdentity } from '../network/blocks.ts'
import type { NetworkNode, Pair } from '../network/network.ts'
import type { Place } from './chain.ts'

const expansions = [1, 2, 3, 4, 5, 6]
const kernels = [3, 5, 7]
export const identity = 'identity'

/** Rows of every depthwise kernel in a stream. */
const streamingRows = 3

function place(name: string, inputChannels: number, channels: number, stride: Pair, isStreaming: boolean): Place {
  const blocks = expansions.flatMap((expansion) =>
    kernels.map((kernel) => {
      const option = `e${expansion}k${kernel}`
      const options = { inputChannels, channels, expansion, kernel, stride, ...(isStreaming ? { streamingRows } : {}) }
      return { name: option, nodes: (input: string) => mobileBlock(`${name}.${option}`, input, options) }
    }),
  )
  const keepsShape = inputChannels === channels && stride[0] === 1 && stride[1] === 1
  const nodes = (input: string) => (isStreaming ? streamingIdentity(`${name}.${identity}`, input, streamingRows) : [])
  return { name, options: keepsShape ? [...blocks, { name: identity, nodes }] : blocks }
}

/**
 * The six places s3.l1 .. s4.l3 behind a map of `inputChannels`. `streaming`: the strides along time of the two stages; every depthwise kernel
 * is then 3 rows long without padding (and 3, 5 or 7 columns wide), so that a second of sound is enough and a decision comes often.
 */
export function mobileStages(inputChannels: number, streaming?: Pair): Place[] {
  const stages = [
    { name: 's3', channels: 20 },
    { name: 's4', channels: 40 },
  ]
  let previous = inputChannels
  return stages.flatMap(({ name, channels }, stage) =>
    [1, 2, 3].map((layer) => {
      const stride: Pair = layer === 1 ? [streaming?.[stage] ?? 2, 2] : [1, 1]
      const result = place(`${name}.l${layer}`, previous, channels, stride, streaming !== undefined)
      previous = channels
      return result
    }),
  )
}

/** Stage v and the classifier: 1x1 convolution to 80 channels, global average pool, linear. */
export function mobileHead(classes: number): (input: string) => NetworkNode[] {
  return (input) => [convolution('last', input, { channels: 80, kernelSize: [1, 1] }), ...classifier('last', classes)]
}
