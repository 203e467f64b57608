// A keyword task of a few milliseconds for tests of training and search: every class is a tone of its own pitch, with random phase,
// loudness and noise, in clips of 400 samples; and the networks and the space that go with it.
import { Engine, openBackend, Random } from '@bitwright/engine'
import type { AudioDataset, Sample, SplitName } from '../../data/dataset.ts'
import { splitNames } from '../../data/plan.ts'
import { classifier, convolution, graphModule, mobileBlock, network } from '../../network/blocks.ts'
import type { Network, NetworkNode } from '../../network/network.ts'
import { chainSpace } from '../../spaces/chain.ts'
import { decisionIndices } from '../../spaces/decisions.ts'
import type { AdditiveSpace, Decisions, Space } from '../../spaces/space.ts'
import { AudioSource } from '../audio-source.ts'

export const toneClasses = ['low', 'middle', 'high'] as const
const sampleRate = 16_000
const samples = 400
const frontEnd = { kind: 'raw', sampleRate, samples } as const
const input: NetworkNode = { id: 'input', op: 'input', inputs: [], shape: [samples, 1, 1] }
/** 50 frames from 400 samples, whatever the kernel. */
const frames = (kernel: number) =>
  ({ kernelSize: [kernel, 1], stride: [8, 1], padding: [(kernel - 8) >> 1, (kernel - 7) >> 1, 0, 0] }) as const

/** Equally many clips of every class; one speaker has four clips. */
export function toneDataset(counts: Partial<Record<SplitName, number>> = {}, seed = 0): AudioDataset {
  const perClass = { train: 40, validation: 20, test: 20, ...counts }
  const splits: Record<SplitName, Sample[]> = { train: [], validation: [], test: [] }
  const total = toneClasses.length * (perClass.train + perClass.validation + perClass.test)
  const pcm = new Int16Array(total * samples)
  let index = 0
  for (const split of splitNames) {
    for (let i = 0; i < perClass[split]; i++) {
      for (let label = 0; label < toneClasses.length; label++, index++) {
        const random = new Random(seed, 'tone', index)
        const omega = (2 * Math.PI * 500 * 2 ** (label + random.uniform(-0.1, 0.1))) / sampleRate
        const phase = random.uniform(0, 2 * Math.PI)
        const loudness = random.uniform(2000, 12_000)
        for (let t = 0; t < samples; t++) {
          pcm[index * samples + t] = Math.round(loudness * Math.sin(omega * t + phase) + 500 * random.normal())
        }
        splits[split].push({ path: `${toneClasses[label]}/${index}.wav`, label, speaker: `${split}${i >> 2}`, index })
      }
    }
  }
  return { kind: 'audio', directory: 'tones', classes: toneClasses, sampleRate, samples, splits, skipped: [], pcm, background: [] }
}

/** Raw audio, one residual block, a classifier: signed and unsigned values, a stream and layers that narrow it. */
export function toneNetwork(): Network {
  const block = { inputChannels: 8, channels: 8, expansion: 2, kernel: 3, stride: [1, 1] } as const
  const nodes = [
    input,
    convolution('front', 'input', { channels: 8, ...frames(16) }),
    ...mobileBlock('block', 'front', block),
    convolution('last', 'block.add', { channels: 12, kernelSize: [1, 1] }),
    ...classifier('last', toneClasses.length),
  ]
  return network('tones', frontEnd, toneClasses, nodes)
}

/** Raw audio, a layer, CENet-GCN's graph module over its 50 frames (or nothing), a classifier. */
export function toneGraphNetwork(classes: readonly string[] = toneClasses, withModule = true): Network {
  const nodes = [
    input,
    convolution('front', 'input', { channels: 8, ...frames(16) }),
    ...(withModule ? graphModule('graph', 'front', 8) : []),
    convolution('last', withModule ? 'graph.add' : 'front', { channels: 12, kernelSize: [1, 1] }),
    ...classifier('last', classes.length),
  ]
  return network('tones-graph', frontEnd, classes, nodes)
}

/** Two tones a clip, at its beginning and its end, of the same pitch or of two: what no layer sees that does not see all of it. */
export function farTonesDataset(count: number): AudioDataset {
  const { directory: _, ...tones } = toneDataset({ train: 0, validation: 0, test: 0 })
  const classes = ['same', 'different']
  const splits: Record<SplitName, Sample[]> = { train: [], validation: [], test: [] }
  const pcm = new Int16Array(splitNames.length * count * samples)
  for (let index = 0; index < splitNames.length * count; index++) {
    const random = new Random(0, 'far tones', index)
    const label = index % 2
    const first = random.integer(2)
    const pitches = [first, label === 0 ? first : 1 - first]
    const phases = pitches.map(() => random.uniform(0, 2 * Math.PI))
    for (let t = 0; t < samples; t++) {
      const at = t < 120 ? 0 : t < 280 ? -1 : 1
      const tone = at < 0 ? 0 : Math.sin((2 * Math.PI * 600 * 3 ** pitches[at] * t) / sampleRate + phases[at])
      pcm[index * samples + t] = Math.round(10_000 * tone + 300 * random.normal())
    }
    const split = splitNames[Math.floor(index / count)]
    splits[split].push({ path: `${classes[label]}/${index}.wav`, label, speaker: split, index })
  }
  return { ...tones, directory: 'far tones', classes, splits, pcm }
}

