// End-to-end keyword spotting on raw audio (Peter, Roth, Pernkopf, arXiv 2104.06666, Table 1): SincConv or Conv1D, conv 3x3 / 2, six
// searched mobile blocks, conv 1x1, classifier. With F = 60, 12 classes and one second at 16 kHz the largest member has 109,622
// parameters and 22.2M MACs, and members with 75.7k / 13.6M exist, which is the paper's headline network's size.
// The audio is padded by 200 zeros on each side (101 frames) and the map is normalised without learned scale and offset: with these two
// the published sizes are met exactly.
import { convolution, network, rawStem } from '../network/blocks.ts'
import { chainSpace } from './chain.ts'
import { mobileHead, mobileStages } from './mobile-stages.ts'
import type { AdditiveSpace } from './space.ts'

export interface KwsE2eOptions {
  /** Class names in output order. */
  readonly classes: readonly string[]
  /** F, filters of the first layer. Default 60. */
  readonly filters?: 40 | 60 | 80
  /** Default 'sinc'. */
  readonly frontEnd?: 'sinc' | 'conv1d'
  /** Hz. Default 16000. */
  readonly sampleRate?: number
  /** Samples of a clip. Default: one second. */
  readonly samples?: number
  /** Without padding along time, for streams: a decision every 40 ms. Default: false. */
  readonly streaming?: boolean
}

export function kwsE2e(options: KwsE2eOptions): AdditiveSpace {
  const { classes, filters = 60, frontEnd = 'sinc', sampleRate = 16000, samples = sampleRate, streaming = false } = options
  const raw = { kind: 'raw', sampleRate, samples } as const
  const name = `kws-e2e-${frontEnd}${filters}${streaming ? '-stream' : ''}`
  return chainSpace({
    name,
    stem: [
      ...rawStem({ frontEnd: raw, layer: frontEnd, filters, padding: streaming ? 0 : 200, normalization: 'plain' }),
      convolution('first', 'map', { channels: 10, kernelSize: [3, 3], stride: [2, 2], ...(streaming ? { padding: [0, 0, 1, 1] } : {}) }),
    ],
    places: mobileStages(10, streaming ? [2, 1] : undefined),
    head: mobileHead(classes.length),
    wrap: (nodes) => network(name, raw, classes, nodes),
  })
}
