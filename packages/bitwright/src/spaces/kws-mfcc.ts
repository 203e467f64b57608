// Keyword spotting on MFCC, after Peter, Roth, Pernkopf, arXiv 2012.10138: their first layer (11 frames by 5 coefficients, stride 1 along
// the coefficients, so that 10 of them are not thinned out at once), then our kws-e2e's searched stages in the place of their twelve cells
// of 72 channels. Our design: small data does not fill their widths, and the two spaces differ in nothing but the front end.
// Windows of 40 ms every 20 ms, 40 mel bands from 20 Hz to 7 kHz.
import { convolution, network } from '../network/blocks.ts'
import type { SpectralFrontEnd } from '../network/network.ts'
import { frontEndShape } from '../network/shapes.ts'
import { chainSpace } from './chain.ts'
import { mobileHead, mobileStages } from './mobile-stages.ts'
import type { AdditiveSpace } from './space.ts'

export interface KwsMfccOptions {
  /** Class names in output order. */
  readonly classes: readonly string[]
  /** Default 10. */
  readonly coefficients?: 10 | 20 | 30 | 40
  /** Hz. Default 16000. */
  readonly sampleRate?: number
  /** Samples of a clip. Default: one second. */
  readonly samples?: number
  /** Without padding along time, for streams: a decision every 40 ms. Default: false. */
  readonly streaming?: boolean
}

export function kwsMfcc(options: KwsMfccOptions): AdditiveSpace {
  const { classes, coefficients = 10, sampleRate = 16000, samples = sampleRate, streaming = false } = options
  const frontEnd: SpectralFrontEnd = {
    kind: 'mfcc',
    sampleRate,
    samples,
    windowSamples: Math.round(0.04 * sampleRate),
    hopSamples: Math.round(0.02 * sampleRate),
    melBands: 40,
    coefficients,
    lowHz: 20,
    highHz: Math.min(7000, sampleRate / 2),
  }
  const name = `kws-mfcc-${coefficients}${streaming ? '-stream' : ''}`
  return chainSpace({
    name,
    stem: [
      { id: 'input', op: 'input', inputs: [], shape: frontEndShape(frontEnd) },
      convolution('first', 'input', { channels: 10, kernelSize: [11, 5], stride: [2, 1], ...(streaming ? { padding: [0, 0, 2, 2] } : {}) }),
    ],
    places: mobileStages(10, streaming ? [1, 1] : undefined),
    head: mobileHead(classes.length),
    wrap: (nodes) => network(name, frontEnd, classes, nodes),
  })
}
