// Options of one choice share weights as slices of one tensor: a smaller kernel is the middle of a larger one, fewer channels are the
// first of more (as in single-path and once-for-all supernets, arXiv 1904.02877 and 1908.09791; the papers on keyword spotting keep one
// set per option). Every step then trains every option a little, which a few thousand clips need: 18 options with weights of their own
// each see a step in 18. The master tensors and their Adam moments live here; a path's slices are copied to the store before a step.
import type { ParameterStore } from '@bitwright/engine'
import { type ParameterShape, parameterShapes } from '../network/parameters.ts'
import type { Network } from '../network/network.ts'
import { roleOf } from '../spaces/roles.ts'
import type { Space } from '../spaces/space.ts'

const [beta1, beta2, epsilon] = [0.9, 0.999, 1e-8]

/** One parameter of one option: which master numbers it consists of. */
interface Slice {
  readonly indices: Int32Array
  readonly decay: number
  readonly rate: number
}

export class SharedWeights {
  private readonly store: ParameterStore
  private readonly space: Space
  private readonly master = new Map<string, { readonly shape: number[]; offset: number }>()
  private readonly slices = new Map<string, Slice>()
  /** Every name at its largest, the largest last. */
  private readonly all: readonly ParameterShape[]
  private readonly values: Float32Array
  private readonly first: Float32Array
  private readonly second: Float32Array
  private readonly gradients: Float32Array
  private readonly touched: Uint8Array
  /** Slices whose gradients were collected since the last step. */
  private readonly collected = new Set<Slice>()
  private updates = 0

  /** `networks` together have every option at its largest; the store has all their parameters at their first values. */
  constructor(store: ParameterStore, space: Space, networks: readonly Network[]) {
    this.store = store
    this.space = space
    const shapes = new Map<string, ParameterShape>()
    for (const parameter of networks.flatMap((network) => parameterShapes(network))) {
      const known = shapes.get(parameter.name)
      if (!known || product(known.shape) < product(parameter.shape)) shapes.set(parameter.name, parameter)
      const key = masterName(space, parameter.name, parameter.shape.length)
      const tensor = this.master.get(key)
      if (tensor) parameter.shape.forEach((length, axis) => (tensor.shape[axis] = Math.max(tensor.shape[axis], length)))
      else this.master.set(key, { shape: [...parameter.shape], offset: 0 })
    }
    let size = 0
    for (const tensor of this.master.values()) {
      tensor.offset = size
      size += product(tensor.shape)
    }
    this.values = new Float32Array(size)
    this.first = new Float32Array(size)
    this.second = new Float32Array(size)
    this.gradients = new Float32Array(size)
    this.touched = new Uint8Array(size)
    this.all = [...shapes.values()].toSorted((left, right) => product(left.shape) - product(right.shape))
    for (const parameter of this.all) {
      const { indices } = this.slice(parameter)
      const initial = store.value(parameter.name)
      for (let i = 0; i < indices.length; i++) this.values[indices[i]] = initial[i]
    }
  }

  /** Where sizes are chosen, one name has several shapes. */
  private slice({ name, shape, kind }: ParameterShape): Slice {
    const key = `${name}/${shape}`
    let slice = this.slices.get(key)
    if (!slice) {
      const tensor = this.master.get(masterName(this.space, name, shape.length))!
      const { decay = 1, rate = 1 } = this.store.get(name)
      slice = { indices: sliceIndices(shape, tensor.shape, tensor.offset, kind === 'weight'), decay, rate }
      this.slices.set(key, slice)
    }
    return slice
  }

  /** Copies the slices of these parameters into the store. */
  load(parameters: Iterable<ParameterShape>): void {
    for (const parameter of parameters) {
      const { indices } = this.slice(parameter)
      const to = this.store.value(parameter.name)
      for (let i = 0; i < indices.length; i++) to[i] = this.values[indices[i]]
    }
  }

  /** All slices of all options, each at its largest. */
  loadAll(): void {
    this.load(this.all)
  }

  read(parameter: ParameterShape): Float32Array {
    return Float32Array.from(this.slice(parameter).indices, (index) => this.values[index])
  }

  /** Adds the store's gradients of these parameters to what the next step follows; false, and nothing is added, where they are no numbers. */
  collect(parameters: readonly ParameterShape[]): boolean {
    const { gradients, touched } = this
    const isSound = ({ name, shape }: ParameterShape) => {
      const gradient = this.store.gradient(name)
      let sum = 0
      for (let i = product(shape) - 1; i >= 0; i--) sum += gradient[i]
      return Number.isFinite(sum)
    }
    if (!parameters.every(isSound)) return false
    for (const parameter of parameters) {
      const slice = this.slice(parameter)
      const gradient = this.store.gradient(parameter.name)
      slice.indices.forEach((at, i) => {
        gradients[at] += gradient[i]
        touched[at] = 1
      })
      this.collected.add(slice)
    }
    return true
  }

  /** Forgets what was collected. */
  discard(): void {
    this.gradients.fill(0)
    this.touched.fill(0)
    this.collected.clear()
  }

  /** One AdamW step along the sum of what was collected. */
  apply(learningRate: number, weightDecay: number): void {
    this.updates++
    const c1 = 1 / (1 - beta1 ** this.updates)
    const c2 = 1 / (1 - beta2 ** this.updates)
    const { values, first, second, gradients, touched } = this
    for (const { indices, decay, rate } of this.collected) {
      const step = learningRate * rate
      const shrink = step * weightDecay * decay
      for (let i = 0; i < indices.length; i++) {
        const at = indices[i]
        // slices overlap: each number takes one step
        if (touched[at] === 0) continue
        const g = gradients[at]
        touched[at] = 0
        gradients[at] = 0
        const m = (first[at] += (1 - beta1) * (g - first[at]))
        const v = (second[at] += (1 - beta2) * (g * g - second[at]))
        values[at] -= shrink * values[at] + (step * m * c1) / (Math.sqrt(v * c2) + epsilon)
      }
    }
    this.collected.clear()
  }

  state(): { updates: number; values: Float32Array; first: Float32Array; second: Float32Array } {
    return { updates: this.updates, values: this.values.slice(), first: this.first.slice(), second: this.second.slice() }
  }

  restore(state: ReturnType<SharedWeights['state']>): void {
    this.updates = state.updates
    this.values.set(state.values)
    this.first.set(state.first)
    this.second.set(state.second)
  }
}

const product = (shape: readonly number[]): number => shape.reduce((size, length) => size * length, 1)

/** The same for all options of a choice. Layers of another kind have another rank. */
const masterName = (space: Space, name: string, rank: number): string => `${roleOf(space, name)}/${rank}`

/** Positions in a master tensor of a slice: kernel axes (the first two of a weight of rank 3 or 4) from the middle, others from the start. */
export function sliceIndices(shape: readonly number[], master: readonly number[], offset: number, isWeight: boolean): Int32Array {
  const kernelAxes = isWeight && shape.length >= 3 ? 2 : 0
  const starts = shape.map((length, axis) => (axis < kernelAxes ? (master[axis] - length) >> 1 : 0))
  const indices = new Int32Array(product(shape))
  for (let i = 0; i < indices.length; i++) {
    let rest = i
    let at = 0
    let stride = 1
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += ((rest % shape[axis]) + starts[axis]) * stride
      rest = Math.floor(rest / shape[axis])
      stride *= master[axis]
    }
    indices[i] = offset + at
  }
  return indices
}
