// What a program does, counted from its commands alone: nothing is run, so the numbers are exact and the same on every machine of the
// same vector width. A regression that a clock would lose in its noise shows here as a different number.
//
// Bytes are those that have to move between the heap and the processor: every number that a command's outcome depends on counts once for
// reading, every number that it stores once for writing, the padding of channels included. What a kernel keeps in its scratch memory, or
// reads again, does not count.
import { type CommandName, commandName, float, none } from './commands.ts'

export interface CommandWork {
  readonly name: CommandName
  /** What a layer maps to what, e.g. `25x15x24 > 25x15x64, 1x1`; channels as stored, padded to the vector width. Empty for other commands. */
  readonly layer: string
  /** Floating-point operations of one execution, two a multiply-accumulate, padding channels included; 0 where they do not matter. */
  readonly flops: number
  readonly readBytes: number
  readonly writtenBytes: number
}

/** The commands of a program in order. `lanes`: floats per vector (`engine.lanes`). */
export function programWork(program: Int32Array, lanes: number): CommandWork[] {
  return programCommands(program).map((command) => {
    const name = commandName(command[0])
    const args = command.subarray(2)
    const { read, written } = touched(name, args, lanes)
    return { name, ...layerWork(name, args), readBytes: 4 * read, writtenBytes: 4 * written }
  })
}

/** Sums over commands. */
export function totalWork(commands: readonly CommandWork[]): { commands: number; flops: number; readBytes: number; writtenBytes: number } {
  const sum = (of: 'flops' | 'readBytes' | 'writtenBytes') => commands.reduce((total, command) => total + command[of], 0)
  return { commands: commands.length, flops: sum('flops'), readBytes: sum('readBytes'), writtenBytes: sum('writtenBytes') }
}

/** Each command of a program, with its opcode and length. */
export function programCommands(program: Int32Array): Int32Array[] {
  const commands: Int32Array[] = []
  for (let at = 2; at < program.length; at += program[at + 1]) commands.push(program.subarray(at, at + program[at + 1]))
  return commands
}

const isLayer = (name: CommandName): boolean => /^(convolution|depthwise)/.test(name)

/** Layer and operations of a command; empty and 0 unless it is a convolution or attention. */
export function layerWork(name: CommandName, args: Int32Array): { layer: string; flops: number } {
  if (name === 'attend' || name === 'attendBackward') return attentionWork(name, args)
  if (!isLayer(name)) return { layer: '', flops: 0 }
  const { batch, height, width, channels, outHeight, outWidth, outChannels, taps } = layer(args)
  const [kernelHeight, kernelWidth, strideY, strideX] = args.subarray(17)
  const depthwise = name === 'depthwise' || name === 'depthwiseBackward'
  const backward = name === 'convolutionBackward' || name === 'depthwiseBackward'
  const products = backward ? Number(args[27] !== none) + Number(args[28] !== none) : 1
  const macs = batch * outHeight * outWidth * outChannels * taps * (depthwise ? 1 : channels)
  const stride = strideY === 1 && strideX === 1 ? '' : ` / ${strideY}x${strideX}`
  return {
    layer: `${height}x${width}x${channels} > ${outHeight}x${outWidth}x${outChannels}, ${kernelHeight}x${kernelWidth}${stride}`,
    flops: 2 * macs * products,
  }
}

function attentionWork(name: 'attend' | 'attendBackward', a: Int32Array): { layer: string; flops: number } {
  const [batch, , nodes] = a
  const [stride, used, strideOfValue, usedOfValue] = a.subarray(21)
  const [query, key, value] = [a[29], a[33], a[37]].map((dx) => Number(dx !== none))
  // the way back makes the scores anew
  const back = (query + key) * stride + (query || key ? usedOfValue : 0) + value * strideOfValue
  const depth = used + (name === 'attend' ? strideOfValue : back)
  return { layer: `${nodes} positions, ${stride} > ${strideOfValue}`, flops: 2 * batch * nodes * nodes * depth }
}

/** The first arguments of a convolution command (kernels/layer.h), and the floats of its maps. */
function layer(args: Int32Array) {
  const [batch, chunks, , height, width, channels, rowStride] = args
  const [outHeight, outWidth, outChannels, kernelHeight, kernelWidth] = args.subarray(14)
  const input = batch * height * width * channels
  const output = batch * outHeight * outWidth * outChannels
  const taps = kernelHeight * kernelWidth
  return { batch, chunks, height, width, channels, rowStride, outHeight, outWidth, outChannels, taps, input, output }
}

