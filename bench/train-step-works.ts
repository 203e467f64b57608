// What bench/train-step.ts trains: two networks made for measuring, MLPerf Tiny's ResNet-8, and two built-in keyword spotters.
import {
  builtinNetwork,
  classifier,
  convolution,
  frontEndShape,
  type Network,
  network,
  type NetworkNode,
  paperClasses,
} from '../packages/bitwright/src/network/index.ts'

export interface Work {
  /** In float. */
  readonly network: Network
  /** Clips or images a step. */
  readonly batch: number
  /** Of weights and activations where it is quantized. */
  readonly bits: number
}

const keywords = paperClasses('ds-cnn-s')

/**
 * One-dimensional, on raw audio: a convolution of 80 taps at stride 16 to 64 channels, then four blocks of 1x1 expansion by three, depthwise
 * 9 at stride 2, and 1x1 projection to 32, 40, 48 and 64. 9.96 GFLOP a step of 64 clips.
 */
function rawAudio(): Network {
  const frontEnd = { kind: 'raw', sampleRate: 16000, samples: 16000 } as const
  const stem = { channels: 64, kernelSize: [80, 1], stride: [16, 1], padding: [32, 32, 0, 0] } as const
  const nodes: NetworkNode[] = [
    { id: 'input', op: 'input', inputs: [], shape: frontEndShape(frontEnd) },
    convolution('first', 'input', stem),
  ]
  let inputChannels = 64
  for (const [index, channels] of [32, 40, 48, 64].entries()) {
    const id = `block${index + 1}`
    const hidden = 3 * inputChannels
    const depthwise = { channels: hidden, kernelSize: [9, 1], stride: [2, 1], padding: [4, 4, 0, 0], groups: hidden } as const
    nodes.push(
      convolution(`${id}.expand`, nodes.at(-1)!.id, { channels: hidden, kernelSize: [1, 1], activation: 'relu6' }),
      convolution(`${id}.depthwise`, `${id}.expand`, { ...depthwise, activation: 'relu6' }),
      convolution(`${id}.project`, `${id}.depthwise`, { channels, kernelSize: [1, 1], activation: 'none' }),
    )
    inputChannels = channels
  }
  return network('w1', frontEnd, keywords, [...nodes, ...classifier(nodes.at(-1)!.id, keywords.length)])
}

/**
 * Two-dimensional, on 49 frames of 10 MFCC: a convolution 10x4 at stride 2 to 64 channels, then four times depthwise 3x3 and 1x1. 0.979 GFLOP
 * a step of 64 clips. (DS-CNN small with symmetric padding.)
 */
function features(): Network {
  const audio = { sampleRate: 16000, samples: 16000, windowSamples: 640, hopSamples: 320 } as const
  const frontEnd = { kind: 'mfcc', ...audio, melBands: 40, coefficients: 10, lowHz: 20, highHz: 7000 } as const
  const nodes: NetworkNode[] = [
    { id: 'input', op: 'input', inputs: [], shape: frontEndShape(frontEnd) },
    convolution('first', 'input', { channels: 64, kernelSize: [10, 4], stride: [2, 2], padding: [5, 5, 1, 1] }),
  ]
  for (let block = 1; block <= 4; block++) {
    nodes.push(
      convolution(`block${block}.depthwise`, nodes.at(-1)!.id, { channels: 64, kernelSize: [3, 3], groups: 64 }),
      convolution(`block${block}.pointwise`, `block${block}.depthwise`, { channels: 64, kernelSize: [1, 1] }),
    )
  }
  return network('w2', frontEnd, keywords, [...nodes, ...classifier(nodes.at(-1)!.id, keywords.length)])
}

const builtin = (name: 'resnet8' | 'kws-e2e-e3k5' | 'ds-cnn-s') => builtinNetwork(name, { classes: paperClasses(name) })

/** By the name that --works takes. */
export const works: Readonly<Record<string, () => Work>> = {
  w1: () => ({ network: rawAudio(), batch: 64, bits: 8 }),
  w2: () => ({ network: features(), batch: 64, bits: 8 }),
  w3: () => ({ network: builtin('resnet8'), batch: 128, bits: 4 }),
  'kws-e2e-e3k5': () => ({ network: builtin('kws-e2e-e3k5'), batch: 64, bits: 8 }),
  'ds-cnn-s': () => ({ network: builtin('ds-cnn-s'), batch: 64, bits: 8 }),
}
