// Whether a model can run on a stream, and what that takes, from its structure alone: the same plan as core/stream_plan.c, so that cost
// models know a stream's memory to the byte before anything is trained.
//
// A model streams where nothing is padded along time (the rows of every map), no reshape mixes rows, and additions meet at one rate.

import { alignment, filterTaps, layerInputs, scratchBytes } from './arena.ts'
import type { IntegerAveragePool, IntegerLayer, IntegerModel, IntegerTensor } from './model.ts'

export interface StreamPlan {
  /** Between logits. */
  readonly hopSamples: number
  /** To the first logits. */
  readonly firstSamples: number
  /** RAM of a stream: the plan and the state, the front end's window included, its tables not. */
  readonly ramBytes: number
  readonly planBytes: number
  readonly stateBytes: number
  /** Of the state: what stays from one row to the next. What follows it is free in between. */
  readonly keptBytes: number
  /** Multiply-accumulates per second of sound. */
  readonly macsPerSecond: number
  /** Multiply-accumulates of each layer from one logits to the next. */
  readonly layerMacs: readonly number[]
}

/** Why a model cannot stream. */
export interface NoStream {
  readonly reason: string
}

interface Map {
  /** Rows kept; 0 until a row has its place. */
  rows: number
  offset: number
  /** Rows of the input between rows, and the row of it that completes row 0. */
  step: number
  first: number
  base: number
  last: number
  kept: boolean
}

const mapBytes = 28
const layerBytes = 16
const largestState = 2 ** 26
const mostRows = 2 ** 28
const up16 = (bytes: number): number => Math.ceil(bytes / alignment) * alignment

/** Bytes of a row in the stream: 16 bits a value where they would not be whole. */
function rowBytes({ shape, containerBits }: IntegerTensor): number {
  const values = shape[1] * shape[2]
  return (values * containerBits) % 8 === 0 ? (values * containerBits) / 8 : 2 * values
}

const hasSums = (layer: IntegerLayer): layer is IntegerAveragePool => layer.op === 'averagePool' && layer.kernelSize[0] > 1

/** Bytes of the running sums of an average over rows: the totals, and those of every row. */
function sumBytes({ tensors }: IntegerModel, layer: IntegerAveragePool): number {
  const { zeroPoint, min, max } = tensors[layer.input]
  const [, width, channels] = tensors[layer.output].shape
  const each = layer.kernelSize[1] * Math.max(zeroPoint - min, max - zeroPoint) <= 32767 ? 2 : 4
  return up16(4 * width * channels) + up16(layer.kernelSize[0] * width * channels * each)
}

/** How a model streams, or why it cannot. Weights and parameters are not read. */
export function streamPlan(model: IntegerModel): StreamPlan | NoStream {
  const { frontEnd, tensors, layers } = model
  if (frontEnd.kind === 'image') return { reason: 'it takes images' }
  const isRaw = frontEnd.kind === 'raw'
  const rows = isRaw ? frontEnd.samples : 1 + Math.floor((frontEnd.samples - frontEnd.windowSamples) / frontEnd.hopSamples)
  if (tensors[0].shape[0] !== rows) return { reason: 'the rows of its input are not time' }
  const maps = tensors.map((_, index): Map => ({ rows: 0, offset: 0, step: 0, first: 0, base: index, last: 0, kept: false }))
  Object.assign(maps[0], { rows: 1, step: 1, kept: true })
  for (const [index, layer] of layers.entries()) {
    const reason = planLayer(model, layer, index, maps)
    if (reason !== undefined) return { reason: `layer ${layer.name}: ${reason}` }
  }
  const output = maps[layers[layers.length - 1].output]
  maps[output.base].last = layers.length
  const hop = isRaw ? 1 : frontEnd.hopSamples
  if (Math.max(output.step, output.first) * hop >= mostRows) return { reason: 'it looks at too much sound at once' }
  for (const map of maps) if (!map.kept) map.rows = 0
  const { stateBytes, keptBytes } = planState(model, maps)
  if (stateBytes > largestState) return { reason: `it would keep ${stateBytes} bytes, more than ${largestState}` }
  const planBytes = mapBytes * tensors.length + layerBytes * layers.length
  const layerMacs = layers.map((layer) => {
    const [, width, channels] = tensors[layer.output].shape
    return (width * channels * filterTaps(model, layer) * output.step) / maps[layer.output].step
  })
  return {
    hopSamples: output.step * hop,
    firstSamples: output.first * hop + (isRaw ? 1 : frontEnd.windowSamples),
    ramBytes: planBytes + stateBytes,
    planBytes,
    stateBytes,
    keptBytes,
    macsPerSecond: (layerMacs.reduce((sum, macs) => sum + macs, 0) * frontEnd.sampleRate) / (output.step * hop),
    layerMacs,
  }
}

