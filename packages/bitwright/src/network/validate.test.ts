import { describe, expect, it } from 'vitest'
import { UsageError } from '../errors.ts'
import { builtinNames, builtinNetwork } from './builtins.ts'
import type { Network, NetworkNode } from './network.ts'
import { withBits } from './transform.ts'
import { parseNetwork } from './validate.ts'

const classes = Array.from({ length: 12 }, (_, index) => `word${index}`)
const e2e = builtinNetwork('kws-e2e-e3k5', { classes })
const resnet8 = builtinNetwork('resnet8', { classes })
const gcn = builtinNetwork('cenet-gcn-6', { classes })
const withPrefix = {
  ...gcn,
  nodes: gcn.nodes.map((node) => (node.op === 'add' && node.scale ? { ...node, parameters: `${node.id}.own` } : node)),
}
type Audio = { sampleRate: number }

type Mutable = { -readonly [K in keyof Omit<Network, 'nodes'>]: Network[K] } & { nodes: Record<string, unknown>[] }
/** A deep copy of the network with one thing broken. */
function broken(change: (net: Mutable, node: (id: string) => Record<string, unknown>) => void, from: Network = e2e): unknown {
  const copy = structuredClone(from) as unknown as Mutable
  change(copy, (id) => copy.nodes.find((node) => node.id === id)!)
  return copy
}

describe('parseNetwork', () => {
  it.each(builtinNames)('takes %s through JSON unchanged, in float and with bits', (name) => {
    const net = builtinNetwork(name, { classes })
    expect(parseNetwork(JSON.parse(JSON.stringify(net)))).toEqual(net)
    const quantized = withBits(net, { weightBits: 3, activationBits: 1 })
    expect(parseNetwork(JSON.parse(JSON.stringify(quantized)))).toEqual(quantized)
  })

  it.each<[string, unknown, RegExp]>([
    ['not an object', [], /the file/],
    ['format', broken((net) => ((net as { format: string }).format = 'x')), /format/],
    ['unknown field', broken((_, node) => (node('first').dilation = 2)), /node "first".*dilation/],
    ['unknown op', broken((_, node) => (node('first').op = 'attention')), /node "first"/],
    ['fractional channels', broken((_, node) => (node('first').channels = 2.5)), /node "first".*channels/],
    ['nine bits', broken((_, node) => (node('first').weightBits = 9)), /node "first".*weightBits/],
    ['ternary off a graph', broken((_, node) => (node('first').weightBits = 1.6)), /node "first".*ternary, is for networks on graphs/],
    ['12-bit input', broken((_, node) => (node('first').activationBits = 12)), /node "first".*activationBits/],
    ['16-bit input inside', broken((_, node) => (node('last').activationBits = 16)), /node "last".*raw audio/],
    ['8-bit raw audio', broken((_, node) => (node('frontEnd').activationBits = 8)), /node "frontEnd".*16 bits/],
    ['1-bit signed', broken((_, node) => (node('first').activationBits = 1)), /node "first".*1-bit/],
    ['duplicate id', broken((_, node) => (node('s3.l2.e3k5.expand').id = 's3.l1.e3k5.expand')), /"s3.l1.e3k5.expand".*twice/],
    ['order', broken((net) => net.nodes.splice(2, 2, net.nodes[3], net.nodes[2])), /node "first".*"map" is not an earlier/],
    ['cycle', broken((_, node) => (node('first').inputs = ['first'])), /node "first".*not an earlier/],
    ['second input', broken((net) => net.nodes.splice(1, 0, { id: 'again', op: 'input', inputs: [], shape: [1, 1, 1] })), /node "again"/],
    ['input not first', broken((net) => net.nodes.shift()), /node "frontEnd".*first/],
    [
      'unused node',
      broken((net) => net.nodes.splice(-1, 0, { id: 'spare', op: 'globalAveragePool', inputs: ['last'] })),
      /node "spare".*nothing reads/,
    ],
    ['logits', broken((net) => (net.classes as string[]).pop()), /"logits".*\[1,1,12\].*11 classes/],
    ['same class twice', broken((net) => ((net.classes as string[])[1] = 'word0')), /classes.*twice/],
    ['input shape', broken((net) => ((net.frontEnd as { samples: number }).samples = 8000)), /\[16000,1,1\] differs from \[8000,1,1\]/],
    ['kernel', broken((_, node) => (node('frontEnd').kernelSize = [20000, 1])), /node "frontEnd".*20000x1/],
    ['bias under batch norm', broken((_, node) => (node('first').bias = true)), /node "first".*bias/],
    ['image size', broken((net) => ((net.frontEnd as { height: number }).height = 31), resnet8), /\[32,32,3\] differs from \[31,32,3\]/],
    ['image with a rate', broken((net) => ((net.frontEnd as unknown as Audio).sampleRate = 16000), resnet8), /frontEnd.*sampleRate/],
    ['16-bit pixels', broken((_, node) => (node('first').activationBits = 16), resnet8), /node "first".*raw audio/],
    ['sinc sample rate', broken((_, node) => (node('frontEnd').sampleRate = 8000)), /node "frontEnd".*8000.*16000/],
    ['shared prefix', broken((_, node) => (node('last').parameters = 'first')), /"first.weight".*"last"/],
    [
      'prefix without a factor',
      broken((_, node) => delete node('s1.graph.add').scale, withPrefix),
      /node "s1.graph.add".*"scale": "learned"/,
    ],
    ['16-bit attention', broken((_, node) => (node('s1.graph.attend').activationBits = 16), gcn), /node "s1.graph.attend".*activationBits/],
    ['weights of attention', broken((_, node) => (node('s1.graph.attend').weightBits = 8), gcn), /node "s1.graph.attend".*weightBits/],
    ['shared factor', broken((_, node) => (node('s1.graph.add').parameters = 'first'), gcn), /"first.scale" is \[16\].*"s1.graph.add"/],
    [
      'mel range',
      broken((net) => ((net.frontEnd as { highHz: number }).highHz = 9000), builtinNetwork('ds-cnn-s', { classes })),
      /highHz <= 8000/,
    ],
  ])('refuses with one line: %s', (_, json, message) => {
    let error: unknown
    try {
      parseNetwork(json)
    } catch (caught) {
      error = caught
    }
    expect(error).toBeInstanceOf(UsageError)
    expect((error as Error).message).toMatch(message)
    expect((error as Error).message).not.toContain('\n')
  })

  it('survives whatever JSON it is given', () => {
    const values: unknown[] = [null, 1, 'x', {}, { nodes: [null] }, { ...e2e, nodes: [{ id: 5 }] }, { ...e2e, nodes: null }]
    for (const value of values) expect(() => parseNetwork(value)).toThrow(UsageError)
  })
})

it('keeps sum nodes readable: a node that reads one value twice is legal', () => {
  const double: NetworkNode = { id: 'double', op: 'add', inputs: ['last', 'last'], activation: 'relu' }
  const json = broken((net, node) => {
    node('pool').inputs = ['double']
    net.nodes.splice(-2, 0, double as unknown as Record<string, unknown>)
  })
  expect(() => parseNetwork(json)).not.toThrow()
})
