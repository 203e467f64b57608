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
  private readonly slices = new Map<string, Slice>()
  private readonly values: Float32Array
  private readonly first: Float32Array
  private readonly second: Float32Array
  private updates = 0

  /** `networks` together have every option; the store has all their parameters at their first values. */
  constructor(store: ParameterStore, space: Space, networks: readonly Network[]) {
    this.store = store
    const shapes = new Map<string, ParameterShape>(
      networks.flatMap((network) => parameterShapes(network).map((shape) => [shape.name, shape])),
    )
    const master = new Map<string, { shape: number[]; offset: number }>()
    for (const { name, shape } of shapes.values()) {
      const key = masterName(space, name, shape.length)
      const known = master.get(key)
      if (known) shape.forEach((length, axis) => (known.shape[axis] = Math.max(known.shape[axis], length)))
      else master.set(key, { shape: [...shape], offset: 0 })
    }
    let size = 0
    for (const tensor of master.values()) {
      tensor.offset = size
      size += product(tensor.shape)
    }
    this.values = new Float32Array(size)
    this.first = new Float32Array(size)
    this.second = new Float32Array(size)
    for (const { name, shape, kind } of [...shapes.values()].toSorted((a, b) => product(a.shape) - product(b.shape))) {
      const tensor = master.get(masterName(space, name, shape.length))!
      const indices = sliceIndices(shape, tensor.shape, tensor.offset, kind === 'weight')
      this.slices.set(name, { indices, decay: store.get(name).decay ?? 1, rate: store.get(name).rate ?? 1 })
      const initial = store.value(name)
      for (let i = 0; i < indices.length; i++) this.values[indices[i]] = initial[i]
    }
  }

  /** Copies the slices of these parameters into the store. */
  load(names: Iterable<string>): void {
    for (const name of names) {
      const { indices } = this.slices.get(name)!
      const to = this.store.value(name)
      for (let i = 0; i < indices.length; i++) to[i] = this.values[indices[i]]
    }
  }

  /** All slices of all options. */
  loadAll(): void {
    this.load(this.slices.keys())
  }

  /** One AdamW step on the slices of these parameters, from the store's gradients. */
  update(names: Iterable<string>, learningRate: number, weightDecay: number): void {
    this.updates++
    const c1 = 1 / (1 - beta1 ** this.updates)
    const c2 = 1 / (1 - beta2 ** this.updates)
    const { values, first, second } = this
    for (const name of names) {
      const { indices, decay, rate } = this.slices.get(name)!
      const gradient = this.store.gradient(name)
      const step = learningRate * rate
      const shrink = step * weightDecay * decay
      for (let i = 0; i < indices.length; i++) {
        const at = indices[i]
        const g = gradient[i]
        const m = (first[at] += (1 - beta1) * (g - first[at]))
        const v = (second[at] += (1 - beta2) * (g * g - second[at]))
        values[at] -= shrink * values[at] + (step * m * c1) / (Math.sqrt(v * c2) + epsilon)
      }
    }
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
