// Graphs (kernels/graph.c): a batch's samples are the nodes of one graph, and these ops are the only ones that look from one sample at others.
// Edges are entries of a sparse matrix, a row's neighbours its columns. The same op multiplies sparse features with dense weights.
import { none } from '../commands.ts'
import type { Engine } from '../engine.ts'
import { sparseColumns, type SparseMatrix } from '../sparse.ts'
import type { Tape, Value, WeightReference } from '../tape.ts'
import { settle } from './elementwise.ts'

/** A sparse matrix on the heap: offsets of its parts, and of those of the way back. */
export interface SparseStored {
  readonly rows: number
  readonly columns: number
  readonly entries: number
  readonly starts: number
  readonly indices: number
  readonly backStarts: number
  readonly backRows: number
  readonly backEntries: number
  /** [entries], with zeros up to a multiple of `valueBlock`. */
  readonly values: number
}

/** Values are dropped out in rows of so many. */
const valueBlock = 64

/** Room for a matrix of this size on a tape; `writeSparse` fills it. */
export function sparseInput(tape: Tape, { rows, columns, entries }: Pick<SparseStored, 'rows' | 'columns' | 'entries'>): SparseStored {
  return {
    rows,
    columns,
    entries,
    starts: tape.allocate(rows + 1),
    indices: tape.allocate(entries),
    backStarts: tape.allocate(columns + 1),
    backRows: tape.allocate(entries),
    backEntries: tape.allocate(entries),
    values: tape.allocate(Math.ceil(entries / valueBlock) * valueBlock),
  }
}

/** `columns`: of the matrix, where they are known already. */
export function writeSparse(engine: Engine, to: SparseStored, matrix: SparseMatrix, columns = sparseColumns(matrix)): void {
  const { rows, entries } = to
  if (matrix.rows !== rows || matrix.columns !== to.columns || matrix.indices.length !== entries)
    throw new Error(
      `sparse: a matrix of ${matrix.rows}x${matrix.columns} with ${matrix.indices.length} entries does not fit ${rows}x${to.columns} with ${entries}`,
    )
  engine.integers(to.starts, rows + 1).set(matrix.starts)
  engine.integers(to.indices, entries).set(matrix.indices)
  engine.integers(to.backStarts, to.columns + 1).set(columns.starts)
  engine.integers(to.backRows, entries).set(columns.rows)
  engine.integers(to.backEntries, entries).set(columns.entries)
  const values = engine.floats(to.values, Math.ceil(entries / valueBlock) * valueBlock).fill(0)
  if (matrix.values) values.set(matrix.values)
  else values.fill(1, 0, entries)
}

const edgesArguments = (of: SparseStored, heads: number, each: number): number[] => [
  of.rows,
  of.columns,
  of.entries,
  of.starts,
  of.indices,
  of.backStarts,
  of.backRows,
  of.backEntries,
  heads,
  each,
]

const aggregators = ['sum', 'mean', 'max'] as const
export type Aggregator = (typeof aggregators)[number]

const attentions = ['gat', 'cosine', 'linear'] as const
/** A parameter on the heap and where its gradient goes. */
type Learned = WeightReference
/**
 * Scores of neighbours j of node i whose softmax over the neighbours weighs them, head by head. `gat`: leaky ReLU (0.2) of left.x_i + right.x_j;
 * `cosine`: left (one a head) times the cosine of x_i and x_j; `linear`: tanh of right.x_j. `left`, `right`: [heads][channels of a head].
 */
export interface LearnedAttention {
  readonly kind: (typeof attentions)[number]
  readonly left?: Learned
  readonly right?: Learned
}

export interface AggregateOptions {
  readonly aggregator: Aggregator
  readonly heads: number
  /** What neighbours count: each 1, the matrix's values, or what is learned. */
  readonly attention: 'ones' | 'values' | LearnedAttention
}

