// What `info` says about a model file, an architecture, or a built-in network.
import { decodeModel, type IntegerModel, modelInfo } from '@bitwright/runtime'
import { loadGraph } from '../data/graph-dataset.ts'
import { UsageError } from '../errors.ts'
import { defaultTarget, firmwareModel, targetKernels } from '../export/firmware-targets.ts'
import type { StreamCost, TimeModel } from '../hardware/cost-model.ts'
import { firmwareMemory } from '../hardware/firmware.ts'
import { bitOperationsOf, modelLayers, networkLayers } from '../hardware/layer-shape.ts'
import { lowerSkeleton } from '../hardware/lower.ts'
import { memory, streamCost } from '../hardware/memory.ts'
import { graphFrontEnd, graphNetwork, graphNetworkNames, isGraphNetworkName } from '../network/builtins-graph.ts'
import { requireIntegerForm } from '../network/graph.ts'
import {
  type BuiltinName,
  builtinNames,
  builtinNetwork,
  isMultiplying,
  isWeighted,
  paperClasses,
  parseNetwork,
  storedWeightBits,
  type FrontEnd,
  type Network,
} from '../network/index.ts'
import { bytes, count } from '../report/units.ts'
import { readGivenFile } from './given-file.ts'
import { nearest } from './nearest.ts'
import { textTable } from './text-table.ts'

export interface ModelDescription {
  readonly name: string
  readonly kind: 'model' | 'network'
  readonly classes: readonly string[]
  readonly frontEnd: FrontEnd
  readonly params: number
  readonly macs: number
  /** Sum of MACs times the bits of the weights times those of what they multiply. */
  readonly bitOperations: number
  /** Exact; of a network in float as if it had 8-bit weights and activations. */
  readonly flashBytes: number
  readonly ramBytes: number
  /** Buffers of an MFCC or log-mel front end, beside ramBytes. */
  readonly frontEndBytes?: number
  /** Constants and static memory of firmware for the default processor, front end included; code and stack come on top. Absent for a graph. */
  readonly firmware?: { readonly target: string; readonly flashBytes: number; readonly ramBytes: number }
  readonly averageWeightBits?: number
  /** What follows is of it, for a whole clip or image. */
  readonly target?: string
  readonly latencyMs?: number
  /** Of latencyMs: the features of the clip. */
  readonly frontEndMs?: number
  readonly cycles?: number
  readonly energyUj?: number
  /** Where it can run row by row. */
  readonly stream?: StreamCost
  readonly layers: readonly {
    readonly name: string
    readonly op: string
    readonly params: number
    readonly macs: number
    readonly weightBits?: number
    readonly activationBits?: number
    readonly weightBytes: number
    readonly outputBytes: number
    readonly latencyMs?: number
    readonly cycles?: number
    readonly energyUj?: number
  }[]
}

/**
 * Describes what `subject` names: a file, or else a built-in network; on a target where one is given. `data`: the graph that a built-in network for
 * graphs is made for.
 * @throws UsageError for neither; BadModelError for a damaged .bw file
 */
export function describeSubject(subject: string, target?: TimeModel, data?: string): ModelDescription {
  if (isGraphNetworkName(subject)) {
    if (data === undefined)
      throw new UsageError(`${subject}: has the sizes of its graph; give one: bitwright info ${subject} --data cora.json`)
    const dataset = loadGraph(data)
    return describeNetwork(graphNetwork(subject, graphFrontEnd(dataset), dataset.classes), target)
  }
  if (data !== undefined) throw new UsageError(`--data ${data}: ${subject} has its sizes without a graph; leave it away`)
  if ((builtinNames as readonly string[]).includes(subject))
    return describeNetwork(builtinNetwork(subject, { classes: paperClasses(subject as BuiltinName) }), target)
  if (/\.json$/i.test(subject)) return describeNetwork(readNetwork(subject), target)
  if (!/[./\\]/.test(subject)) {
    const names = [...builtinNames, ...graphNetworkNames]
    const guess = nearest(subject, names)
    throw new UsageError(
      `${subject}: no built-in network; ${guess ? `did you mean ${guess}?` : `give ${names.join(', ')}, or the path of a .bw or .json file`}`,
    )
  }
  return describeModel(readGivenFile(subject), subject, target)
}

/** @throws UsageError when the file is no network. */
export function readNetwork(path: string): Network {
  const text = Buffer.from(readGivenFile(path)).toString('utf8')
  try {
    return parseNetwork(JSON.parse(text))
  } catch (error) {
    if (error instanceof SyntaxError) throw new UsageError(`${path}: is not JSON (${error.message})`)
    throw error instanceof UsageError ? new UsageError(`${path}: ${error.message}`) : error
  }
}

function describeModel(file: Uint8Array, path: string, target: TimeModel | undefined): ModelDescription {
  const model = decodeModel(file, path)
  const info = modelInfo(file)
  const shapes = modelLayers(model)
  const { nodes: times, ...time } = target?.time(
    model.layers.map(({ name }, i) => ({ id: name, layers: [shapes[i]] })),
    model.frontEnd,
  ) ?? { nodes: [] }
  const layers = info.layers.map(({ weightBits, ...layer }, i) => ({ ...layer, ...(weightBits > 0 && { weightBits }), ...times[i] }))
  return {
    name: model.name,
    kind: 'model',
    classes: model.classes,
    frontEnd: model.frontEnd,
    ...info,
    bitOperations: shapes.reduce((sum, shape) => sum + bitOperationsOf(shape), 0),
    ...(target && { target: target.name }),
    ...time,
    ...firmwareCost(model),
    ...streamCost(model),
    ...averageOf(layers),
    layers,
  }
}

