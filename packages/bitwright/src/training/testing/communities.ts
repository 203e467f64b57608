// A graph with as many communities as classes: neighbours are mostly of one's own, features say a little.
import { Random, sparseOnes } from '@bitwright/engine'
import type { GraphDataset, Sample } from '../../data/dataset.ts'

export function communities(nodes = 60, classes = 3, features = 24): GraphDataset {
  const random = new Random(5, 'communities')
  const labelOf = (node: number) => node % classes
  const edges: [number, number][] = Array.from({ length: nodes }, (_, node) => [node, node])
  for (let a = 0; a < nodes; a++)
    for (let b = 0; b < a; b++) if (random.uniform() < (labelOf(a) === labelOf(b) ? 0.25 : 0.02)) edges.push([a, b], [b, a])
  const words: [number, number][] = []
  for (let node = 0; node < nodes; node++)
    for (let word = 0; word < features; word++)
      if (word === node % features || random.uniform() < (word % classes === labelOf(node) ? 0.3 : 0.1)) words.push([node, word])
  const split = (from: number, to: number): Sample[] =>
    Array.from({ length: to - from }, (_, i) => ({ path: `g#${from + i}`, label: labelOf(from + i), index: from + i }))
  return {
    kind: 'graph',
    directory: 'g',
    classes: Array.from({ length: classes }, (_, index) => `class ${index}`),
    splits: { train: split(0, 12), validation: split(12, 30), test: split(30, nodes) },
    skipped: [],
    nodes,
    features: sparseOnes(nodes, features, words),
    neighbours: sparseOnes(nodes, nodes, edges),
  }
}
