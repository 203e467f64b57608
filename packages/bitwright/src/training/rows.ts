// Which row of a batch a sample has: the next one, but in a graph every node has its own, and all nodes pass together.
import type { Engine } from '@bitwright/engine'
import type { Sample } from '../data/dataset.ts'
import type { Network } from '../network/network.ts'

type OfNetwork = Pick<Network, 'frontEnd'>

/** Rows of a batch of so many samples. */
export const batchRows = ({ frontEnd }: OfNetwork, samples: number): number => (frontEnd.kind === 'graph' ? frontEnd.nodes : samples)

export const rowOf = ({ frontEnd }: OfNetwork, sample: Sample, position: number): number =>
  frontEnd.kind === 'graph' ? sample.index : position

/** Of a graph: rows with a label, over which a loss is the mean; undefined: all. */
export const labelledRows = ({ frontEnd }: OfNetwork, samples: number): number | undefined =>
  frontEnd.kind === 'graph' ? samples : undefined

/** Labels of the samples in their rows; other rows are left out. */
export function writeLabels(engine: Engine, labels: number, network: OfNetwork, rows: number, samples: readonly Sample[]): void {
  const own = engine.integers(labels, rows).fill(-1)
  samples.forEach((sample, position) => (own[rowOf(network, sample, position)] = sample.label))
}

/** Whole batches of so many samples, at most `most`; a graph's samples are one. */
export function batchesOf({ frontEnd }: OfNetwork, samples: readonly Sample[], size: number, most = Infinity): Sample[][] {
  if (frontEnd.kind === 'graph') return [[...samples]]
  return Array.from({ length: Math.min(most, Math.floor(samples.length / size)) }, (_, i) => samples.slice(i * size, (i + 1) * size))
}