/**
 * First a layer that sees 16 samples at a time, or one that sees single samples and so nothing of the pitch; then a block or nothing.
 * `copies`: how often each of the first place's options is there.
 */
export function toneSpace(copies = 1): AdditiveSpace {
  const front = (name: string, kernel: number) =>
    Array.from({ length: copies }, (_, copy) => ({
      name: copy === 0 ? name : `${name}${copy}`,
      nodes: (from: string) => [
        convolution(`${name}${copy}`, from, {
          channels: 8,
          ...frames(kernel),
          ...(kernel < 8 ? { padding: [0, 0, 0, 0] as const } : {}),
          activation: 'none',
        }),
      ],
    }))
  const block = (expansion: number) => ({
    name: `e${expansion}`,
    nodes: (from: string) => mobileBlock(`e${expansion}`, from, { inputChannels: 8, channels: 8, expansion, kernel: 1, stride: [1, 1] }),
  })
  return chainSpace({
    name: 'tones',
    stem: [input],
    places: [
      { name: 'front', options: [...front('point', 1), ...front('wide', 16)] },
      { name: 'middle', options: [block(1), block(2), { name: 'identity', nodes: () => [] }] },
    ],
    head: (from) => [convolution('last', from, { channels: 12, kernelSize: [1, 1] }), ...classifier('last', toneClasses.length)],
    wrap: (nodes) => network('tones', frontEnd, toneClasses, nodes),
  })
}

/** A layer, then a graph module over its 50 frames or nothing. */
export function toneGraphSpace(): AdditiveSpace {
  return chainSpace({
    name: 'tones-graph',
    stem: [input, convolution('front', 'input', { channels: 8, ...frames(16), activation: 'none' })],
    places: [
      {
        name: 'graph',
        options: [
          { name: 'none', nodes: () => [] },
          { name: 'module', nodes: (from) => graphModule('graph.module', from, 8) },
        ],
      },
    ],
    head: (from) => [convolution('last', from, { channels: 12, kernelSize: [1, 1] }), ...classifier('last', toneClasses.length)],
    wrap: (nodes) => network('tones-graph', frontEnd, toneClasses, nodes),
  })
}

/** Widths of the front layer as a `size` choice before the block of `toneSpace`. The same names have other shapes at another width. */
export function toneSizeSpace(widths: readonly number[] = [4, 8]): Space {
  const choices = [
    { name: 'width', kind: 'size' as const, options: widths.map(String) },
    { name: 'middle', kind: 'path' as const, options: ['e1', 'e2', 'identity'] },
  ]
  const middle = (option: number, from: string, channels: number): NetworkNode[] => {
    const size = { inputChannels: channels, channels, expansion: option + 1, kernel: 1, stride: [1, 1] } as const
    return option === 2 ? [] : mobileBlock(`middle.e${option + 1}`, from, size)
  }
  const fragment: Space['fragment'] = (choice, option, from, decisions) => {
    const nodes = middle(option, from, widths[decisionIndices(choices, decisions)[0]])
    return { nodes, input: from, output: nodes.at(-1)?.id ?? from }
  }
  const edges = (decisions: Decisions) => [fragment(1, decisionIndices(choices, decisions)[1], 'front', decisions)]
  return {
    name: 'tones-sized',
    choices,
    edges,
    fragment,
    build: (decisions) => {
      const [edge] = edges(decisions)
      const channels = widths[decisionIndices(choices, decisions)[0]]
      return network('tones-sized', frontEnd, toneClasses, [
        input,
        convolution('front', 'input', { channels, ...frames(16), activation: 'none' }),
        ...edge.nodes,
        convolution('last', edge.output, { channels: 12, kernelSize: [1, 1] }),
        ...classifier('last', toneClasses.length),
      ])
    },
  }
}

/** The clips with shifts of up to 1 ms. */
export function toneSource(engine: Engine, dataset: AudioDataset): AudioSource {
  // another speed would be another tone
  return new AudioSource(engine, dataset, frontEnd, { shiftMs: 1, speedChange: 0 })
}

export async function openEngine(threads = 2): Promise<Engine> {
  return new Engine(await openBackend({ backend: 'auto', threads }))
}