/** When a layer runs and what it needs of its inputs; what stands in the way. */
function planLayer({ tensors }: IntegerModel, layer: IntegerLayer, index: number, maps: readonly Map[]): string | undefined {
  const needs = (tensor: number, rows: number, isLater = false): void => {
    const base = maps[maps[tensor].base]
    base.rows = Math.max(base.rows, rows)
    base.kept ||= isLater || rows > 1
    base.last = index
  }
  const inputs = layerInputs(layer)
  const from = maps[inputs[0]]
  const to = maps[layer.output]
  to.last = index
  let { step, first } = from
  switch (layer.op) {
    case 'convolution':
    case 'averagePool':
      if (layer.op === 'convolution' && (layer.padding[0] > 0 || layer.padding[1] > 0)) return 'is padded along time'
      needs(layer.input, hasSums(layer) ? 1 : layer.kernelSize[0])
      first += (layer.kernelSize[0] - 1) * step
      step *= layer.stride[0]
      break
    case 'reshape':
    case 'crop': {
      const rows = tensors[layer.input].shape[0] - tensors[layer.output].shape[0]
      if (layer.op === 'reshape' && rows !== 0) return 'changes the number of rows, which are time'
      to.base = from.base
      first += rows * step
      break
    }
    case 'add': {
      const both = inputs.map((tensor) => maps[tensor])
      if (both[0].step !== both[1].step) return 'adds maps that come at different rates'
      first = Math.max(...both.map((map) => map.first))
      for (const [i, map] of both.entries()) needs(inputs[i], 1, map.first < first)
      break
    }
    case 'attend':
      return 'attends to all of its time at once'
    default:
      needs(layer.input, 1)
  }
  Object.assign(to, { step, first })
  return step < mostRows && first < mostRows ? undefined : 'looks at too much sound at once'
}

/** Places what stays, then what lives for a step, first fit in the order of layers. */
function planState(model: IntegerModel, maps: readonly Map[]): { stateBytes: number; keptBytes: number } {
  const { frontEnd, tensors, layers } = model
  let kept = 0
  for (const [index, map] of maps.entries()) if (map.kept) kept += up16(map.rows * rowBytes(tensors[index]))
  if ('windowSamples' in frontEnd) kept += up16(2 * frontEnd.windowSamples)
  for (const layer of layers) if (hasSums(layer)) kept += sumBytes(model, layer)
  let end = kept
  const placed: { from: number; to: number; last: number }[] = []
  const place = (at: number, bytes: number): number => {
    let from = kept
    const live = placed.filter(({ last }) => last >= at)
    for (let i = 0; i < live.length; i++) {
      if (live[i].from >= from + bytes || from >= live[i].to) continue
      from = live[i].to
      i = -1
    }
    end = Math.max(end, from + bytes)
    return from
  }
  for (const [index, layer] of layers.entries()) {
    const map = maps[layer.output]
    if (map.base === layer.output && !map.kept) {
      const bytes = up16(rowBytes(tensors[layer.output]))
      const from = place(index, bytes)
      placed.push({ from, to: from + bytes, last: map.last })
    }
    const scratch = windowScratch(model, layer)
    if (scratch > 0) place(index, up16(scratch))
  }
  return { stateBytes: end, keptBytes: kept }
}

/** Scratch of a layer that sees the rows of one window, and writes beside them. */
function windowScratch(model: IntegerModel, layer: IntegerLayer): number {
  if (layer.op !== 'convolution') return 0
  const x = model.tensors[layer.input]
  const rows: IntegerTensor = { ...x, shape: [layer.kernelSize[0], x.shape[1], x.shape[2]] }
  return scratchBytes({ ...model, tensors: model.tensors.with(layer.input, rows) }, layer)
}