/** y_i = sum, mean or largest value, channel by channel, of weight_ij x_j over the neighbours j of node i. */
export function aggregate(tape: Tape, input: Value, graph: SparseStored, { aggregator, heads, attention }: AggregateOptions): Value {
  const x = settle(tape, input)
  const { stored } = x
  const { channels, stride, offset } = stored
  if (stored.height !== 1 || stored.width !== 1 || stored.batch !== graph.rows || graph.columns !== graph.rows)
    throw new Error(
      `aggregate: ${graph.rows} nodes and a batch of ${stored.batch} maps of ${stored.height}x${stored.width}; needs one pixel a node`,
    )
  if (channels % heads !== 0) throw new Error(`aggregate: ${channels} channels cannot be shared by ${heads} heads`)
  const edges = edgesArguments(graph, heads, channels / heads)
  const kind = aggregators.indexOf(aggregator)
  const learned = typeof attention === 'object' ? attention : undefined
  const isLearned = [learned?.left, learned?.right].some((parameter) => parameter && parameter.gradient !== none)
  const needsGradient = (stored.aliasOf ?? stored).needsGradient
  const y = tape.store(1, 1, channels, { needsGradient: needsGradient || isLearned })
  const chosen = aggregator === 'max' ? tape.allocate(graph.rows * channels) : none
  const weights = learned ? tape.allocate(graph.entries * heads) : attention === 'values' ? graph.values : none
  if (attention === 'values' && heads !== 1) throw new Error('aggregate: given weights are the same for all heads; use one')
  const scoring = learned
    ? [attentions.indexOf(learned.kind), offset, stride, learned.left?.offset ?? none, learned.right?.offset ?? none]
    : []
  if (learned) tape.emit('forward', 'edgeAttention', [...edges, ...scoring, weights])
  tape.emit('forward', 'aggregate', [...edges, kind, weights, offset, stride, y.offset, y.stride, chosen])
  tape.onBackward(() => {
    const output = tape.outputGradient(y)
    if (!output) return
    const [g] = output
    const [dx, accumulate] = tape.gradientTarget(x)
    if (dx !== none) tape.emit('backward', 'aggregateBackward', [...edges, kind, weights, g, y.stride, dx, stride, accumulate, chosen])
    if (learned && (isLearned || dx !== none)) {
      const scores = tape.borrow(graph.entries * heads)
      tape.emit('backward', 'edgeAttentionBackward', [...edges, ...scoring, weights, kind, g, y.stride, chosen, scores])
      const lefts = learned.kind === 'gat' ? channels : learned.kind === 'cosine' ? heads : 0
      const rights = learned.kind === 'cosine' ? 0 : channels
      const partial = tape.borrow(tape.chunks * (lefts + rights))
      tape.emit('backward', 'edgeAttentionGradient', [...edges, ...scoring, tape.chunks, scores, dx, stride, 1, partial], stride)
      for (const [parameter, from, count] of [
        [learned.left, 0, lefts],
        [learned.right, lefts, rights],
      ] as const)
        if (parameter && parameter.gradient !== none)
          tape.emit('backward', 'reduceChunks', [partial, tape.chunks, lefts + rights, from, parameter.gradient, count])
      tape.recycle(partial)
      tape.recycle(scores)
    }
    tape.releaseGradient(y, output[1])
  })
  return tape.value(y)
}

/** features [rows][columns] times weights [columns][channels]: one pixel a row. `values`: where those of the features lie, if not with them. */
export function sparseProduct(
  tape: Tape,
  features: SparseStored,
  weights: WeightReference,
  channels: number,
  values = features.values,
): Value {
  const edges = edgesArguments(features, 1, channels)
  const y = tape.store(1, 1, channels, { needsGradient: weights.gradient !== none })
  tape.emit('forward', 'aggregate', [...edges, 0, values, weights.offset, channels, y.offset, y.stride, none])
  tape.onBackward(() => {
    const output = tape.outputGradient(y)
    if (!output) return
    if (weights.gradient !== none)
      tape.emit('backward', 'aggregateBackward', [...edges, 0, values, output[0], y.stride, weights.gradient, channels, 0, none])
    tape.releaseGradient(y, output[1])
  })
  return tape.value(y)
}

/** Heap offset of what dropout draws by, to be filled before a run (`writeDropout`). */
export const dropoutSlot = (tape: Tape): number => tape.allocate(4)

/** From now on numbers are left out with probability `rate`, the others scaled up; other keys leave out others. */
export function writeDropout(engine: Engine, slot: number, rate: number, keys: readonly [number, number] = [0, 0]): void {
  engine.integers(slot, 3).set([...keys, Math.round(rate * 2 ** 32) | 0])
  engine.floats(slot + 3, 1)[0] = 1 / (1 - rate)
}

/** Drops numbers out, by the slot's keys; every `site` of a program draws its own. */
export function dropout(tape: Tape, input: Value, slot: number, site: number): Value {
  const x = settle(tape, input)
  const { stored } = x
  if (stored.height !== 1 || stored.width !== 1) throw new Error('dropout: works on maps of one pixel')
  const y = tape.store(1, 1, stored.channels, { needsGradient: (stored.aliasOf ?? stored).needsGradient, stride: stored.stride })
  const drawn = [slot, site, stored.batch, stored.channels]
  tape.emit('forward', 'dropout', [...drawn, stored.offset, stored.stride, y.offset, y.stride, 0])
  tape.onBackward(() => {
    const output = tape.outputGradient(y)
    if (!output) return
    const [dx, accumulate] = tape.gradientTarget(x)
    if (dx !== none) tape.emit('backward', 'dropout', [...drawn, output[0], y.stride, dx, stored.stride, accumulate])
    tape.releaseGradient(y, output[1])
  })
  return tape.value(y)
}

/** Values of a sparse matrix, some of them dropped out. */
export function dropoutValues(tape: Tape, { values, entries }: SparseStored, slot: number, site: number): number {
  const rows = Math.ceil(entries / valueBlock)
  const kept = tape.allocate(rows * valueBlock)
  tape.emit('forward', 'dropout', [slot, site, rows, valueBlock, values, valueBlock, kept, valueBlock, 0])
  return kept
}
