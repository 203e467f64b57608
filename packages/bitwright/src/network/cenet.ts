// CENet and CENet-GCN (Chen et al., "Small-footprint keyword spotting with graph convolutional network", arXiv 1912.05124): an initial block, then
// three stages of bottleneck blocks that each end with a connection block, which halves the map, and with a graph module in the GCN networks. What
// the paper leaves open, and what we decided: docs/cenet.md.
import { bottleneckBlock, classifier, connectionBlock, convolution, graphModule, network } from './blocks.ts'
import type { Network, NetworkNode, SpectralFrontEnd } from './network.ts'
import { frontEndShape } from './shapes.ts'

export interface CenetStage {
  readonly name: string
  /** C, of its bottleneck blocks. */
  readonly channels: number
  /** M, of the inner layers of its blocks. */
  readonly middle: number
  /** C', of its connection block. */
  readonly connected: number
}

export const cenetStages: readonly CenetStage[] = [
  { name: 's1', channels: 16, middle: 8, connected: 32 },
  { name: 's2', channels: 32, middle: 8, connected: 48 },
  { name: 's3', channels: 48, middle: 12, connected: 64 },
]

/** 40 MFCC of windows of 30 ms every 10 ms, bands from 20 Hz to 4 kHz. */
export function cenetFrontEnd({ sampleRate, samples }: { sampleRate: number; samples: number }): SpectralFrontEnd {
  return {
    kind: 'mfcc',
    sampleRate,
    samples,
    windowSamples: Math.round(0.03 * sampleRate),
    hopSamples: Math.round(0.01 * sampleRate),
    melBands: 40,
    coefficients: 40,
    lowHz: 20,
    highHz: Math.min(4000, sampleRate / 2),
  }
}

/**
 * The initial block: 3x3 convolution to 16 channels, 2x2 average pool. The paper's second of sound has 101 frames where ours, of whole windows, has
 * 98: the convolution pads by what is missing.
 */
export function cenetStem(frontEnd: SpectralFrontEnd): NetworkNode[] {
  const [frames, coefficients] = frontEndShape(frontEnd)
  return [
    { id: 'input', op: 'input', inputs: [], shape: [frames, coefficients, 1] },
    convolution('first', 'input', { channels: cenetStages[0].channels, kernelSize: [3, 3], padding: [2, 3, 1, 1] }),
    { id: 'halved', op: 'averagePool', inputs: ['first'], kernelSize: [2, 2], stride: [2, 2] },
  ]
}

type Clip = Parameters<typeof cenetFrontEnd>[0]

/** A network of so many bottleneck blocks a stage; with 12 classes of the published sizes. Its layers' ids are those of the space `cenet`. */
export function cenet(blocks: readonly [number, number, number], hasGraph: boolean) {
  return (name: string, classes: readonly string[], clip: Clip): Network => {
    const frontEnd = cenetFrontEnd(clip)
    const nodes = cenetStem(frontEnd)
    const last = (): string => nodes.at(-1)!.id
    for (const [stage, { name: id, channels, middle, connected }] of cenetStages.entries()) {
      for (let block = 1; block <= blocks[stage]; block++) nodes.push(...bottleneckBlock(`${id}.b${block}`, last(), { middle, channels }))
      nodes.push(...connectionBlock(`${id}.connection`, last(), { middle, channels: connected }))
      if (hasGraph) nodes.push(...graphModule(`${id}.graph`, last(), connected))
    }
    return network(name, frontEnd, classes, [...nodes, ...classifier(last(), classes.length)])
  }
}
