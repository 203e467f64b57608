// Looks at a graph before anybody trains on it: classes and splits, how many neighbours and features nodes have, and what is likely to spoil the result.
import type { SplitName } from './dataset.ts'
import { loadGraph } from './graph-dataset.ts'
import { type ClassCounts, classTable } from './inspect-table.ts'
import { splitNames } from './plan.ts'

export interface GraphInspection {
  readonly kind: 'graph'
  readonly directory: string
  readonly nodes: number
  readonly edges: number
  readonly features: number
  readonly classes: readonly ClassCounts[]
  /** Per node, itself not counted. */
  readonly neighbours: { readonly mean: number; readonly most: number }
  readonly featuresPerNode: number
  /** Share of the edges whose ends are of one class, among those whose ends are in splits; absent where there are none. */
  readonly sameClass?: number
  /** One sentence each. */
  readonly warnings: readonly string[]
}

/** @throws UsageError with one line where the graph is malformed */
export function inspectGraph(file: string): GraphInspection {
  const { nodes, classes, splits, features, neighbours } = loadGraph(file)
  const degrees = Array.from({ length: nodes }, (_, node) => neighbours.starts[node + 1] - neighbours.starts[node] - 1)
  const words = Array.from({ length: nodes }, (_, node) => features.starts[node + 1] - features.starts[node])
  const count = (split: SplitName, label: number) => splits[split].filter((node) => node.label === label).length
  const counts = classes.map((name, label) => ({
    name,
    train: count('train', label),
    validation: count('validation', label),
    test: count('test', label),
  }))
  const alone = degrees.filter((degree) => degree === 0).length
  const empty = words.filter((own) => own === 0).length
  const warnings = [
    ...counts.filter(({ train }) => train === 0).map(({ name }) => `no node of ${name} is there to train on`),
    ...(alone > 0 ? [`${alone} nodes have no neighbours: only their own features tell what they are`] : []),
    ...(empty > 0 ? [`${empty} nodes have no features: only their neighbours tell what they are`] : []),
  ]
  const edges = (neighbours.indices.length - nodes) / 2
  const labels = new Map(splitNames.flatMap((split) => splits[split].map(({ index, label }) => [index, label] as const)))
  let [known, same] = [0, 0]
  for (const [node, label] of labels)
    for (const other of neighbours.indices.subarray(neighbours.starts[node], neighbours.starts[node + 1])) {
      if (other <= node || !labels.has(other)) continue
      known++
      if (labels.get(other) === label) same++
    }
  return {
    kind: 'graph',
    directory: file,
    nodes,
    edges,
    features: features.columns,
    classes: counts,
    neighbours: { mean: (2 * edges) / nodes, most: Math.max(...degrees) },
    featuresPerNode: features.indices.length / nodes,
    ...(known > 0 && { sameClass: same / known }),
    warnings,
  }
}

export function formatGraphInspection({ directory, classes, warnings, neighbours, ...graph }: GraphInspection): string {
  const lines = [
    `nodes: ${graph.nodes}, with ${graph.features} features, ${graph.featuresPerNode.toFixed(1)} of them each in the mean`,
    `edges: ${graph.edges}, ${neighbours.mean.toFixed(1)} neighbours a node in the mean, ${neighbours.most} at most`,
    ...(graph.sameClass === undefined ? [] : [`edges within a class: ${(100 * graph.sameClass).toFixed(1)} %`]),
    ...warnings.map((text) => `warning: ${text}`),
  ]
  return [directory, '', ...classTable(classes), '', ...lines, ''].join('\n')
}