/** The arguments of attention: positions of the whole batch, and where each input's transform begins, with its channels with and without the filling. */
function attention(a: Int32Array) {
  const [stride, used, strideOfValue, usedOfValue] = a.subarray(21)
  return {
    nodes: a[0] * a[2],
    query: { at: 4, stride, used },
    key: { at: 10, stride, used },
    value: { at: 16, stride: strideOfValue, used: usedOfValue },
  }
}

interface Touched {
  /** Floats. */
  readonly read: number
  readonly written: number
}

/** `count`, or 0 for an absent offset. */
const given = (offset: number, count: number): number => (offset === none ? 0 : count)

/** What is read to apply what is pending on a map: scales and offsets, the quantizer's slot. `at`: where the transform's arguments begin. */
const pending = (args: Int32Array, at: number, channels: number): number => given(args[at], 2 * channels) + given(args[at + 4], 4)

interface StoredMap {
  readonly count: number
  readonly channels: number
  readonly chunks: number
}

/**
 * The way back through what is pending (arguments from `transform` on) to the gradient of a map: [d x, accumulate, batch-norm sums,
 * quantizer sums] from `target` on. The map itself is read where a limit or a level cuts gradients off, or for batch norm's sums.
 * @param alreadyRead the map and what is pending on it are read anyway, for the gradient of the weights
 */
function gradientTarget(args: Int32Array, transform: number, target: number, map: StoredMap, lanes: number, alreadyRead = false): Touched {
  const [dx, accumulate, sums, quantizerSums] = args.subarray(target)
  if (dx === none) return { read: 0, written: 0 }
  const { count, channels, chunks } = map
  const [scale, , , , quantizer] = args.subarray(transform)
  const cut = cuts(args, transform)
  const kept = count + given(sums, 2 * chunks * channels)
  const values = cut || sums !== none ? count : 0
  // a quantizer divides by its step, but never multiplies
  const numbers = cut ? given(scale, 2 * channels) + given(quantizer, 3) : 0
  return {
    read: (accumulate ? kept : 0) + (alreadyRead ? 0 : values + numbers),
    written: kept + given(quantizerSums, 3 * chunks * lanes),
  }
}
const lowest = float(-Infinity)
const highest = float(Infinity)
/** Whether a limit or a level of the transform at `at` cuts gradients off. */
const cuts = (args: Int32Array, at: number): boolean => args[at + 2] !== lowest || args[at + 3] !== highest || args[at + 4] !== none

