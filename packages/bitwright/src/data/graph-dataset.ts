// One graph whose nodes are the samples: citation graphs and the like, from a JSON file. Nodes have a bag of features (a row of a sparse
// matrix), a label, and neighbours; the splits name nodes.

import { readFileSync, statSync } from 'node:fs'
import { basename } from 'node:path'
import { type SparseMatrix, sparseOnes } from '@bitwright/engine'
import { UsageError } from '../errors.ts'
import type { GraphDataset, Sample, SplitName } from './dataset.ts'

type Json = Readonly<Record<string, unknown>>

/** Whether the path is a file that could hold a graph. */
export const isGraphFile = (path: string): boolean =>
  path.toLowerCase().endsWith('.json') && (statSync(path, { throwIfNoEntry: false })?.isFile() ?? false)

const splitKeys: Readonly<Record<SplitName, string>> = { train: 'train', validation: 'val', test: 'test' }

const mostNodes = 1_000_000

/** Label of a node that belongs to no split. */
const unlabelled = -1

/** @throws UsageError with one line: where in the file, what is wrong, how to mend it */
export function loadGraph(file: string): GraphDataset {
  const graph = readJson(file)
  const fail = (where: string, what: string): never => {
    throw new UsageError(`${file}: ${where}: ${what}`)
  }
  const count = (key: string): number => {
    const value = graph[key]
    if (!Number.isInteger(value) || (value as number) < 1 || (value as number) > mostNodes)
      return fail(key, `must be a whole number from 1 to ${mostNodes}, not ${shown(value)}`)
    return value as number
  }
  const list = (key: string): readonly unknown[] => {
    const value = graph[key]
    return Array.isArray(value) ? value : fail(key, value === undefined ? 'is missing' : `must be a list, not ${shown(value)}`)
  }
  const below = (where: string, value: unknown, limit: number, what: string): number =>
    Number.isInteger(value) && (value as number) >= 0 && (value as number) < limit
      ? (value as number)
      : fail(where, `${shown(value)} is not a ${what}; they count from 0 to ${limit - 1}`)

  const [nodes, features, classCount] = [count('numNodes'), count('numFeatures'), count('numClasses')]
  if (classCount < 2) fail('numClasses', 'one class leaves nothing to tell apart; give 2 or more')
  const labels = list('labels')
  if (labels.length !== nodes) fail('labels', `has ${labels.length} labels for ${nodes} nodes; every node needs one`)
  const labelOf = labels.map((label, node) => (label === unlabelled ? label : below(`labels[${node}]`, label, classCount, 'class')))

  return {
    kind: 'graph',
    directory: file,
    classes: classNames(graph, classCount, fail),
    splits: readSplits(),
    skipped: [],
    nodes,
    features: readFeatures(),
    neighbours: readEdges(),
  }

  function readSplits(): GraphDataset['splits'] {
    const owner = new Map<number, string>()
    const split = (key: string): Sample[] => {
      const members = list(key)
      if (members.length === 0) fail(key, 'is empty; it must name at least one node')
      return members.map((value, position) => {
        const where = `${key}[${position}]`
        const index = below(where, value, nodes, 'node')
        const before = owner.get(index)
        if (before !== undefined) fail(where, `node ${index} is in ${before} already; a node may be in one split, once`)
        owner.set(index, key)
        if (labelOf[index] === unlabelled) fail(where, `node ${index} has no label; nodes of a split need one`)
        return { path: `${basename(file)}#${index}`, label: labelOf[index], index }
      })
    }
    return { train: split(splitKeys.train), validation: split(splitKeys.validation), test: split(splitKeys.test) }
  }

  function readFeatures(): SparseMatrix {
    const starts = list('featureIndptr')
    const indices = list('featureIndices')
    if (starts.length !== nodes + 1) fail('featureIndptr', `has ${starts.length} numbers; ${nodes} nodes need ${nodes + 1}`)
    starts.forEach((start, node) => {
      const where = `featureIndptr[${node}]`
      below(where, start, indices.length + 1, 'place in featureIndices')
      if (node > 0 && (start as number) < (starts[node - 1] as number))
        fail(where, `${shown(start)} is less than the number before it; they must rise`)
    })
    if (starts[0] !== 0) fail('featureIndptr[0]', `is ${shown(starts[0])}, not 0`)
    if (starts[nodes] !== indices.length)
      fail(`featureIndptr[${nodes}]`, `is ${shown(starts[nodes])}, but featureIndices has ${indices.length} numbers`)
    const values = graph.featureValues === undefined ? undefined : list('featureValues')
    if (values && values.length !== indices.length)
      fail('featureValues', `has ${values.length} numbers, featureIndices ${indices.length}; they belong together`)
    values?.forEach((value, at) => {
      if (typeof value !== 'number' || !Number.isFinite(value)) fail(`featureValues[${at}]`, `${shown(value)} is not a number`)
    })
    for (let node = 0; node < nodes; node++)
      for (let at = starts[node] as number; at < (starts[node + 1] as number); at++) {
        const feature = below(`featureIndices[${at}]`, indices[at], features, 'feature')
        if (at > (starts[node] as number) && feature <= (indices[at - 1] as number))
          fail(
            `featureIndices[${at}]`,
            `node ${node} has feature ${feature} after ${shown(indices[at - 1])}; they must rise, each there once`,
          )
      }
    return {
      rows: nodes,
      columns: features,
      starts: Int32Array.from(starts as number[]),
      indices: Int32Array.from(indices as number[]),
      ...(values && { values: Float32Array.from(values as number[]) }),
    }
  }

  /** Both directions of every edge, and every node itself. */
  function readEdges(): SparseMatrix {
    const first = new Map<number, number>()
    const pairs = Array.from({ length: nodes }, (_, node): [number, number] => [node, node])
    list('edges').forEach((edge, position) => {
      const where = `edges[${position}]`
      if (!Array.isArray(edge) || edge.length !== 2) return fail(where, `${shown(edge)} is not a pair of nodes such as [0, 1]`)
      const [a, b] = edge.map((node) => below(where, node, nodes, 'node'))
      if (a === b) fail(where, `joins node ${a} with itself; leave it away, every node sees itself`)
      const key = Math.min(a, b) * nodes + Math.max(a, b)
      const before = first.get(key)
      if (before !== undefined) fail(where, `[${a}, ${b}] is edges[${before}] already; edges have no direction, give each once`)
      first.set(key, position)
      pairs.push([a, b], [b, a])
    })
    return sparseOnes(nodes, nodes, pairs)
  }
}

function readJson(file: string): Json {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new UsageError(code === 'EISDIR' ? `${file}: is a folder; a graph is a JSON file` : `${file}: cannot be read (${code})`)
  }
  try {
    const parsed: unknown = JSON.parse(text)
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return parsed as Json
  } catch (error) {
    throw new UsageError(`${file}: is no JSON (${(error as Error).message.split('\n')[0]})`)
  }
  throw new UsageError(`${file}: is no graph; it must be an object with numNodes, edges, featureIndptr, labels and splits`)
}

function classNames(graph: Json, classes: number, fail: (where: string, what: string) => never): string[] {
  const names = graph.classNames
  if (names === undefined) return Array.from({ length: classes }, (_, index) => `class ${index}`)
  const isGood = Array.isArray(names) && names.length === classes && names.every((name) => typeof name === 'string' && name !== '')
  if (!isGood || new Set(names).size !== classes) return fail('classNames', `must be ${classes} different names`)
  return names
}

/** A value as a complaint shows it. */
function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length > 40 ? `${text.slice(0, 40)}...` : text
}
