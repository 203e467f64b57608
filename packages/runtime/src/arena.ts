// The arena planner: where every tensor and every layer's scratch lies, so that nothing in use overlaps and the total is small.
// Greedy placement at the lowest free offset, as TensorFlow Lite's memory planner and Pisarchyk and Lee 2020 (arXiv 2001.03288,
// section 5.2) do it; several orders are tried and the smallest result is kept. A reshape's output is its input's memory.

import { paddedDepth } from './packing.ts'
import type { IntegerAttend, IntegerConvolution, IntegerLayer, IntegerModel, IntegerTensor } from './model.ts'

export const alignment = 16
const align = (bytes: number): number => Math.ceil(bytes / alignment) * alignment

/** Bytes of a tensor in the arena: values packed one after the other at the container's width. */
export function tensorBytes(tensor: IntegerTensor): number {
  const [height, width, channels] = tensor.shape
  return Math.ceil((height * width * channels * tensor.containerBits) / 8)
}

/** Tensors a layer reads. */
export function layerInputs(layer: IntegerLayer): readonly number[] {
  return 'inputs' in layer ? layer.inputs : [layer.input]
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

/** Stride 1, one tap, no padding: what the core computes pixel by pixel. */
function isPointwise(model: IntegerModel, layer: IntegerLayer): boolean {
  if (layer.op !== 'convolution' || isDepthwise(model, layer)) return false
  return [...layer.kernelSize, ...layer.stride].every((size) => size === 1) && layer.padding.every((size) => size === 0)
}

/**
 * By how many bytes an input must at least begin, and may at most begin, after the layer's output for the two to overlap; undefined where they
 * may not. The rule of may_overlap in core/open.c, which says why it is right; this is diagonal memory optimisation (Blacker et al. 2020,
 * arXiv 2010.01668) for layers that read and write in one order.
 */
export function overlapRange(model: IntegerModel, layer: IntegerLayer, input: number): readonly [least: number, most: number] | undefined {
  const [x, y] = [model.tensors[input], model.tensors[layer.output]]
  if (isDepthwise(model, layer)) return x.containerBits === y.containerBits ? [0, 0] : undefined
  const [height, width, channels] = y.shape
  const byPixels = isPointwise(model, layer)
  if (!byPixels && layer.op !== 'add' && layer.op !== 'requantize') return undefined
  const units = byPixels ? height * width : height * width * channels
  const growth = byPixels ? channels * y.containerBits - x.shape[2] * x.containerBits : y.containerBits - x.containerBits
  return units === 1 ? [-Infinity, Infinity] : [Math.ceil(Math.max(growth, growth * (units - 1)) / 8), Infinity]
}

const even = (size: number): number => size + (size % 2)

/** Bytes of scratch of a layer: what its kernel works in and its compact parameters as wide ones; the same rule as bw_scratch_bytes in core/open.c. */
export function scratchBytes(model: IntegerModel, layer: IntegerLayer): number {
  if (layer.op === 'attend') return attentionBytes(model, layer)
  if (layer.op !== 'convolution') return 0
  return workBytes(model, layer) + (layer.compact ? 9 * model.tensors[layer.output].shape[2] : 0)
}

/** Two rows of scores and of sums, two queries, and a key or a value. */
function attentionBytes({ tensors }: IntegerModel, layer: IntegerAttend): number {
  const [height, width, depth] = tensors[layer.inputs[0]].shape
  const [keys, values] = [depth, tensors[layer.output].shape[2]].map((channels) => Math.ceil(channels / 4) * 4)
  return 8 * even(height * width) + 8 * values + 4 * keys + 2 * Math.max(keys, values)
}

function workBytes(model: IntegerModel, layer: IntegerConvolution): number {
  const taps = filterTaps(model, layer)
  if (isDepthwise(model, layer)) {
    const [height, width] = model.tensors[layer.input].shape
    const [rows, columns] = [height + layer.padding[0] + layer.padding[1], width + layer.padding[2] + layer.padding[3]]
    return 2 * (even(rows) * even(columns) + even(layer.kernelSize[0]) * even(layer.kernelSize[1])) + 8
  }
  const depth = layer.packing ? paddedDepth(layer.packing, layer.weightBits, taps) : taps
  if (layer.packing === 'vectors') return 2 * depth
  return layer.packing || isPointwise(model, layer) ? 4 * (Math.ceil(depth / 4) * 4) : 8 * (Math.ceil(depth / 8) * 8)
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
  readonly size: number
  /** Layers [first, last] during which the block is in use; the input exists from layer 0 on. */
  first: number
  last: number
  offset: number
}

/** The output of a layer and an input that nothing reads after it: how far the input may begin after the output where they overlap. */
interface Pair {
  readonly input: Block
  readonly output: Block
  readonly least: number
  readonly most: number
}

/** Plans the arena from shapes, containers and the order of layers alone: layers write over what they read where that makes it smaller. */
export function planArena(model: IntegerModel): ArenaPlan {
  const owner = model.tensors.map((_, i) => i)
  for (const layer of model.layers) if (layer.op === 'reshape') owner[layer.output] = owner[layer.input]
  const block = (size: number, first: number, last: number): Block => ({ size: align(size), first, last, offset: 0 })
  const tensors = model.tensors.map((tensor) => block(tensorBytes(tensor), Infinity, -1))
  const use = (tensor: number, at: number): void => {
    const used = tensors[owner[tensor]]
    used.first = Math.min(used.first, at)
    used.last = Math.max(used.last, at)
  }
  use(0, 0)
  model.layers.forEach((layer, i) => [...layerInputs(layer), layer.output].forEach((tensor) => use(tensor, i)))
  const scratch = model.layers.map((layer, i) => block(scratchBytes(model, layer), i, i))
  const pairs = model.layers.flatMap((layer, i): Pair[] =>
    layerInputs(layer).flatMap((tensor) => {
      const [input, output, range] = [tensors[owner[tensor]], tensors[owner[layer.output]], overlapRange(model, layer, tensor)]
      return range && input.last === i && output.first === i ? [{ input, output, least: range[0], most: range[1] }] : []
    }),
  )
  const all = [...tensors.filter((_, i) => owner[i] === i), ...scratch].filter(({ size, last }) => size > 0 && last >= 0)
  const orders: readonly ((a: Block, b: Block) => number)[] = [
    (a, b) => b.size - a.size || a.first - b.first,
    (a, b) => b.size * (b.last - b.first + 1) - a.size * (a.last - a.first + 1) || a.first - b.first,
    (a, b) => a.first - b.first || b.size - a.size,
    (a, b) => b.last - a.last || b.size - a.size,
  ]
  let best: { bytes: number; offsets: number[] } | undefined
  for (const order of orders) {
    for (const shared of [pairs, []]) {
      const bytes = placeBlocks(all.toSorted(order), shared)
      if (!best || bytes < best.bytes) best = { bytes, offsets: all.map(({ offset }) => offset) }
    }
  }
  best?.offsets.forEach((offset, i) => (all[i].offset = offset))
  return {
    tensors: owner.map((tensor) => tensors[tensor].offset),
    scratch: scratch.map(({ offset }) => offset),
    bytes: best?.bytes ?? 0,
  }
}

/** Gives each block in turn the lowest offset where it meets no placed block that is in use at the same time, but as pairs may; returns the end. */
function placeBlocks(blocks: readonly Block[], pairs: readonly Pair[]): number {
  const placed: Block[] = []
  let end = 0
  for (const block of blocks) {
    const rivals = placed.filter((other) => other.first <= block.last && block.first <= other.last)
    const own = pairs.filter(
      ({ input, output }) => (input === block && placed.includes(output)) || (output === block && placed.includes(input)),
    )
    const isFree = (offset: number, other: Block): boolean => {
      if (offset >= other.offset + other.size || other.offset >= offset + block.size) return true
      return own.some(({ input, output, least, most }) => {
        if (other !== (input === block ? output : input)) return false
        const gap = input === block ? offset - output.offset : input.offset - offset
        return least <= gap && gap <= most
      })
    }
    const nearest = own.map(({ input, output, least }) => (input === block ? output.offset + align(least) : input.offset - align(least)))
    const starts = [0, ...nearest, ...rivals.map(({ offset, size }) => offset + size)].filter((start) => start >= 0 && start < Infinity)
    block.offset = starts.toSorted((a, b) => a - b).find((start) => rivals.every((other) => isFree(start, other)))!
    placed.push(block)
    end = Math.max(end, block.offset + block.size)
  }
  return end
}