/** Floats that a command reads and writes. The arguments are those that the kernels' comments list. */
function touched(name: CommandName, a: Int32Array, lanes: number): Touched {
  switch (name) {
    case 'pack': {
      const [, taps, channels, channelStride, outChannels, outStride, , form] = a
      const depth = taps * channelStride
      const written = form === 1 ? outChannels * Math.ceil(depth / lanes) * lanes : depth * outStride
      return { read: taps * channels * outChannels, written }
    }
    case 'packDepthwise': {
      const [, taps, channels] = a
      return { read: taps * channels, written: taps * Math.ceil(channels / lanes) * lanes }
    }
    case 'convolution':
    case 'depthwise': {
      const { chunks, channels, outChannels, taps, input, output } = layer(a)
      const weights = taps * channels * (name === 'depthwise' ? 1 : outChannels)
      return { read: input + pending(a, 7, channels) + weights, written: output + given(a[25], 2 * chunks * outChannels) }
    }
    case 'convolutionBackward':
    case 'depthwiseBackward': {
      const { batch, chunks, height, channels, rowStride, outChannels, taps, input, output } = layer(a)
      const depth = taps * channels
      const depthwise = name === 'depthwiseBackward'
      const weighted = a[27] !== none
      // the end of a row of a one-channel map is written too
      const count = channels === 1 ? batch * height * rowStride : input
      const dx = gradientTarget(a, 7, 28, { count, channels, chunks }, lanes, weighted)
      const gradient = output + given(a[26], output + 3 * outChannels)
      const values = weighted ? input + pending(a, 7, channels) : 0
      return {
        read: gradient + values + given(a[28], depth * (depthwise ? 1 : a[33] === 2 ? outChannels : a[32])) + dx.read,
        written: given(a[27], chunks * depth * (depthwise ? 1 : outChannels)) + dx.written,
      }
    }
    case 'reduceWeights': {
      const [, chunks, taps, channels, , outChannels, , , accumulate] = a
      const count = taps * channels * outChannels
      return { read: (chunks + (accumulate ? 1 : 0)) * count, written: count }
    }
    case 'reduceDepthwise': {
      const [, chunks, taps, channels, , , accumulate] = a
      const count = taps * channels
      return { read: (chunks + (accumulate ? 1 : 0)) * count, written: count }
    }
    case 'normTrain': {
      const [, chunks, channels, stride, , scale, offset, mean] = a
      const running = given(mean, 2 * channels)
      return {
        read: 2 * chunks * stride + given(scale, channels) + given(offset, channels) + running + given(mean, 1),
        written: 4 * stride + running,
      }
    }
    case 'normEval': {
      const [channels, stride, scale, offset] = a
      return { read: 2 * channels + given(scale, channels) + given(offset, channels), written: 4 * stride }
    }
    case 'normBackward': {
      const [, chunks, channels, stride, , scale, , dScale, dOffset, , , accumulate] = a
      const gradients = given(dScale, channels) + given(dOffset, channels)
      return {
        read: 2 * chunks * channels + 2 * channels + given(scale, channels) + (accumulate ? gradients : 0),
        written: 3 * stride + gradients,
      }
    }
    case 'bias': {
      const [, channels, stride] = a
      return { read: channels, written: 2 * stride }
    }
    case 'biasBackward': {
      const [, chunks, channels, , , accumulate] = a
      return { read: (chunks + (accumulate ? 1 : 0)) * channels, written: channels }
    }
    case 'add': {
      const [batch, , pixels, channels, , inputs] = a
      const map = batch * pixels * channels
      let read = 0
      for (let i = 0; i < inputs; i++) read += map + pending(a, 8 + 6 * i, channels)
      return { read: read + given(a[6], 1), written: map }
    }
    case 'addBackward': {
      const [batch, chunks, pixels, channels] = a
      const map = batch * pixels * channels
      const dx = gradientTarget(a, 5, 11, { count: map, channels, chunks }, lanes)
      return { read: map + given(a[15], 1) + dx.read, written: dx.written }
    }
    case 'pool':
    case 'poolBackward': {
      const [batch, chunks, height, width, channels] = a
      const map = batch * height * width * channels
      const pooled = batch * a[12] * a[13] * channels
      if (name === 'pool') return { read: map + pending(a, 6, channels), written: pooled }
      const dx = gradientTarget(a, 6, 18, { count: map, channels, chunks }, lanes)
      return { read: pooled + dx.read, written: dx.written }
    }
    case 'logMagnitude': {
      const [batch, chunks, pixels, channels, , , , sums] = a
      const map = batch * pixels * channels
      return { read: map, written: map + given(sums, 2 * chunks * channels) }
    }
    case 'logMagnitudeBackward': {
      const [batch, , pixels, channels, , , , , coefficients] = a
      const map = batch * pixels * channels
      return { read: 2 * map + given(coefficients, map + 3 * channels), written: map }
    }
    case 'sinc': {
      const [, , channels, taps] = a
      return { read: 2 * channels, written: taps * channels }
    }
    case 'sincBackward': {
      const [, , channels, taps] = a
      return { read: 2 * channels + taps * channels, written: 2 * channels }
    }
    case 'crossEntropy': {
      const [batch, chunks, classes, stride] = a
      const [, partial, dx, sums, targets] = a.subarray(13)
      const map = batch * stride
      return {
        read: map + pending(a, 5, stride) + batch + given(targets, batch * classes),
        written: map + given(partial, 2 * chunks) + given(dx, map) + given(sums, 2 * chunks * stride),
      }
    }
    case 'reduceLanes': {
      const [, chunks, sums, , accumulate] = a
      return { read: chunks * sums * lanes + (accumulate ? sums : 0), written: sums }
    }
    case 'dot': {
      const [batch, chunks, pixels, channels] = a
      return { read: 2 * batch * pixels * channels + pending(a, 5, channels), written: chunks * lanes }
    }
    case 'observe': {
      const [batch, chunks, pixels, channels] = a
      return { read: batch * pixels * channels + pending(a, 6, channels), written: 3 * chunks + a[13] }
    }
    case 'copyRows': {
      const [, , , toStride, rows, count] = a
      return { read: rows * count, written: rows * toStride }
    }
    case 'sgd':
      return update(a.subarray(4), { numbers: 3, read: 3, written: 2 })
    case 'adam':
      return update(a.subarray(5), { numbers: 6, read: 4, written: 3 })
    case 'attend': {
      const { nodes, query, key, value } = attention(a)
      const read = [query, key, value].reduce((sum, { at, used }) => sum + nodes * used + pending(a, at, used), 0)
      // the value's filling is multiplied too
      const filling = value.stride - value.used
      return { read: read + nodes * filling + given(a[value.at], 2 * filling), written: nodes * value.stride + given(a[26], 2 * nodes) }
    }
    case 'attendBackward':
      return attentionGradient(a, lanes)
    case 'lanes':
      return { read: 0, written: 1 }
    case 'clock':
      return { read: 0, written: 2 }
    case 'aggregate':
    case 'aggregateBackward':
    case 'edgeAttention':
    case 'edgeAttentionBackward':
    case 'edgeAttentionGradient':
      return onEdges(name, a)
    case 'reduceChunks': {
      const [, chunks, , , , count] = a
      return { read: chunks * count, written: count }
    }
    case 'dropout': {
      const [, , rows, channels, , , , stride, accumulate] = a
      return { read: 4 + rows * channels * (accumulate ? 2 : 1), written: rows * (accumulate ? channels : stride) }
    }
    default:
      throw new Error(`unknown command ${name satisfies never}`)
  }
}

