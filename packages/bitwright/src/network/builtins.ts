// Networks that can be named on the command line: the yardsticks of the papers, rebuilt to their published counts.
import { UsageError } from '../errors.ts'
import { classifier, convolution, mobileBlock, network, rawStem } from './blocks.ts'
import { cenet } from './cenet.ts'
import type { Network, NetworkNode, Pair, SpectralFrontEnd } from './network.ts'
import { frontEndShape, samePadding } from './shapes.ts'
import { streamingNetwork } from './streaming.ts'

export interface BuiltinOptions {
  /** Class names in output order. */
  readonly classes: readonly string[]
  /** Hz. Default 16000. Of no meaning to a network for images. */
  readonly sampleRate?: number
  /** Samples of a clip. Default: one second. */
  readonly samples?: number
  /** Without padding along time, for streams (network/streaming.ts). Default: false. */
  readonly streaming?: boolean
  /** Of a network for images. Default: 32x32 in colour. */
  readonly image?: ImageShape
}
interface ImageShape {
  readonly height: number
  readonly width: number
  readonly channels: number
}
interface Clip {
  readonly sampleRate: number
  readonly samples: number
}

function mfcc(clip: Clip, windowMs: number, hopMs: number, coefficients: number): SpectralFrontEnd {
  const samplesOf = (milliseconds: number): number => Math.round((clip.sampleRate * milliseconds) / 1000)
  return {
    kind: 'mfcc',
    ...clip,
    windowSamples: samplesOf(windowMs),
    hopSamples: samplesOf(hopMs),
    melBands: 40,
    coefficients,
    lowHz: 20,
    highHz: Math.min(7000, clip.sampleRate / 2),
  }
}

/** Zhang et al., "Hello Edge" (arXiv 1711.07128), DS-CNN small: 49x10 MFCC; 23,180 parameters and 2.66M MACs with 12 classes. */
function dsCnnS(name: string, classes: readonly string[], clip: Clip): Network {
  const frontEnd = mfcc(clip, 40, 20, 10)
  const [frames, coefficients] = frontEndShape(frontEnd)
  const padding = samePadding([frames, coefficients], [10, 4], [2, 2])
  const nodes: NetworkNode[] = [
    { id: 'input', op: 'input', inputs: [], shape: [frames, coefficients, 1] },
    convolution('first', 'input', { channels: 64, kernelSize: [10, 4], stride: [2, 2], padding }),
  ]
  for (let block = 1; block <= 4; block++) {
    nodes.push(convolution(`block${block}.depthwise`, nodes.at(-1)!.id, { channels: 64, kernelSize: [3, 3], groups: 64 }))
    nodes.push(convolution(`block${block}.pointwise`, nodes.at(-1)!.id, { channels: 64, kernelSize: [1, 1] }))
  }
  return network(name, frontEnd, classes, [...nodes, ...classifier(nodes.at(-1)!.id, classes.length)])
}

/**
 * Choi et al., "Temporal convolution for real-time keyword spotting" (arXiv 1904.03814), TC-ResNet8: coefficients are channels, so every
 * convolution runs over time alone. The first layer has neither batch norm nor activation, and the shortcuts have both: with 12 classes
 * that is 65,148 parameters, the published count. With whole windows (98 frames) it has 1.52M MACs; 1.56M when the audio is padded to 101.
 */
function tcResNet8(name: string, classes: readonly string[], clip: Clip): Network {
  const frontEnd = mfcc(clip, 30, 10, 40)
  const [frames, coefficients] = frontEndShape(frontEnd)
  const nodes: NetworkNode[] = [
    { id: 'input', op: 'input', inputs: [], shape: [frames, coefficients, 1] },
    { id: 'channels', op: 'reshape', inputs: ['input'], shape: [frames, 1, coefficients] },
    convolution('first', 'channels', { channels: 16, kernelSize: [3, 1], normalization: 'none', activation: 'none' }),
  ]
  let height = frames
  for (const [index, channels] of [24, 32, 48].entries()) {
    const id = `block${index + 1}`
    const input = nodes.at(-1)!.id
    const kernelSize: Pair = [9, 1]
    const stride: Pair = [2, 1]
    nodes.push(
      convolution(`${id}.first`, input, { channels, kernelSize, stride, padding: samePadding([height, 1], kernelSize, stride) }),
      convolution(`${id}.second`, `${id}.first`, { channels, kernelSize, activation: 'none' }),
      convolution(`${id}.shortcut`, input, { channels, kernelSize: [1, 1], stride }),
      { id: `${id}.add`, op: 'add', inputs: [`${id}.shortcut`, `${id}.second`], activation: 'relu' },
    )
    height = Math.ceil(height / 2)
  }
  return network(name, frontEnd, classes, [...nodes, ...classifier(nodes.at(-1)!.id, classes.length)])
}

/**
 * MLPerf Tiny's image classifier (Banbury et al., arXiv 2106.07597), a ResNet-8 for 32x32x3: 12,501,632 MACs and 77,946 parameters with 10
 * classes. The reference counts 78,666: it adds the running statistics (480) and biases of layers whose batch norm takes them off again (240).
 */
