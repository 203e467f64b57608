// The arena planner: where every tensor and every layer's scratch lies, so that nothing in use overlaps and the total is small.
// Greedy placement at the lowest free offset, as TensorFlow Lite's memory planner and Pisarchyk and Lee 2020 (arXiv 2001.03288,
// section 5.2) do it; several orders are tried and the smallest result is kept. A reshape's output is its input's memory.

import { paddedDepth } from './packing.ts'
import type { IntegerLayer, IntegerModel, IntegerTensor } from './model.ts'

export const alignment = 16
const align = (bytes: number): number => Math.ceil(bytes / alignment) * alignment

/** Bytes of a tensor in the arena: values packed one after the other at the container's width. */
export function tensorBytes(tensor: IntegerTensor): number {
  const [height, width, channels] = tensor.shape
  return Math.ceil((height * width * channels * tensor.containerBits) / 8)
}

/** Tensors a layer reads. */
export function layerInputs(layer: IntegerLayer): readonly number[] {
  return layer.op === 'add' ? layer.inputs : [layer.input]
}

/** Whether each channel has its own filter. With one channel that is a dense convolution. */
export function isDepthwise(model: IntegerModel, layer: IntegerLayer): boolean {
  return layer.op === 'convolution' && layer.groups > 1 && layer.groups === model.tensors[layer.input].shape[2]
}

/** Weights per output channel. */
export function filterTaps(model: IntegerModel, layer: IntegerLayer): number {
  if (layer.op !== 'convolution') return 0
  return layer.kernelSize[0] * layer.kernelSize[1] * (isDepthwise(model, layer) ? 1 : model.tensors[layer.input].shape[2])
}

/** Whether the core may write a layer's output over this input, so that both share memory; the rule of may_replace in core/open.c. */
export function mayReplace(model: IntegerModel, layer: IntegerLayer, input: number): boolean {
  const [x, y] = [model.tensors[input], model.tensors[layer.output]]
  if (x.containerBits !== y.containerBits) return false
  if (layer.op === 'add' || layer.op === 'requantize') return true
  if (layer.op !== 'convolution') return false
  if (isDepthwise(model, layer)) return true
  const isPointwise = [...layer.kernelSize, ...layer.stride].every((size) => size === 1) && layer.padding.every((size) => size === 0)
  return isPointwise && y.shape[2] <= x.shape[2]
}

const even = (size: number): number => size + (size % 2)

/** Bytes of scratch of a layer; the same rule as bw_scratch_bytes in core/open.c. */
export function scratchBytes(model: IntegerModel, layer: IntegerLayer, inPlace: boolean): number {
  if (layer.op !== 'convolution') return 0
  const taps = filterTaps(model, layer)
  if (isDepthwise(model, layer)) {
    const [height, width] = model.tensors[layer.input].shape
    const [rows, columns] = [height + layer.padding[0] + layer.padding[1], width + layer.padding[2] + layer.padding[3]]
    return 2 * (even(rows) * even(columns) + even(layer.kernelSize[0]) * even(layer.kernelSize[1])) + 8
  }
  const depth = layer.packing ? paddedDepth(layer.packing, layer.weightBits, taps) : taps
  if (layer.packing === 'vectors') return 2 * depth
  return layer.packing || inPlace ? 4 * (Math.ceil(depth / 4) * 4) : 8 * (Math.ceil(depth / 8) * 8)
}

export interface ArenaPlan {
  /** Offset of each tensor, in bytes. */
  readonly tensors: readonly number[]
  /** Offset of each layer's scratch; 0 where it needs none. */
  readonly scratch: readonly number[]
  /** Size of the arena: what a device must set aside in RAM. */
  readonly bytes: number
}

interface Block {
  size: number
  /** Layers [first, last] during which the block is in use; the input exists from layer 0 on. */
  first: number
  last: number
  offset: number
}

/** Plans the arena from shapes, containers and the order of layers alone: layers write over what they read where that makes it smaller. */
export function planArena(model: IntegerModel): ArenaPlan {
  const [apart, shared] = [plan(model, false), plan(model, true)]
  return shared.bytes < apart.bytes ? shared : apart
}

function plan(model: IntegerModel, share: boolean): ArenaPlan {
  const owner = model.tensors.map((_, i) => i)
  const lastRead = model.tensors.map(() => -1)
  for (const layer of model.layers) if (layer.op === 'reshape') owner[layer.output] = owner[layer.input]
  model.layers.forEach((layer, i) => layerInputs(layer).forEach((input) => (lastRead[owner[input]] = i)))
  const replaced = model.layers.map((layer, i): number | undefined =>
    share ? layerInputs(layer).find((input) => lastRead[owner[input]] === i && mayReplace(model, layer, input)) : undefined,
  )
  // a tensor's place is that of the one it replaces, and so on; layers come in order, so one look is enough
  const place = owner.slice()
  model.layers.forEach((layer, i) => {
    const input = replaced[i]
    if (layer.op === 'reshape') place[layer.output] = place[layer.input]
    else if (input !== undefined) place[layer.output] = place[input]
  })
  const blocks = model.tensors.map((): Block => ({ size: 0, first: Infinity, last: -1, offset: 0 }))
  model.tensors.forEach((tensor, i) => (blocks[place[i]].size = Math.max(blocks[place[i]].size, align(tensorBytes(tensor)))))
  const scratch = model.layers.map((layer, i): Block => ({
    size: align(scratchBytes(model, layer, replaced[i] !== undefined)),
    first: i,
    last: i,
    offset: 0,
  }))
  const use = (tensor: number, at: number): void => {
    const block = blocks[place[tensor]]
    block.first = Math.min(block.first, at)
    block.last = Math.max(block.last, at)
  }
  use(0, 0)
  model.layers.forEach((layer, i) => {
    for (const input of layerInputs(layer)) use(input, i)
    use(layer.output, i)
  })
  const all = [...blocks.filter((_, i) => place[i] === i), ...scratch].filter((block) => block.size > 0 && block.last >= 0)
  const orders: readonly ((a: Block, b: Block) => number)[] = [
    (a, b) => b.size - a.size || a.first - b.first,
    (a, b) => b.size * (b.last - b.first + 1) - a.size * (a.last - a.first + 1) || a.first - b.first,
    (a, b) => a.first - b.first || b.size - a.size,
    (a, b) => b.last - a.last || b.size - a.size,
  ]
  let best: { bytes: number; offsets: number[] } | undefined
  for (const order of orders) {
    const bytes = placeBlocks(all.toSorted(order))
    if (!best || bytes < best.bytes) best = { bytes, offsets: all.map((block) => block.offset) }
  }
  best?.offsets.forEach((offset, i) => (all[i].offset = offset))
  return {
    tensors: place.map((tensor) => blocks[tensor].offset),
    scratch: scratch.map((block) => block.offset),
    bytes: best?.bytes ?? 0,
  }
}

/** Gives each block in turn the lowest offset where it meets no placed block that is in use at the same time; returns the end. */
function placeBlocks(blocks: readonly Block[]): number {
  const placed: Block[] = []
  let end = 0
  for (const block of blocks) {
    block.offset = 0
    const rivals = placed.filter((other) => other.first <= block.last && block.first <= other.last).toSorted((a, b) => a.offset - b.offset)
    for (const rival of rivals) {
      if (rival.offset >= block.offset + block.size) break
      block.offset = Math.max(block.offset, rival.offset + rival.size)
    }
    placed.push(block)
    end = Math.max(end, block.offset + block.size)
  }
  return end
}
