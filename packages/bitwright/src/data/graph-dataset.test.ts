import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { UsageError } from '../errors.ts'
import { isGraphFile, loadGraph } from './graph-dataset.ts'

/** Five nodes in a ring with a chord, four features, two classes. */
const ring = () => ({
  numNodes: 5,
  numFeatures: 4,
  numClasses: 2,
  edges: [
    [0, 1],
    [1, 2],
    [3, 2],
    [3, 4],
    [4, 0],
    [1, 3],
  ] as unknown[],
  featureIndptr: [0, 2, 2, 3, 6, 7] as unknown[],
  featureIndices: [0, 3, 1, 0, 1, 2, 3] as unknown[],
  labels: [0, 1, 0, 1, 1] as unknown[],
  train: [0, 1] as unknown[],
  val: [2] as unknown[],
  test: [4] as unknown[],
})

let folder = ''
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'bitwright-graph-'))))
afterEach(() => rmSync(folder, { recursive: true }))

function write(graph: unknown): string {
  const file = join(folder, 'graph.json')
  writeFileSync(file, typeof graph === 'string' ? graph : JSON.stringify(graph))
  return file
}

it('reads nodes, both directions of edges, every node itself, and features by row', () => {
  const file = write(ring())
  expect(isGraphFile(file)).toBe(true)
  expect(isGraphFile(folder)).toBe(false)
  const { nodes, classes, neighbours, features, splits } = loadGraph(file)
  expect({ nodes, classes }).toEqual({ nodes: 5, classes: ['class 0', 'class 1'] })
  const row = (node: number) => [...neighbours.indices.subarray(neighbours.starts[node], neighbours.starts[node + 1])]
  expect([0, 1, 2, 3, 4].map(row)).toEqual([
    [0, 1, 4],
    [0, 1, 2, 3],
    [1, 2, 3],
    [1, 2, 3, 4],
    [0, 3, 4],
  ])
  expect([...features.starts]).toEqual([0, 2, 2, 3, 6, 7])
  expect(features).toMatchObject({ rows: 5, columns: 4 })
  expect(splits.train.map(({ index, label }) => [index, label])).toEqual([
    [0, 0],
    [1, 1],
  ])
  expect(splits.validation).toEqual([{ path: 'graph.json#2', label: 0, index: 2 }])
})

it('leaves a node of no split without a label', () => {
  expect(loadGraph(write({ ...ring(), labels: [0, 1, 0, -1, 1] })).splits.test).toEqual([{ path: 'graph.json#4', label: 1, index: 4 }])
})

it('says what is no file, and what is none of a graph', () => {
  expect(() => loadGraph(folder)).toThrow(`${folder}: is a folder; a graph is a JSON file`)
  expect(() => loadGraph(join(folder, 'none.json'))).toThrow('none.json: cannot be read (ENOENT)')
})

it('takes values of features and names of classes', () => {
  const { features, classes } = loadGraph(write({ ...ring(), featureValues: [0.5, 1, 2, 1, 1, 1, -1], classNames: ['a', 'b'] }))
  expect([...features.values!]).toEqual([0.5, 1, 2, 1, 1, 1, -1])
  expect(classes).toEqual(['a', 'b'])
})

