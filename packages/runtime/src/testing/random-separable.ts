// Seeded random mobile networks for the tests: depthwise and pointwise layers in turn, of which most can be run in place.

import type { IntegerConvolution, IntegerLayer, IntegerModel, IntegerTensor } from '../model.ts'
import { type Draw, pick, randomTensor, randomWeights } from './random-model.ts'

/**
 * Depthwise and pointwise layers in turn on maps of an image, as mobile networks have them. Of 8 bits, where most can be run in place, or
 * `mixed`: of all containers, and with more channels from layer to layer or fewer.
 */
export function randomSeparable(draw: Draw, mixed = false): IntegerModel {
  const size = [1 + draw(9), 1 + draw(9)] as const
  const tensor = (name: string, [height, width, channels]: readonly [number, number, number]): IntegerTensor => {
    const shape = [height, width, channels] as const
    const narrow = draw(3) > 0 ? randomTensor(draw, name, shape) : undefined
    if (narrow) return mixed || narrow.containerBits === 8 || draw(3) === 0 ? narrow : { ...narrow, containerBits: 8 }
    const zeroPoint = pick(draw, [-128, -128, 0, -3])
    return { name, shape, containerBits: 8, bits: 8, scale: 0.5, zeroPoint, min: -128, max: 127 }
  }
  const channels = 1 + draw(4)
  const input = { ...tensor('input', [...size, channels]), containerBits: 8, bits: 8, min: -128, max: 127 } as const
  const tensors: IntegerTensor[] = [{ ...input, zeroPoint: draw(300) - 150 }]
  const layers: IntegerLayer[] = []
  const add = (y: IntegerTensor, shape: Pick<IntegerConvolution, 'kernelSize' | 'groups' | 'stride' | 'padding'>): void => {
    const from = tensors.length - 1
    tensors.push(y)
    layers.push({
      op: 'convolution',
      name: y.name,
      input: from,
      output: from + 1,
      ...shape,
      ...randomWeights(draw, tensors[from], y, shape),
    })
  }
  const plain = { kernelSize: [1, 1], stride: [1, 1], padding: [0, 0, 0, 0], groups: 1 } as const
  add(tensor('expand', [...size, pick(draw, [3, 16, 20, 33])]), plain)
  for (let i = 0, count = 1 + draw(3); i < count; i++) {
    const [height, width, wide] = tensors[tensors.length - 1].shape
    const [kernelSize, padding] = pick(draw, [
      [
        [3, 3],
        [1, 1, 1, 1],
      ],
      [
        [3, 3],
        [1, 1, 1, 1],
      ],
      [
        [5, 3],
        [2, 2, 1, 1],
      ],
      [
        [2, 4],
        [0, 1, 2, 1],
      ],
    ] as const)
    const stride = [1 + (draw(4) === 0 ? 1 : 0), 1 + (draw(4) === 0 ? 1 : 0)] as const
    const rows = Math.floor((height + padding[0] + padding[1] - kernelSize[0]) / stride[0]) + 1
    const columns = Math.floor((width + padding[2] + padding[3] - kernelSize[1]) / stride[1]) + 1
    add(tensor(`depthwise ${i}`, [rows, columns, wide]), { kernelSize, stride, padding, groups: wide })
    add(tensor(`pointwise ${i}`, [rows, columns, Math.max(1, wide - draw(5) + (mixed ? draw(9) : 0))]), plain)
  }
  const [height, width] = tensors[tensors.length - 1].shape
  const logits = {
    name: 'logits',
    shape: [1, 1, 3],
    containerBits: 16,
    bits: 16,
    scale: 0.0625,
    zeroPoint: 0,
    min: -32768,
    max: 32767,
  } as const
  add(logits, { ...plain, kernelSize: [height, width] })
  const frontEnd = { kind: 'image', height: size[0], width: size[1], channels } as const
  return { name: 'separable', classes: ['a', 'b', 'c'], frontEnd, tensors, layers }
}