function resNet8(name: string, classes: readonly string[], image: ImageShape): Network {
  const frontEnd = { kind: 'image', ...image } as const
  const nodes: NetworkNode[] = [
    { id: 'input', op: 'input', inputs: [], shape: frontEndShape(frontEnd) },
    convolution('first', 'input', { channels: 16, kernelSize: [3, 3] }),
  ]
  let size: Pair = [image.height, image.width]
  for (const [index, channels] of [16, 32, 64].entries()) {
    const id = `stack${index + 1}`
    const input = nodes.at(-1)!.id
    const kernelSize: Pair = [3, 3]
    const isFirst = index === 0
    const stride: Pair = isFirst ? [1, 1] : [2, 2]
    const shortcut = convolution(`${id}.shortcut`, input, {
      channels,
      kernelSize: [1, 1],
      stride,
      normalization: 'none',
      activation: 'none',
    })
    nodes.push(
      convolution(`${id}.first`, input, { channels, kernelSize, stride, padding: samePadding(size, kernelSize, stride) }),
      convolution(`${id}.second`, `${id}.first`, { channels, kernelSize, activation: 'none' }),
      ...(isFirst ? [] : [{ ...shortcut, bias: true }]),
      { id: `${id}.add`, op: 'add', inputs: [isFirst ? input : shortcut.id, `${id}.second`], activation: 'relu' },
    )
    size = [Math.ceil(size[0] / stride[0]), Math.ceil(size[1] / stride[1])]
  }
  return network(name, frontEnd, classes, [...nodes, ...classifier(nodes.at(-1)!.id, classes.length)])
}

/**
 * The backbone of arXiv 2104.06666, Table 1, with F = 60 and every block e = 3, k = 5; no padding before the first layer (98 frames) and
 * affine normalisation after it. 12 classes: 46,592 parameters and 10.17M MACs; 70,472 parameters with Conv1D. For streams as the space
 * kws-e2e: depthwise kernels of 3 rows, and no stride along time in the second stage.
 */
function e2eE3K5(layer: 'sinc' | 'conv1d') {
  return (name: string, classes: readonly string[], clip: Clip, streaming: boolean): Network => {
    const frontEnd = { kind: 'raw', ...clip } as const
    const nodes = rawStem({ frontEnd, layer, filters: 60, padding: 0, normalization: 'affine' })
    nodes.push(convolution('first', 'map', { channels: 10, kernelSize: [3, 3], stride: [2, 2] }))
    let inputChannels = 10
    for (const [stage, channels] of [
      ['s3', 20],
      ['s4', 40],
    ] as const) {
      for (let layerIndex = 1; layerIndex <= 3; layerIndex++) {
        const stride: Pair = layerIndex === 1 ? [streaming && stage === 's4' ? 1 : 2, 2] : [1, 1]
        const options = { inputChannels, channels, expansion: 3, kernel: 5, stride, ...(streaming ? { streamingRows: 3 } : {}) }
        nodes.push(...mobileBlock(`${stage}.l${layerIndex}.e3k5`, nodes.at(-1)!.id, options))
        inputChannels = channels
      }
    }
    nodes.push(convolution('last', nodes.at(-1)!.id, { channels: 80, kernelSize: [1, 1] }))
    return network(name, frontEnd, classes, [...nodes, ...classifier('last', classes.length)])
  }
}

type Builder = (name: string, classes: readonly string[], clip: Clip, streaming: boolean, image: ImageShape) => Network

const builders = {
  'ds-cnn-s': dsCnnS,
  'tc-resnet8': tcResNet8,
  'kws-e2e-e3k5': e2eE3K5('sinc'),
  'kws-e2e-e3k5-conv1d': e2eE3K5('conv1d'),
  'cenet-6': cenet([1, 1, 1], false),
  'cenet-24': cenet([7, 7, 7], false),
  'cenet-40': cenet([15, 15, 7], false),
  'cenet-gcn-6': cenet([1, 1, 1], true),
  'cenet-gcn-24': cenet([7, 7, 7], true),
  'cenet-gcn-40': cenet([15, 15, 7], true),
  resnet8: (name, classes, _clip, _streaming, image) => resNet8(name, classes, image),
} satisfies Record<string, Builder>
export type BuiltinName = keyof typeof builders

export const builtinNames = Object.keys(builders) as BuiltinName[]

/** As many classes as in the network's paper: ten words, unknown and silence; ten kinds of objects. */
export function paperClasses(name: BuiltinName): string[] {
  return Array.from({ length: name === 'resnet8' ? 10 : 12 }, (_, index) => `class ${index}`)
}

/**
 * A built-in network for the given classes, in float.
 * @throws UsageError for an unknown name, fewer than two classes, or clips too short for the network.
 */
export function builtinNetwork(name: string, options: BuiltinOptions): Network {
  const { classes, sampleRate = 16000, samples = sampleRate, streaming = false } = options
  const { image = { height: 32, width: 32, channels: 3 } } = options
  if (!Object.hasOwn(builders, name)) {
    throw new UsageError(`unknown network "${name}"; built in are ${builtinNames.join(', ')}, or give a .json file`)
  }
  if (classes.length < 2) throw new UsageError(`network "${name}": needs at least two classes, got ${classes.length}`)
  const built = builders[name as BuiltinName](name, classes, { sampleRate, samples }, streaming, image)
  return streaming ? streamingNetwork(built) : built
}
