// From a graph to the network's input. A step sees all nodes and learns from the labels of those that it is asked for. A node's features add up to
// one, and edges count 1 / sqrt(d_i d_j), with d the neighbours of a node and itself (Kipf and Welling, "Semi-supervised classification with graph
// convolutional networks", arXiv 1609.02907).
import {
  type Engine,
  Random,
  sparseColumns,
  type SparseColumns,
  type SparseMatrix,
  type Stored,
  writeDropout,
  writeSparse,
} from '@bitwright/engine'
import type { AugmentationKey } from '../data/augment.ts'
import type { GraphDataset, Sample } from '../data/dataset.ts'
import { RunError } from '../errors.ts'
import { graphFrontEnd } from '../network/builtins-graph.ts'
import type { FrontEnd } from '../network/network.ts'
import { type GraphInput, graphOf } from './graph-input.ts'
import type { SampleSource } from './sample-source.ts'

export interface GraphVariation {
  /** Share of the features, and of what activations give, that a training step leaves out. */
  readonly dropout?: number
}

/** As GCN is trained. */
export const defaultDropout = 0.5

function normalizedRows({ starts, indices, values, ...shape }: SparseMatrix): SparseMatrix {
  const normalized = values ? values.slice() : new Float32Array(indices.length).fill(1)
  for (let row = 0; row < shape.rows; row++) {
    const own = normalized.subarray(starts[row], starts[row + 1])
    const sum = own.reduce((total, value) => total + Math.abs(value), 0)
    if (sum > 0) own.forEach((value, i) => (own[i] = value / sum))
  }
  return { ...shape, starts, indices, values: normalized }
}

function degreeWeighted(neighbours: SparseMatrix): SparseMatrix {
  const { rows, starts, indices } = neighbours
  const values = new Float32Array(indices.length)
  for (let row = 0; row < rows; row++)
    for (let e = starts[row]; e < starts[row + 1]; e++)
      values[e] = 1 / Math.sqrt((starts[row + 1] - starts[row]) * (starts[indices[e] + 1] - starts[indices[e]]))
  return { ...neighbours, values }
}

type Both = readonly [SparseMatrix, SparseColumns]
const bothWays = (matrix: SparseMatrix): Both => [matrix, sparseColumns(matrix)]

export class GraphSource implements SampleSource {
  readonly dataset: GraphDataset
  private readonly engine: Engine
  private readonly dropout: number
  private readonly features: Both
  private readonly neighbours: Both
  /** Inputs that have the graph already. */
  private readonly filled = new WeakSet<GraphInput>()

  constructor(engine: Engine, dataset: GraphDataset, frontEnd: FrontEnd, { dropout = defaultDropout }: GraphVariation = {}) {
    const own = graphFrontEnd(dataset)
    if (frontEnd.kind !== 'graph')
      throw new RunError(`the network takes ${frontEnd.kind === 'image' ? 'images' : 'sound'}, the dataset is a graph`)
    if (JSON.stringify(own) !== JSON.stringify({ ...own, ...frontEnd }))
      throw new RunError(
        `the network is for a graph of ${frontEnd.nodes} nodes, ${frontEnd.edges} edges and ${frontEnd.features} features, the dataset has ${own.nodes}, ${own.edges} and ${own.features}`,
      )
    this.engine = engine
    this.dataset = dataset
    this.dropout = dropout
    this.features = bothWays(normalizedRows(dataset.features))
    this.neighbours = bothWays(degreeWeighted(dataset.neighbours))
  }

  epochOrder(): Sample[] {
    return [...this.dataset.splits.train]
  }

  fill(input: Stored, _samples: readonly Sample[], key: AugmentationKey | null): void {
    const graph = graphOf(input)
    if (!graph) throw new Error('graph: the input was recorded for something else')
    if (!this.filled.has(graph)) {
      writeSparse(this.engine, graph.features, ...this.features)
      writeSparse(this.engine, graph.neighbours, ...this.neighbours)
      this.filled.add(graph)
    }
    const random = new Random(key?.seed ?? 0, 'dropout', key?.epoch ?? 0)
    writeDropout(this.engine, graph.dropout, key ? this.dropout : 0, [random.uint32(), random.uint32()])
  }
}
