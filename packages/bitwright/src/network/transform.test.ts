import { describe, expect, it } from 'vitest'
import { classifier, convolution, network } from './blocks.ts'
import { builtinNetwork } from './builtins.ts'
import { weightedNodes } from './graph.ts'
import { parameterShapes, statisticShapes } from './parameters.ts'
import { storageOf } from './storage.ts'
import { withBits, withNormalizationPerWidth, withoutBits } from './transform.ts'
import { parseNetwork } from './validate.ts'

const classes = ['yes', 'no']
const e2e = builtinNetwork('kws-e2e-e3k5', { classes })
const widths = (net: Parameters<typeof weightedNodes>[0]) =>
  new Map(weightedNodes(net).map(({ id, weightBits, activationBits }) => [id, [weightBits, activationBits]]))

describe('withBits', () => {
  it('keeps raw audio at 16 bits and the edge weights at 8', () => {
    const bits = widths(withBits(e2e, { weightBits: 3, activationBits: 4 }))
    expect(bits.get('frontEnd')).toEqual([8, 16])
    expect(bits.get('first')).toEqual([3, 4])
    expect(bits.get('logits')).toEqual([8, 4])
    expect([...bits.values()].every(([weight, activation]) => weight !== undefined && activation !== undefined)).toBe(true)
  })

  it('treats the edges like the rest on request, and spectral input as 8 bits', () => {
    const bits = widths(withBits(builtinNetwork('tc-resnet8', { classes }), { weightBits: 2, activationBits: 2 }, { edges: 'same' }))
    expect(bits.get('first')).toEqual([2, 8])
    expect(bits.get('logits')).toEqual([2, 2])
  })

  it('gives one bit only to what cannot be negative', () => {
    const bits = widths(withBits(e2e, { weightBits: 1, activationBits: 1 }))
    expect(bits.get('first')).toEqual([1, 2])
    expect(bits.get('s3.l1.e3k5.depthwise')).toEqual([1, 1])
    expect(bits.get('s3.l2.e3k5.expand')).toEqual([1, 2])
    expect(bits.get('logits')).toEqual([8, 1])
  })

  it('lets overrides win, but not over raw audio or filters that are made at 8 bits', () => {
    const overrides = { logits: { weightBits: 4 }, frontEnd: { activationBits: 5, weightBits: 6 } }
    const bits = widths(withBits(e2e, { weightBits: 2, activationBits: 3 }, { overrides }))
    expect(bits.get('logits')).toEqual([4, 3])
    expect(bits.get('frontEnd')).toEqual([8, 16])
    expect(() => withBits(e2e, { weightBits: 2, activationBits: 3 }, { overrides: { pool: { weightBits: 4 } } })).toThrow(/"pool"/)
    expect(() => withBits(e2e, { weightBits: 0, activationBits: 3 })).toThrow(/weightBits.*got 0/)
  })

  it('is undone by withoutBits', () => {
    expect(withoutBits(withBits(e2e, { weightBits: 2, activationBits: 3 }))).toEqual(e2e)
  })
})

