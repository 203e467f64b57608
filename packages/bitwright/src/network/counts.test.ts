import { describe, expect, it } from 'vitest'
import { classifier, convolution, graphModule, network } from './blocks.ts'
import { builtinNetwork, paperClasses } from './builtins.ts'
import { countNetwork } from './counts.ts'
import { parameterShapes, statisticShapes } from './parameters.ts'

const classes = Array.from({ length: 12 }, (_, index) => `word${index}`)

describe('countNetwork', () => {
  // The published figures (issue's table; papers.md section 2), to the unit where a paper or a derivation gives it.
  it.each([
    ['ds-cnn-s', 23180, 2656768],
    ['tc-resnet8', 65148, 1522560],
    ['kws-e2e-e3k5', 46592, 10166710],
    ['kws-e2e-e3k5-conv1d', 70472, 10166710],
    // sizes as published; MACs ours, with attend's two products (docs/cenet.md)
    ['cenet-6', 16252, 2681184],
    ['cenet-24', 44284, 10259904],
    ['cenet-40', 60924, 19091904],
    ['cenet-gcn-6', 27607, 6207628],
    ['cenet-gcn-24', 55639, 13786348],
    ['cenet-gcn-40', 72279, 22618348],
    // 77,360 weights; scales and offsets of 240 normalised channels; 96 + 10 biases
    ['resnet8', 77946, 12501632],
  ] as const)('%s', (name, params, macs) => {
    const count = countNetwork(builtinNetwork(name, { classes: paperClasses(name) }))
    expect(count).toMatchObject({ params, macs })
    expect(count.nodes.reduce((sum, node) => sum + node.params, 0)).toBe(params)
    expect(count.nodes.reduce((sum, node) => sum + node.macs, 0)).toBe(macs)
  })

  it('counts a small network as by hand, a shared prefix once', () => {
    const net = network(
      't',
      { kind: 'raw', sampleRate: 16000, samples: 24 },
      ['a', 'b', 'c'],
      [
        { id: 'input', op: 'input', inputs: [], shape: [24, 1, 1] },
        { id: 'map', op: 'reshape', inputs: ['input'], shape: [4, 3, 2] },
        convolution('dense', 'map', { channels: 5, kernelSize: [3, 2], padding: [0, 0, 0, 0], normalization: 'plain' }),
        convolution('depthwise', 'dense', { channels: 5, kernelSize: [1, 3], groups: 5 }),
        { ...convolution('again', 'depthwise', { channels: 5, kernelSize: [1, 3], groups: 5 }), parameters: 'depthwise' },
        ...classifier('again', 3),
      ],
    )
    expect(countNetwork(net).nodes.map(({ id, params, macs }) => [id, params, macs])).toEqual([
      ['input', 0, 0],
      ['map', 0, 0],
      ['dense', 3 * 2 * 2 * 5, 3 * 2 * 2 * 5 * 4],
      ['depthwise', 3 * 5 + 10, 3 * 5 * 4],
      ['again', 0, 3 * 5 * 4],
      ['pool', 0, 0],
      ['logits', 5 * 3 + 3, 15],
    ])
    expect(parameterShapes(net).map(({ name, shape }) => [name, ...shape])).toEqual([
      ['dense.weight', 3, 2, 2, 5],
      ['depthwise.weight', 1, 3, 5],
      ['depthwise.scale', 5],
      ['depthwise.offset', 5],
      ['logits.weight', 5, 3],
      ['logits.bias', 3],
    ])
    expect(statisticShapes(net).map(({ name }) => name)).toEqual(['dense.mean', 'dense.variance', 'depthwise.mean', 'depthwise.variance'])
  })

  it('counts a graph module as by hand: three layers with biases, one factor, two products of matrices', () => {
    const [positions, c] = [5 * 3, 8]
    const net = network(
      't',
      { kind: 'image', height: 5, width: 3, channels: c },
      ['a', 'b'],
      [{ id: 'input', op: 'input', inputs: [], shape: [5, 3, c] }, ...graphModule('g', 'input', c), ...classifier('g.add', 2)],
    )
    expect(countNetwork(net).nodes.slice(1, 6)).toEqual([
      { id: 'g.query', params: c * 2 + 2, macs: positions * c * 2 },
      { id: 'g.key', params: c * 2 + 2, macs: positions * c * 2 },
      { id: 'g.value', params: c * c + c, macs: positions * c * c },
      { id: 'g.attend', params: 0, macs: positions * positions * 2 + positions * positions * c },
      { id: 'g.add', params: 1, macs: 0 },
    ])
    expect(parameterShapes(net).slice(-3, -2)).toEqual([{ name: 'g.add.scale', shape: [1], kind: 'factor', node: 'g.add' }])
    expect(statisticShapes(net)).toEqual([])
  })

  it('pads resnet8 as TensorFlow does: an odd zero goes after', () => {
    const node = (id: string) => builtinNetwork('resnet8', { classes }).nodes.find((each) => each.id === id)
    expect(node('stack1.first')).toMatchObject({ stride: [1, 1], padding: [1, 1, 1, 1] })
    expect(node('stack2.first')).toMatchObject({ stride: [2, 2], padding: [0, 1, 0, 1] })
    expect(node('stack3.first')).toMatchObject({ stride: [2, 2], padding: [0, 1, 0, 1] })
    expect(node('stack3.shortcut')).toMatchObject({ kernelSize: [1, 1], stride: [2, 2], padding: [0, 0, 0, 0], bias: true })
  })

  it('has two numbers per sinc filter', () => {
    const [low, band, scale] = parameterShapes(builtinNetwork('kws-e2e-e3k5', { classes }))
    expect([low, band, scale]).toMatchObject([
      { name: 'frontEnd.lowHz', shape: [60], kind: 'sinc' },
      { name: 'frontEnd.bandHz', shape: [60], kind: 'sinc' },
      { name: 'frontEnd.scale', shape: [60], kind: 'scale' },
    ])
  })
})

describe('builtinNetwork', () => {
  it('names what it has when asked for what it has not', () => {
    expect(() => builtinNetwork('resnet', { classes })).toThrow(/unknown network "resnet"; built in are ds-cnn-s, /)
    expect(() => builtinNetwork('toString', { classes })).toThrow(/unknown network/)
  })
})
