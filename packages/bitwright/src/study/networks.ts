// From names on the command line to networks and spaces for the data at hand.
import { existsSync, readFileSync } from 'node:fs'
import { type Dataset, requireRows, type RowsDataset } from '../data/dataset.ts'
import { type ImageSize, imageSizeOf } from '../data/decode-image.ts'
import { UsageError } from '../errors.ts'
import { graphFrontEnd, graphNetwork, isGraphNetworkName } from '../network/builtins-graph.ts'
import { builtinNames, builtinNetwork, parseNetwork, streamingNetwork, withoutBits, type FrontEnd, type Network } from '../network/index.ts'
import { cenet, graphSpace, kwsE2e, kwsMfcc, mobileCifar, oneNetworkSpace, type Space } from '../spaces/index.ts'
import type { SearchSpec, TrainSpec } from './api.ts'
import { frontOfRun } from './front-of-run.ts'

/**
 * Without padding the rows at both ends of a clip are seen less often; with a second alone, DS-CNN lost 6 of 88.6 % on Speech Commands, with
 * this much 0.6 (docs/streaming.md).
 */
const streamingClipSeconds = 1.25

const isFile = (name: string): boolean =>
  !(builtinNames as readonly string[]).includes(name) && !isGraphNetworkName(name) && (existsSync(name) || name.endsWith('.json'))

/** @throws UsageError when the name is neither a built-in network nor a file; before any data is read. */
export function requireNetwork(name: string, streaming = false): void {
  if (!isFile(name)) builtin(name, streaming)
}

/** Of no graph yet. */
const noGraph = { kind: 'graph', nodes: 2, edges: 1, features: 1, entries: 2 } as const

function builtin(name: string, streaming = false): Network {
  if (isGraphNetworkName(name)) return graphNetwork(name, noGraph, ['one', 'other'])
  const samples = streaming ? 16_000 * streamingClipSeconds : 16_000
  return builtinNetwork(name, { classes: ['one', 'other'], samples, streaming })
}

/** The one network that a request is about, where it names one: a member of a front has no name. */
export function networkOf(spec: SearchSpec | TrainSpec): string | undefined {
  if ('space' in spec) return spec.spaceOptions.network
  return spec.member === undefined ? spec.network : undefined
}

/** What the request's network takes, and where from, if its sizes are fixed there: a built-in network is made for the data. */
function givenFrontEnd(spec: SearchSpec | TrainSpec): { readonly frontEnd?: FrontEnd; readonly fixedBy?: string } {
  if ('from' in spec && spec.from !== undefined && spec.member !== undefined)
    return { frontEnd: frontOfRun(spec.from)[spec.member].network.frontEnd, fixedBy: spec.from }
  const name = networkOf(spec)
  if (name === undefined) return {}
  return isFile(name) ? { frontEnd: readNetwork(name).frontEnd, fixedBy: name } : { frontEnd: builtin(name, spec.streaming).frontEnd }
}

/** What the samples of a run have to be. */
export type InputForm =
  | { readonly kind: 'audio'; readonly seconds: number }
  | ({ readonly kind: 'image' } & ImageSize)
  | { readonly kind: 'graph' }

/** Side of images where neither the request nor the network says. */
const imageSide = 32

const isForGraphs = (spec: SearchSpec | TrainSpec, frontEnd: FrontEnd | undefined): boolean =>
  frontEnd ? frontEnd.kind === 'graph' : 'space' in spec && spec.space === 'graph'

function graphForm({ data, streaming, prune, target }: SearchSpec | TrainSpec): InputForm {
  const given = {
    '--words': data.words,
    '--seconds': data.seconds,
    '--image-size': data.imageSize,
    '--no-flip': data.flip,
    '--validation-list': data.lists,
    '--streaming': streaming,
    '--prune': prune,
    '--target': target,
  }
  const flag = Object.entries(given).find(([, value]) => value !== undefined)?.[0]
  if (flag) throw new UsageError(`${flag}: the network works on a graph, which has no such thing; leave it away`)
  return { kind: 'graph' }
}

