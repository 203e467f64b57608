// From names on the command line to networks and spaces for the data at hand.
import { existsSync, readFileSync } from 'node:fs'
import type { AudioDataset } from '../data/dataset.ts'
import { UsageError } from '../errors.ts'
import { builtinNames, builtinNetwork, parseNetwork, requireAudio, streamingNetwork, withoutBits, type Network } from '../network/index.ts'
import { kwsE2e, kwsMfcc, type Space } from '../spaces/index.ts'
import type { SearchSpec, TrainSpec } from './api.ts'

/**
 * Without padding the rows at both ends of a clip are seen less often; with a second alone, DS-CNN lost 6 of 88.6 % on Speech Commands, with
 * this much 0.6 (docs/streaming.md).
 */
const streamingClipSeconds = 1.25

const isFile = (name: string): boolean =>
  !(builtinNames as readonly string[]).includes(name) && (existsSync(name) || name.endsWith('.json'))

/** @throws UsageError when the name is neither a built-in network for sound nor a file; before any data is read. */
export function requireNetwork(name: string, streaming = false): void {
  if (isFile(name)) return
  const samples = streaming ? 16_000 * streamingClipSeconds : 16_000
  requireAudio(builtinNetwork(name, { classes: ['one', 'other'], samples, streaming }).frontEnd)
}

/** Length of the clips where the request does not say: a network from a file has its own. */
export function clipSeconds(spec: SearchSpec | TrainSpec): number {
  if (spec.data.seconds !== undefined) return spec.data.seconds
  if ('network' in spec && isFile(spec.network)) {
    const { frontEnd } = readNetwork(spec.network)
    requireAudio(frontEnd)
    return frontEnd.samples / frontEnd.sampleRate
  }
  return spec.streaming ? streamingClipSeconds : 1
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

/** A built-in network, or one from a JSON file (its classes must be the data's). */
export function networkByName(name: string, dataset: AudioDataset, streaming = false): Network {
  const { classes, sampleRate, samples } = dataset
  if (!isFile(name)) return builtinNetwork(name, { classes, sampleRate, samples, streaming })
  const given = withoutBits(readNetwork(name))
  requireAudio(given.frontEnd)
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

export function spaceOf(spec: SearchSpec, dataset: AudioDataset): Space {
  const { classes, sampleRate, samples } = dataset
  const { filters, frontEnd } = spec.spaceOptions
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
    default:
      throw new UsageError(`--space ${spec.space satisfies never}: is not known`)
  }
}
