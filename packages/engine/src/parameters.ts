// Parameters under stable names in one block of the heap, with gradients and optimiser moments beside them. Networks that use the
// same names share weights; nothing else is needed for a supernet (architecture, decision 2).
import { align, type Engine } from './engine.ts'

export interface ParameterShape {
  readonly name: string
  readonly size: number
  /** Factor on the learning rate and on the weight decay; default 1. */
  readonly rate?: number
  readonly decay?: number
}

export interface Parameter extends ParameterShape {
  /** Position in the block, in floats. */
  readonly position: number
}

/** The store's blocks are laid out alike: values, gradients, first moments, second moments. */
export class ParameterStore {
  readonly engine: Engine
  readonly size: number
  readonly values: number
  readonly gradients: number
  readonly first: number
  readonly second: number
  private readonly byName = new Map<string, Parameter>()

  constructor(engine: Engine, shapes: readonly ParameterShape[]) {
    this.engine = engine
    let position = 0
    for (const shape of shapes) {
      if (this.byName.has(shape.name)) throw new Error(`parameter '${shape.name}' is declared twice`)
      this.byName.set(shape.name, { ...shape, position })
      position += align(shape.size)
    }
    this.size = Math.max(position, 1)
    this.values = engine.heap.allocate(this.size)
    this.gradients = engine.heap.allocate(this.size)
    this.first = engine.heap.allocate(this.size)
    this.second = engine.heap.allocate(this.size)
    for (const block of [this.values, this.gradients, this.first, this.second]) engine.floats(block, this.size).fill(0)
  }

  has(name: string): boolean {
    return this.byName.has(name)
  }

  get(name: string): Parameter {
    const parameter = this.byName.get(name)
    if (!parameter) throw new Error(`there is no parameter '${name}'`)
    return parameter
  }

  all(): Iterable<Parameter> {
    return this.byName.values()
  }

  value(name: string): Float32Array {
    const { position, size } = this.get(name)
    return this.engine.floats(this.values + position, size)
  }

  gradient(name: string): Float32Array {
    const { position, size } = this.get(name)
    return this.engine.floats(this.gradients + position, size)
  }

  /** Everything that a resumed run needs: values and both moments, in one copy. */
  snapshot(): Float32Array {
    const copy = new Float32Array(this.size * 3)
    ;[this.values, this.first, this.second].forEach((block, i) => copy.set(this.engine.floats(block, this.size), i * this.size))
    return copy
  }

  restore(copy: Float32Array): void {
    if (copy.length !== this.size * 3) throw new Error(`parameters: a snapshot of ${copy.length} floats does not fit ${this.size * 3}`)
    ;[this.values, this.first, this.second].forEach((block, i) =>
      this.engine.floats(block, this.size).set(copy.subarray(i * this.size, (i + 1) * this.size)),
    )
  }

  dispose(): void {
    for (const block of [this.values, this.gradients, this.first, this.second]) this.engine.heap.release(block)
  }
}