/** @throws UsageError where the request and its network do not go together */
export function inputOf(spec: SearchSpec | TrainSpec): InputForm {
  if (spec.data.input) return spec.data.input
  const { seconds, imageSize } = spec.data
  const { frontEnd, fixedBy } = givenFrontEnd(spec)
  if (isForGraphs(spec, frontEnd)) return graphForm(spec)
  if (frontEnd ? frontEnd.kind === 'image' : 'space' in spec && spec.space === 'mobile-cifar') {
    if (seconds !== undefined) throw new UsageError(`--seconds ${seconds}: the network takes images; leave it away`)
    if (spec.streaming) throw new UsageError('--streaming: the network takes images, and a stream is sound')
    const own = frontEnd?.kind === 'image' ? frontEnd : { height: imageSide, width: imageSide, channels: 3 }
    const [height, width] = imageSize ?? [own.height, own.width]
    if (fixedBy !== undefined && (height !== own.height || width !== own.width))
      throw new UsageError(`--image-size ${height}x${width}: the network in ${fixedBy} takes ${own.height}x${own.width}`)
    return { kind: 'image', ...imageSizeOf({ height, width, channels: own.channels }) }
  }
  if (imageSize) throw new UsageError(`--image-size ${imageSize.join('x')}: the network takes sound; leave it away`)
  if (spec.data.flip === false) throw new UsageError('--no-flip: the network takes sound; leave it away')
  if (seconds !== undefined) return { kind: 'audio', seconds }
  if (fixedBy !== undefined && frontEnd && frontEnd.kind !== 'image' && frontEnd.kind !== 'graph')
    return { kind: 'audio', seconds: frontEnd.samples / frontEnd.sampleRate }
  return { kind: 'audio', seconds: spec.streaming ? streamingClipSeconds : 1 }
}

/** @throws UsageError when the file is no network. */
function readNetwork(name: string): Network {
  try {
    return parseNetwork(JSON.parse(readFileSync(name, 'utf8')))
  } catch (error) {
    if (error instanceof UsageError) throw error
    throw new UsageError(`--network ${name}: cannot be read as JSON (${(error as Error).message.split('\n')[0]})`)
  }
}

function formOf(dataset: RowsDataset) {
  if (dataset.kind === 'audio') return { sampleRate: dataset.sampleRate, samples: dataset.samples }
  const { height, width, channels } = dataset
  return { image: { height, width, channels } }
}

/** A built-in network, or one from a JSON file (its classes must be the data's), without the bits it may have unless they are kept. */
export function networkByName(name: string, dataset: Dataset, streaming = false, keepsBits = false): Network {
  const { classes } = dataset
  if (isGraphNetworkName(name)) {
    if (dataset.kind !== 'graph') throw new UsageError(`--network ${name}: needs a graph, a JSON file; ${dataset.directory} is none`)
    return graphNetwork(name, graphFrontEnd(dataset), classes)
  }
  if (!isFile(name)) {
    requireRows(dataset)
    return builtinNetwork(name, { classes, ...formOf(dataset), streaming })
  }
  const read = readNetwork(name)
  const given = keepsBits ? read : withoutBits(read)
  const network = streaming ? streamingNetwork(given) : given
  if (network.classes.join() === classes.join()) return network
  if (network.classes.length !== classes.length) {
    throw new UsageError(
      `--network ${name}: tells ${network.classes.length} classes apart (${network.classes.join(', ')}), the data has ${classes.length} (${classes.join(', ')}); choose the words with --words`,
    )
  }
  return { ...network, classes }
}

/** One of the sizes a space comes in, or undefined for its default. */
function size<T extends number>(space: string, what: string, value: number | undefined, sizes: readonly T[]): T | undefined {
  if (value === undefined || sizes.includes(value as T)) return value as T | undefined
  throw new UsageError(`--filters ${value}: ${space} comes with ${sizes.join(', ')} ${what}`)
}

export function spaceOf(spec: SearchSpec, dataset: Dataset): Space {
  const { classes } = dataset
  const { filters, frontEnd, network } = spec.spaceOptions
  if (network !== undefined) return oneNetworkSpace(networkByName(network, dataset, spec.streaming))
  if (dataset.kind === 'graph') return graphSpace({ classes, frontEnd: graphFrontEnd(dataset) })
  if (dataset.kind === 'image') {
    const { height, width, channels } = dataset
    return mobileCifar({ classes, height, width, channels })
  }
  const { sampleRate, samples } = dataset
  const common = { classes, sampleRate, samples, streaming: spec.streaming ?? false }
  switch (spec.space) {
    case 'kws-e2e': {
      const count = size(spec.space, 'filters', filters, [40, 60, 80] as const)
      return kwsE2e({
        ...common,
        ...(count !== undefined ? { filters: count } : {}),
        ...(frontEnd ? { frontEnd: frontEnd === 'conv' ? 'conv1d' : 'sinc' } : {}),
      })
    }
    case 'kws-mfcc': {
      const coefficients = size(spec.space, 'coefficients', filters, [10, 20, 30, 40] as const)
      return kwsMfcc({ ...common, ...(coefficients !== undefined ? { coefficients } : {}) })
    }
    case 'cenet':
      return cenet({ classes, sampleRate, samples })
    case 'graph':
      throw new UsageError(`--space graph: needs a graph, a JSON file, and ${dataset.directory} holds sound`)
    case 'mobile-cifar':
    case 'network':
      throw new UsageError(`--space ${spec.space}: takes images, and ${dataset.directory} holds sound`)
    default:
      throw new UsageError(`--space ${spec.space satisfies never}: is not known`)
  }
}
