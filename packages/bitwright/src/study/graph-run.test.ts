// Whole runs on a small graph: a training and a joint search, what they leave behind, and what they refuse.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { UsageError } from '../errors.ts'
import { memory } from '../hardware/index.ts'
import { parseNetwork } from '../network/validate.ts'
import { communities } from '../training/testing/communities.ts'
import type { SearchSpec, TrainSpec } from './api.ts'
import { finishedRunDirectory } from './finished-run.ts'
import { searchStudy, trainStudy } from './run.ts'
import { runDirectory } from './run-directory.ts'
import { hooksOf } from './testing/tone-runs.ts'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'bitwright-graph-run-'))
  const { nodes, classes, features, neighbours, splits } = communities()
  const edges: [number, number][] = []
  for (let a = 0; a < nodes; a++)
    for (const b of neighbours.indices.subarray(neighbours.starts[a], neighbours.starts[a + 1])) if (a < b) edges.push([a, b])
  const of = (name: 'train' | 'validation' | 'test') => splits[name].map(({ index }) => index)
  const graph = {
    numNodes: nodes,
    numFeatures: features.columns,
    numClasses: classes.length,
    edges,
    featureIndptr: [...features.starts],
    featureIndices: [...features.indices],
    labels: Array.from({ length: nodes }, (_, node) => node % classes.length),
    train: of('train'),
    val: of('validation'),
    test: of('test'),
  }
  writeFileSync(join(folder, 'graph.json'), JSON.stringify(graph))
})
afterAll(() => rmSync(folder, { recursive: true }))

const common = (out: string) => ({
  data: { directory: join(folder, 'graph.json'), split: 'auto', salt: '', strict: false } as const,
  granularity: 'channel' as const,
  bitPenalty: 0.08,
  averageBits: 3,
  budget: {},
  batchSize: 64,
  seed: 0,
  threads: 1,
  backend: 'wasm' as const,
  out: join(folder, out),
  resume: false,
  command: 'bitwright',
})
const training = (out: string, more: Partial<TrainSpec> = {}): TrainSpec => ({
  ...common(out),
  network: 'gcn',
  weightBits: 4,
  activationBits: 4,
  epochs: { warmup: 0, search: 0, train: 60, quantize: 40 },
  ...more,
})
const searching = (out: string, more: Partial<SearchSpec> = {}): SearchSpec => ({
  ...common(out),
  space: 'graph',
  spaceOptions: {},
  search: 'joint',
  weightBits: 'searched',
  activationBits: 'searched',
  epochs: { warmup: 4, search: 10, train: 40, quantize: 30 },
  joint: { train: 'gates', pick: 'gates', candidates: 6, start: 'shared' },
  ...more,
})

