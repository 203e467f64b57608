// Steps of training and of search as the toolkit takes them, on a batch of noise: filling the batch is a copy.
import { type Engine, Random, type Stored } from '../packages/engine/src/index.ts'
import type { AudioDataset, Sample } from '../packages/bitwright/src/data/dataset.ts'
import { countNetwork, type FrontEnd, type Network } from '../packages/bitwright/src/network/index.ts'
import { Gates } from '../packages/bitwright/src/search/gates.ts'
import { proxylessDefaults } from '../packages/bitwright/src/search/proxyless.ts'
import { Supernet } from '../packages/bitwright/src/search/supernet.ts'
import { type AdditiveSpace, decisionMacs } from '../packages/bitwright/src/spaces/index.ts'
import { AudioSource } from '../packages/bitwright/src/training/audio-source.ts'
import { createStore } from '../packages/bitwright/src/training/initialize.ts'
import { Trainer } from '../packages/bitwright/src/training/trainer.ts'

export const classes = Array.from({ length: 12 }, (_, i) => `class ${i}`)
const rate = 1e-4
const seed = 0

/** Gives every batch the same noise: a copy, since decoding and augmenting clips are not what is measured. */
export class NoiseSource extends AudioSource {
  readonly clips: readonly Sample[]
  private readonly heap: Engine
  private readonly noise: Float32Array

  constructor(engine: Engine, frontEnd: FrontEnd, clips: number) {
    if (frontEnd.kind !== 'raw') throw new Error(`noise stands for raw audio, not for ${frontEnd.kind}`)
    const { samples, sampleRate } = frontEnd
    const train = Array.from({ length: clips }, (_, index): Sample => ({ path: `${index}`, label: index % classes.length, index }))
    const splits = { train, validation: train, test: [] }
    const shared = { kind: 'audio' as const, directory: '', classes, skipped: [], pcm: new Int16Array(0), background: [] }
    const dataset: AudioDataset = { ...shared, sampleRate, samples, splits }
    super(engine, dataset, frontEnd)
    this.clips = train
    this.heap = engine
    const random = new Random(0, 'noise')
    this.noise = Float32Array.from({ length: clips * samples }, () => random.uniform(-1, 1))
  }

  override fill(input: Stored): void {
    this.heap.floats(input.offset, this.noise.length).set(this.noise)
  }
}

/** Heap bytes that `work` needs at most over what is in use before it. */
export function highestUse(engine: Engine, work: () => void): number {
  const { heap } = engine
  const rest = heap.bytes
  let highest = rest
  const allocate = heap.allocate.bind(heap)
  heap.allocate = (count) => {
    const offset = allocate(count)
    highest = Math.max(highest, heap.bytes)
    return offset
  }
  work()
  delete (heap as Partial<typeof heap>).allocate
  return highest - rest
}

/** Ready to take a step; its time in milliseconds. */
export interface Step {
  readonly name: string
  readonly heapBytes: number
  /** Multiply-accumulates of the step for one clip: a layer's forward pass, the gradient of its input, that of its weights. */
  readonly macsPerClip: number
  take(): Promise<number>
  dispose(): void
}

function macsOf(network: Network): { macs: number; first: number } {
  const { macs, nodes } = countNetwork(network)
  return { macs, first: nodes.find((node) => node.macs > 0)!.macs }
}

export function openSupernet(engine: Engine, space: AdditiveSpace, source: NoiseSource): Supernet {
  return new Supernet(engine, space, source, { seed, batchSize: source.clips.length, labelSmoothing: 0.1, weightDecay: 1e-4 })
}

function timed(work: () => void): number {
  const start = performance.now()
  work()
  return performance.now() - start
}

/** A weight step and an architecture step (gate gradients and the gates' update) on one path. */
export function searchSteps(
  engine: Engine,
  supernet: Supernet,
  space: AdditiveSpace,
  source: NoiseSource,
  path: readonly number[],
): Step[] {
  const { optionMacs, fixedMacs } = space
  const referenceMacs = decisionMacs(space, path)
  const gates = new Gates({ optionMacs, fixedMacs, referenceMacs, beta: 1, adaptive: false }, new Random(seed, 'gates'))
  const { clips } = source
  const { macs, first } = macsOf(space.build(path))
  const everyOption = optionMacs.flat().reduce((sum, option) => sum + option, 0)
  const weights = () => void supernet.weightStep(path, clips, 0, rate)
  const architecture = () => {
    const { loss, dGates } = supernet.gateGradients(path, clips)
    gates.update(loss, dGates, proxylessDefaults.architectureRate)
  }
  return (
    [
      ['weight step', weights, 3 * macs - first],
      ['architecture step', architecture, 2 * macs - first + everyOption],
    ] as const
  ).map(([name, work, macsPerClip]) => ({
    name,
    macsPerClip,
    heapBytes: highestUse(engine, work),
    take: async () => timed(work),
    dispose: () => {},
  }))
}

/** A step of the trainer, which replays what it recorded once. */
export function plainStep(engine: Engine, name: string, network: Network, source: NoiseSource): Step {
  const store = createStore(engine, [network], seed)
  const before = engine.heap.bytes
  const options = {
    batchSize: source.clips.length,
    epochs: 1,
    optimizer: 'adam',
    learningRate: rate,
    weightDecay: 1e-4,
    labelSmoothing: 0.1,
    seed,
  } as const
  const trainer = new Trainer(engine, network, store, source, { ...options, purpose: 'bench' })
  const { macs, first } = macsOf(network)
  return {
    name,
    macsPerClip: 3 * macs - first,
    heapBytes: engine.heap.bytes - before,
    take: async () => {
      const start = performance.now()
      let end = start
      await trainer.epoch(0, () => {
        end = performance.now()
        return false
      })
      return end - start
    },
    dispose: () => {
      trainer.dispose()
      store.dispose()
    },
  }
}