function describeNetwork(network: Network, target: TimeModel | undefined): ModelDescription {
  const { nodes, ...cost } = memory.price(network)
  if (target) requireIntegerForm(network.frontEnd)
  const { nodes: times, ...time } = target?.time(networkLayers(network), network.frontEnd) ?? { nodes: [] }
  const layers = network.nodes.map((node, index) => {
    const { params, macs, weightBytes, outputBytes } = nodes[index]
    const { activationBits } = isMultiplying(node) ? node : {}
    const bits = {
      ...(isWeighted(node) && node.weightBits !== undefined && { weightBits: storedWeightBits(node) }),
      ...(activationBits !== undefined && { activationBits }),
    }
    return { name: node.id, op: node.op, params, macs, weightBytes, outputBytes, ...bits, ...times[index] }
  })
  const { name, classes, frontEnd } = network
  const firmware = frontEnd.kind === 'graph' ? {} : firmwareCost(lowerSkeleton(network).model)
  const onTarget = { ...(target && { target: target.name }), ...time }
  return { name, kind: 'network', classes, frontEnd, ...cost, ...onTarget, ...firmware, ...averageOf(layers), layers }
}

function firmwareCost(model: IntegerModel): Pick<ModelDescription, 'firmware'> {
  const { flashBytes, ramBytes } = firmwareMemory(firmwareModel(model, targetKernels[defaultTarget]))
  return { firmware: { target: defaultTarget, flashBytes, ramBytes } }
}

function averageOf(layers: readonly { params: number; weightBits?: number }[]): { averageWeightBits?: number } {
  const weighted = layers.filter((layer) => layer.weightBits !== undefined && layer.params > 0)
  const params = weighted.reduce((sum, layer) => sum + layer.params, 0)
  if (params === 0) return {}
  return { averageWeightBits: weighted.reduce((sum, layer) => sum + layer.weightBits! * layer.params, 0) / params }
}

function inputText(frontEnd: FrontEnd): string {
  if (frontEnd.kind === 'image') return `image, ${frontEnd.height}x${frontEnd.width} pixels of ${frontEnd.channels} bytes`
  if (frontEnd.kind === 'graph') return `graph of ${frontEnd.nodes} nodes, ${frontEnd.features} features each`
  return `${frontEnd.kind}, ${frontEnd.samples} samples at ${frontEnd.sampleRate} Hz`
}

export function descriptionText(description: ModelDescription): string {
  const { name, classes, frontEnd, params, macs, flashBytes, ramBytes, frontEndBytes, firmware, averageWeightBits, stream, layers } =
    description
  const { target, latencyMs, frontEndMs, cycles, energyUj, bitOperations } = description
  const asIf = averageWeightBits === undefined ? ' with 8-bit weights and activations' : ''
  const facts = [
    ['name', name],
    ['classes', `${classes.length}: ${classes.join(', ')}`],
    ['input', inputText(frontEnd)],
    ['params', `${count(params)} (${params})`],
    ['MACs', `${count(macs)} (${macs})`],
    ['bit ops', count(bitOperations)],
    ['flash', `${bytes(flashBytes)} (${flashBytes} bytes)${asIf}`],
    ['RAM', `${bytes(ramBytes)} (${ramBytes} bytes)${asIf}`],
    ...(frontEndBytes ? [['front end', `${bytes(frontEndBytes)} more of RAM (${frontEndBytes} bytes)`]] : []),
    ...(firmware
      ? [
          [
            'firmware',
            `${bytes(firmware.flashBytes)} of flash beside code, ${bytes(firmware.ramBytes)} of RAM beside stack (${firmware.target})${asIf}`,
          ],
        ]
      : []),
    ...(stream
      ? [
          [
            'stream',
            `${bytes(stream.streamRamBytes)} of RAM (${stream.streamRamBytes} bytes), ${count(stream.macsPerSecond)} MACs a second, every ${Math.round(1000 * stream.hopSeconds)} ms`,
          ],
        ]
      : []),
    ...(latencyMs === undefined
      ? []
      : [
          [
            'latency',
            `${latencyMs.toFixed(3)} ms on ${target}${frontEndMs === undefined ? '' : `, of it ${frontEndMs.toFixed(3)} ms for features`}${cycles === undefined ? '' : `; ${count(cycles)} cycles`}${energyUj === undefined ? '' : `; ${energyUj.toFixed(2)} uJ`}`,
          ],
        ]),
    ['bits', averageWeightBits === undefined ? 'float' : `${averageWeightBits.toFixed(2)} (weights, average)`],
  ]
  const width = Math.max(...facts.map(([label]) => label.length))
  const table = textTable([
    ['layer', 'op', 'params', 'MACs', 'weight bits', 'input bits', 'weight bytes', ...(target === undefined ? [] : ['ms'])],
    ...layers.map((layer) => [
      layer.name,
      layer.op,
      ...[layer.params, layer.macs, layer.weightBits, layer.activationBits, layer.weightBytes].map((value) =>
        value ? String(value) : '-',
      ),
      ...(target === undefined ? [] : [layer.latencyMs ? layer.latencyMs.toFixed(4) : '-']),
    ]),
  ])
  return `${facts.map(([label, value]) => `${label.padEnd(width)}  ${value}`).join('\n')}\n\n${table}\n`
}
