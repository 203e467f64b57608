// A graph as the input of a recorded network: its edges and sparse features lie on the heap beside the tape, filled by the source like any
// input, and the batch's rows are its nodes.
import { dropoutSlot, sparseInput, type SparseStored, type Stored, type Tape, type Value } from '@bitwright/engine'
import type { GraphFrontEnd } from '../network/network.ts'

export interface GraphInput {
  /** Every node is its own neighbour; values are GCN's. */
  readonly neighbours: SparseStored
  readonly features: SparseStored
  /** Heap offset of what dropout draws by. */
  readonly dropout: number
}

interface GraphStored extends Stored {
  readonly graph: GraphInput
}

/** The graph that an input stands for, if it is one. */
export const graphOf = (input: Stored): GraphInput | undefined => (input as Partial<GraphStored>).graph

export function recordGraphInput(tape: Tape, { nodes, edges, features, entries }: GraphFrontEnd): Value {
  const graph = {
    neighbours: sparseInput(tape, { rows: nodes, columns: nodes, entries: nodes + 2 * edges }),
    features: sparseInput(tape, { rows: nodes, columns: features, entries }),
    dropout: dropoutSlot(tape),
  }
  const stored: GraphStored = { ...tape.store(1, 1, 1, { needsGradient: false }), graph }
  return tape.value(stored)
}