describe('a run on a graph', () => {
  it('trains a built-in network, scores it in float and at its widths, and leaves its architecture', async () => {
    const hooks = hooksOf()
    const result = await trainStudy(training('train'), hooks)
    expect(result).toMatchObject({ status: 'finished' })
    expect(result.model).toBeUndefined()
    for (const { float, fakeQuantized, integer } of result.evaluations) {
      expect(float!.accuracy).toBeGreaterThan(0.8)
      expect(fakeQuantized!.accuracy).toBeGreaterThan(0.8)
      expect(integer).toBeUndefined()
    }
    const kept = parseNetwork(JSON.parse(readFileSync(runDirectory(join(folder, 'train')).architecture, 'utf8')))
    expect(kept).toEqual(result.network)
    // 24 x 16 and 16 x 3 weights of 4 bits, 16 + 3 biases and as many scales of four bytes
    expect(result.cost).toMatchObject({ params: 24 * 16 + 16 * 3 + 19, flashBytes: 192 + 24 + 4 * (19 + 19) })
    expect(hooks.events.find((event) => event.type === 'data')).toMatchObject({
      things: 'nodes',
      counts: { train: 12, validation: 18, test: 30 },
    })
    expect(readFileSync(result.report!, 'utf8')).toContain('Node classifier')
  })

  it.each(['sandwich', 'gates'] as const)(
    'searches operators, sizes and bits by %s within a budget, and trains the best',
    async (train) => {
      const pick = train === 'gates' ? 'gates' : 'evolution'
      const budget = { flashBytes: 900 }
      const result = await searchStudy(searching(train, { budget, joint: { train, pick, candidates: 6, start: 'shared' } }), hooksOf())
      expect(readFileSync(result.report!, 'utf8')).toMatch(/scored on the validation\s+nodes/)
      expect(result.status).toBe('finished')
      for (const member of result.front!) {
        expect(member.flashBytes).toBe(memory.price(member.network).flashBytes)
        expect(member.flashBytes).toBeLessThanOrEqual(900)
      }
      expect(result.network!.nodes.map(({ op }) => op)).toEqual(['input', 'linear', 'aggregate', 'aggregate', 'linear'])
      expect(result.evaluations[1].fakeQuantized!.count).toBe(30)
    },
  )

  it('trains finalists alone, of which the best mean is chosen', async () => {
    const joint = { train: 'gates', pick: 'gates', candidates: 6, start: 'scratch', finalists: 4 } as const
    const hooks = hooksOf()
    const result = await searchStudy(searching('finalists', { joint }), hooks)
    const trained = hooks.events.flatMap((event) => (event.type === 'candidate' && event.accuracies ? [event] : []))
    const chosen = trained.find((candidate) => candidate.chosen)!
    expect(chosen.network).toEqual(result.network)
    const last = new Map(trained.map((candidate) => [candidate.id, candidate]))
    expect(result.finalists!.map(({ id }) => id)).toEqual([...last.keys()].toSorted((a, b) => a - b))
    expect(result.finalists!.find((finalist) => finalist.chosen)).toMatchObject({ id: chosen.id, accuracies: chosen.accuracies })
    const most = Math.max(...[...last.values()].map(({ accuracies }) => accuracies!.length))
    for (const { accuracies, score } of last.values()) if (accuracies!.length === most) expect(score).toBeLessThanOrEqual(chosen.score!)
    // its first training is the one that the run then ends with
    expect(result.evaluations[0].fakeQuantized!.accuracy).toBe(chosen.accuracies![0])
    expect(readFileSync(result.report!, 'utf8')).toContain('id="finalists"')
  })

  it('ends with the same numbers when it is interrupted', async () => {
    const whole = await searchStudy(searching('whole'), hooksOf())
    let steps = 0
    const stopping = { ...hooksOf(), shouldStop: () => ++steps === 30 }
    const spec = searching('cut')
    let result = await searchStudy(spec, stopping)
    expect(result.status).toBe('interrupted')
    result = await searchStudy({ ...spec, resume: true }, hooksOf())
    expect(result.network).toEqual(whole.network)
    expect(result.evaluations).toEqual(whole.evaluations)
  })

  it('has no integer model, and says so', () => {
    expect(() => finishedRunDirectory(join(folder, 'train'))).toThrow(UsageError)
    expect(() => finishedRunDirectory(join(folder, 'train'))).toThrow('works on a graph: there is no integer model of it')
  })

  it('refuses what a graph has not', async () => {
    await expect(trainStudy(training('no-target', { target: 'cortex-m4@80MHz' }), hooksOf())).rejects.toThrow(
      '--target: the network works on a graph',
    )
    await expect(trainStudy(training('no-words', { data: { ...common('x').data, words: ['a'] } }), hooksOf())).rejects.toThrow(
      '--words: the network works on a graph',
    )
    writeFileSync(join(folder, 'broken.json'), '{"numNodes": 3}')
    const broken = { ...common('x').data, directory: join(folder, 'broken.json') }
    await expect(trainStudy(training('broken', { data: broken }), hooksOf())).rejects.toThrow('broken.json: numFeatures')
  })
})
