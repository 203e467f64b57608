import { describe, expect, it } from 'vitest'
import { classifier, convolution, network } from './blocks.ts'
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
