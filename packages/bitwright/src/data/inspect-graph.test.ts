import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { formatGraphInspection, inspectGraph } from './inspect-graph.ts'

it('counts classes, neighbours and features, and warns of nodes that say too little', () => {
  const folder = mkdtempSync(join(tmpdir(), 'bitwright-graph-'))
  const file = join(folder, 'graph.json')
  const graph = {
    numNodes: 6,
    numFeatures: 3,
    numClasses: 3,
    edges: [
      [0, 1],
      [0, 2],
      [0, 3],
      [2, 3],
    ],
    featureIndptr: [0, 1, 3, 3, 4, 5, 6],
    featureIndices: [0, 0, 2, 1, 1, 2],
    labels: [0, 0, 1, 1, 2, -1],
    train: [0, 2],
    val: [1, 4],
    test: [3],
    classNames: ['x', 'y', 'z'],
  }
  try {
    writeFileSync(file, JSON.stringify(graph))
    const inspection = inspectGraph(file)
    expect(inspection).toEqual({
      kind: 'graph',
      directory: file,
      nodes: 6,
      edges: 4,
      features: 3,
      classes: [
        { name: 'x', train: 1, validation: 1, test: 0 },
        { name: 'y', train: 1, validation: 0, test: 1 },
        { name: 'z', train: 0, validation: 1, test: 0 },
      ],
      neighbours: { mean: 8 / 6, most: 3 },
      featuresPerNode: 1,
      sameClass: 0.5,
      warnings: [
        'no node of z is there to train on',
        '2 nodes have no neighbours: only their own features tell what they are',
        '1 nodes have no features: only their neighbours tell what they are',
      ],
    })
    const text = formatGraphInspection(inspection)
    expect(text).toContain('edges: 4, 1.3 neighbours a node in the mean, 3 at most\nedges within a class: 50.0 %\nwarning: no node of z')
  } finally {
    rmSync(folder, { recursive: true })
  }
})