/** The way back through attention: [query, key, value] have their targets at 29, 33 and 37. */
function attentionGradient(a: Int32Array, lanes: number): Touched {
  const { nodes, query, key, value } = attention(a)
  const [ofQuery, ofKey] = [a[29] !== none, a[33] !== none]
  const ofScores = ofQuery || ofKey
  let read = (ofScores ? 2 : 1) * nodes * value.stride + 2 * nodes
  let written = 0
  for (const [i, { at, stride, used }] of [query, key, value].entries()) {
    const target = 29 + 4 * i
    const isUsed = i < 2 || ofScores
    const gradient = gradientTarget(a, at, target, { count: nodes * stride, channels: stride, chunks: a[1] }, lanes, isUsed)
    read += gradient.read
    written += gradient.written
    if (!isUsed) continue
    // the scores need no filling; the other's gradient, and the way back through what is pending, do
    const isWanted = a[target] !== none
    const whole = (i === 0 && ofKey) || (i === 1 && ofQuery)
    const numbers = whole || (isWanted && cuts(a, at)) ? stride : used
    read += nodes * (isWanted && a[target + 2] !== none ? stride : numbers) + pending(a, at, numbers)
  }
  return { read, written }
}

/** A command on the edges of a graph; a node's numbers count once, however many neighbours read them. */
function onEdges(
  name: 'aggregate' | 'aggregateBackward' | 'edgeAttention' | 'edgeAttentionBackward' | 'edgeAttentionGradient',
  a: Int32Array,
): Touched {
  const [rows, columns, entries, , , , , , heads, each] = a
  const rest = a.subarray(10)
  const channels = heads * each
  const forth = rows + 1 + entries
  const back = columns + 1 + 2 * entries
  const ofEdges = entries * heads
  if (name === 'aggregate') {
    const [, weights, , , , stride, chosen] = rest
    return { read: forth + given(weights, ofEdges) + columns * channels, written: rows * stride + given(chosen, rows * channels) }
  }
  if (name === 'aggregateBackward') {
    const [kind, weights, , , , stride, accumulate, chosen] = rest
    const degrees = kind === 1 ? rows + 1 : 0
    const read = back + degrees + given(weights, ofEdges) + rows * channels + given(chosen, rows * channels)
    return { read: read + (accumulate ? columns * channels : 0), written: columns * (accumulate ? channels : stride) }
  }
  const [kind, , , left, right] = rest
  const lefts = given(left, kind === 1 ? heads : channels)
  const parameters = lefts + given(right, channels)
  const nodes = forth + rows * channels + parameters
  if (name === 'edgeAttention') return { read: nodes, written: ofEdges }
  if (name === 'edgeAttentionBackward') {
    const chosen = rest[9]
    return { read: nodes + ofEdges + rows * channels + given(chosen, rows * channels), written: ofEdges }
  }
  const [chunks, , dx, stride, accumulate] = rest.subarray(5)
  return {
    read: nodes + back + ofEdges + (accumulate ? given(dx, rows * channels) : 0),
    written: given(dx, rows * (accumulate ? channels : stride)) + chunks * parameters,
  }
}

/** An optimiser over its ranges: how many blocks of parameter size it reads and writes, and how many hyperparameters it takes. */
function update([ranges, ...list]: Int32Array, { numbers, read, written }: Touched & { readonly numbers: number }): Touched {
  let count = 0
  for (let range = 0; range < ranges; range++) count += list[4 * range + 1]
  return { read: read * count + numbers, written: written * count }
}