describe('storageOf', () => {
  const { values, inputs } = storageOf(withBits(e2e, { weightBits: 3, activationBits: 4 }))

  it('stores a value at its one reader and streams at 8 bits', () => {
    expect(values.get('input')).toEqual({ bits: 16, signed: true, scale: 2 ** -15 })
    expect(values.get('frontEnd')).toEqual({ bits: 4, signed: true })
    expect(values.get('first')).toEqual({ bits: 4, signed: false })
    expect(values.get('s3.l1.e3k5.project')).toEqual({ bits: 8, signed: true }) // read by expand and add
    expect(values.get('s3.l2.e3k5.project')).toEqual({ bits: 8, signed: true }) // read by add alone
    expect(values.get('s3.l3.e3k5.add')).toEqual({ bits: 4, signed: true }) // read by s4.l1 alone
    expect(values.get('last')).toEqual({ bits: 8, signed: false })
    expect(values.get('pool')).toEqual({ bits: 4, signed: false })
    expect(values.get('logits')).toEqual({ bits: 16, signed: true })
    expect(values.has('map')).toBe(false)
  })

  it('narrows a stream for each layer that wants fewer bits', () => {
    expect(inputs.get('frontEnd')).toEqual({ value: 'input', bits: 16, signed: true, scale: 2 ** -15, narrowed: false })
    expect(inputs.get('first')).toEqual({ value: 'frontEnd', bits: 4, signed: true, narrowed: false })
    expect(inputs.get('s3.l2.e3k5.expand')).toEqual({ value: 's3.l1.e3k5.project', bits: 4, signed: true, narrowed: true })
    expect([...inputs.values()].filter(({ narrowed }) => narrowed)).toHaveLength(4)
    expect([...storageOf(e2e).inputs.values()].some(({ narrowed }) => narrowed)).toBe(false)
  })

  it('keeps pixels at their 8 bits, and narrows them only where that is asked for', () => {
    const resnet = builtinNetwork('resnet8', { classes })
    const four = storageOf(withBits(resnet, { weightBits: 4, activationBits: 4 }))
    expect(four.values.get('input')).toEqual({ bits: 8, signed: true, scale: 2 ** -7 })
    expect(four.inputs.get('first')).toEqual({ value: 'input', bits: 8, signed: true, scale: 2 ** -7, narrowed: false })
    expect(four.values.get('first')).toEqual({ bits: 8, signed: false }) // read by stack1.first and stack1.add
    const narrow = withBits(resnet, { weightBits: 4, activationBits: 4 }, { overrides: { first: { activationBits: 3 } } })
    expect(storageOf(narrow).inputs.get('first')).toEqual({ value: 'input', bits: 3, signed: true, narrowed: true })
  })

  describe('of attend', () => {
    const spectral = builtinNetwork('cenet-gcn-6', { classes })
    const four = (overrides = {}) => storageOf(withBits(spectral, { weightBits: 4, activationBits: 4 }, { overrides }))
    /** The same network in which the first module's key is its query. */
    const doubled = {
      ...spectral,
      nodes: spectral.nodes
        .filter(({ id }) => id !== 's1.graph.key')
        .map((node) =>
          node.id === 's1.graph.attend' ? { ...node, inputs: ['query', 'query', 'value'].map((part) => `s1.graph.${part}`) } : node,
        ),
    }

    it('stores each of the three inputs at its width, and what it gives as its reader asks', () => {
      const { values: stored, inputs: read } = four({ 's1.graph.attend': { activationBits: 3 } })
      for (const [part, key] of [
        ['query', 'queries'],
        ['key', 'keys'],
        ['value', 'values'],
      ]) {
        expect(stored.get(`s1.graph.${part}`)).toEqual({ bits: 3, signed: true })
        expect(read.get(`s1.graph.attend.${key}`)).toEqual({ value: `s1.graph.${part}`, bits: 3, signed: true, narrowed: false })
        expect(stored.get(`s2.graph.${part}`)).toEqual({ bits: 4, signed: true })
      }
      expect(stored.get('s1.graph.attend')).toEqual({ bits: 8, signed: false }) // read by add alone, after relu
      expect(stored.get('s3.graph.add')).toEqual({ bits: 8, signed: true }) // read by the pool
      expect(read.has('s1.graph.attend')).toBe(false)
    })

    it('narrows for itself a map that is read twice', () => {
      const { values: stored, inputs: read } = storageOf(withBits(doubled, { weightBits: 4, activationBits: 4 }))
      expect(stored.get('s1.graph.query')).toEqual({ bits: 8, signed: true })
      for (const key of ['queries', 'keys'])
        expect(read.get(`s1.graph.attend.${key}`)).toEqual({ value: 's1.graph.query', bits: 4, signed: true, narrowed: true })
      expect(read.get('s1.graph.attend.values')).toMatchObject({ bits: 4, narrowed: false })
    })

    it('takes a sum with a learned factor for signed, whatever it adds', () => {
      const positive = spectral.nodes.map((node) => (node.id === 's1.connection.add' ? { ...node, activation: 'relu' as const } : node))
      const stored = storageOf({ ...spectral, nodes: positive }).values
      expect(
        [stored.get('s1.connection.add'), stored.get('s1.graph.attend'), stored.get('s1.graph.add')].map((each) => each!.signed),
      ).toEqual([false, false, true])
    })

    it('never gives a single bit to what can be negative, and refuses one', () => {
      const one = withBits(spectral, { weightBits: 1, activationBits: 1 })
      expect(one.nodes.find(({ id }) => id === 's1.graph.attend')).toMatchObject({ activationBits: 2 })
      expect(withoutBits(one)).toEqual(spectral)
      const forced = one.nodes.map((node) => (node.op === 'attend' ? { ...node, activationBits: 1 } : node))
      expect(() => storageOf({ ...one, nodes: forced })).toThrow(/"s1\.graph\.attend" \(attend\): 1-bit input/)
    })

    it('refuses a node that has the name of one of its inputs', () => {
      const rename = (id: string) => (id === 's1.graph.key' ? 's1.graph.attend.keys' : id)
      const renamed = spectral.nodes.map((node) => ({ ...node, id: rename(node.id), inputs: node.inputs.map(rename) }))
      expect(() => storageOf({ ...spectral, nodes: renamed })).toThrow(/node "s1\.graph\.attend\.keys": "s1\.graph\.attend" calls/)
    })
  })

  it('refuses raw audio without weights', () => {
    const frontEnd = { kind: 'raw', sampleRate: 16000, samples: 16 } as const
    const pooled = network('t', frontEnd, classes, [{ id: 'input', op: 'input', inputs: [], shape: [16, 1, 1] }, ...classifier('input', 2)])
    expect(() => storageOf(pooled)).toThrow(/node "pool".*raw audio/)
    const seen = convolution('c', 'input', { channels: 2, kernelSize: [2, 1] })
    expect(storageOf(network('t', frontEnd, classes, [pooled.nodes[0], seen, ...classifier('c', 2)])).values.get('c')).toEqual({
      bits: 8,
      signed: false,
    })
  })
})

it('names the normalisation of every width of the weights apart, and nothing else', () => {
  const given = builtinNetwork('ds-cnn-s', { classes })
  const names = (bits: number, apart: boolean) => {
    const decided = withBits(given, { weightBits: bits, activationBits: 8 }, { edges: 'same' })
    const its = apart ? withNormalizationPerWidth(decided) : decided
    expect(parseNetwork(JSON.parse(JSON.stringify(its)))).toEqual(its)
    return [...parameterShapes(its), ...statisticShapes(its)].map(({ name }) => name)
  }
  const [two, four] = [names(2, true), names(4, true)]
  const shared = two.filter((name) => four.includes(name))
  expect(shared.every((name) => /[.](weight|bias)$/.test(name))).toBe(true)
  expect(shared.length).toBe(names(2, false).filter((name) => /[.](weight|bias)$/.test(name)).length)
  expect(two.filter((name) => /[.]w2[.](scale|offset|mean|variance)$/.test(name))).toHaveLength(two.length - shared.length)
})