type Ring = ReturnType<typeof ring>
const broken: readonly [string, (graph: Ring) => unknown, string][] = [
  ['no JSON', () => '{"numNodes": 5,', 'is no JSON'],
  ['a list', () => [], 'is no graph'],
  ['no nodes', (g) => ({ ...g, numNodes: 0 }), 'numNodes: must be a whole number from 1'],
  ['a count in words', (g) => ({ ...g, numFeatures: 'four' }), 'numFeatures: must be a whole number from 1'],
  ['one class', (g) => ({ ...g, numClasses: 1 }), 'numClasses: one class'],
  ['no labels', (g) => ({ ...g, labels: undefined }), 'labels: is missing'],
  ['a label too few', (g) => ({ ...g, labels: g.labels.slice(1) }), 'labels: has 4 labels for 5 nodes'],
  ['a label of no class', (g) => ({ ...g, labels: [0, 1, 2, 1, 1] }), 'labels[2]: 2 is not a class; they count from 0 to 1'],
  ['a label that is nothing', (g) => ({ ...g, labels: [0, null, 0, 1, 1] }), 'labels[1]: null is not a class'],
  ['a node without a label in a split', (g) => ({ ...g, labels: [0, 1, 0, 1, -1] }), 'test[0]: node 4 has no label'],
  ['an edge out of range', (g) => ({ ...g, edges: [...g.edges, [2, 5]] }), 'edges[6]: 5 is not a node; they count from 0 to 4'],
  ['an edge of a negative node', (g) => ({ ...g, edges: [[-1, 2]] }), 'edges[0]: -1 is not a node'],
  ['an edge of three', (g) => ({ ...g, edges: [[0, 1, 2]] }), 'edges[0]: [0,1,2] is not a pair'],
  ['an edge twice', (g) => ({ ...g, edges: [...g.edges, [0, 1]] }), 'edges[6]: [0, 1] is edges[0] already'],
  ['an edge and back', (g) => ({ ...g, edges: [...g.edges, [2, 1]] }), 'edges[6]: [2, 1] is edges[1] already'],
  ['a node joined with itself', (g) => ({ ...g, edges: [[3, 3]] }), 'edges[0]: joins node 3 with itself'],
  ['edges that are no list', (g) => ({ ...g, edges: 'none' }), 'edges: must be a list, not "none"'],
  ['an indptr that falls', (g) => ({ ...g, featureIndptr: [0, 2, 1, 3, 6, 7] }), 'featureIndptr[2]: 1 is less than the number before it'],
  ['an indptr that begins late', (g) => ({ ...g, featureIndptr: [1, 2, 2, 3, 6, 7] }), 'featureIndptr[0]: is 1, not 0'],
  ['an indptr that ends early', (g) => ({ ...g, featureIndptr: [0, 2, 2, 3, 6, 6] }), 'featureIndptr[5]: is 6, but featureIndices has 7'],
  ['an indptr past the end', (g) => ({ ...g, featureIndptr: [0, 2, 2, 3, 6, 8] }), 'featureIndptr[5]: 8 is not a place'],
  ['an indptr too short', (g) => ({ ...g, featureIndptr: [0, 7] }), 'featureIndptr: has 2 numbers; 5 nodes need 6'],
  ['a feature out of range', (g) => ({ ...g, featureIndices: [0, 4, 1, 0, 1, 2, 3] }), 'featureIndices[1]: 4 is not a feature'],
  ['a feature twice', (g) => ({ ...g, featureIndices: [3, 3, 1, 0, 1, 2, 3] }), 'featureIndices[1]: node 0 has feature 3 after 3'],
  ['a value too few', (g) => ({ ...g, featureValues: [1] }), 'featureValues: has 1 numbers, featureIndices 7'],
  ['a value that is a word', (g) => ({ ...g, featureValues: [1, 1, 1, 'x', 1, 1, 1] }), 'featureValues[3]: "x" is not a number'],
  ['an empty split', (g) => ({ ...g, val: [] }), 'val: is empty'],
  ['a missing split', (g) => ({ ...g, test: undefined }), 'test: is missing'],
  ['a node of no graph in a split', (g) => ({ ...g, test: [7] }), 'test[0]: 7 is not a node'],
  ['overlapping splits', (g) => ({ ...g, test: [4, 1] }), 'test[1]: node 1 is in train already'],
  ['a node twice in a split', (g) => ({ ...g, train: [0, 0] }), 'train[1]: node 0 is in train already'],
  ['too few names', (g) => ({ ...g, classNames: ['a'] }), 'classNames: must be 2 different names'],
]

it.each(broken)('refuses %s in one line', (_, change, said) => {
  const file = write(change(ring()))
  const refusal = () => loadGraph(file)
  expect(refusal).toThrow(UsageError)
  expect(refusal).toThrow(`${file}: ${said}`)
  try {
    refusal()
  } catch (error) {
    expect((error as Error).message).not.toContain('\n')
  }
})
