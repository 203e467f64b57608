// SGD with Nesterov momentum and Adam(W) over ranges of a parameter store.
import { float } from '../commands.ts'
import type { Parameter, ParameterStore } from '../parameters.ts'
import type { Tape } from '../tape.ts'

/** What changes from step to step, in the heap so that a recorded program need not change. */
export interface Hyperparameters {
  learningRate: number
  weightDecay: number
  /** SGD: momentum; Adam: beta1. */
  momentum: number
  beta2: number
  epsilon: number
  /** Adam: number of this update, from 1. */
  step: number
}

export type OptimizerName = 'sgd' | 'adam'

export interface Optimizer {
  set(values: Hyperparameters): void
}

/** Neighbouring parameters with the same factors become one range. Padding between them is updated too: it is zero and stays zero. */
export function parameterRanges(parameters: readonly Parameter[]): number[] {
  const ranges: { start: number; end: number; rate: number; decay: number }[] = []
  for (const parameter of parameters.toSorted((a, b) => a.position - b.position)) {
    const rate = parameter.rate ?? 1
    const decay = parameter.decay ?? 1
    const last = ranges.at(-1)
    const end = parameter.position + parameter.size
    if (last && last.rate === rate && last.decay === decay && parameter.position - last.end < 16) last.end = end
    else ranges.push({ start: parameter.position, end, rate, decay })
  }
  return [ranges.length, ...ranges.flatMap(({ start, end, rate, decay }) => [start, end - start, float(rate), float(decay)])]
}

/** Appends the update of `parameters` to the tape's `update` segment. */
export function optimizer(tape: Tape, name: OptimizerName, store: ParameterStore, parameters: readonly Parameter[]): Optimizer {
  const slot = tape.allocate(6)
  const ranges = parameterRanges(parameters)
  if (name === 'sgd') tape.emit('update', 'sgd', [store.values, store.gradients, store.first, slot, ...ranges])
  else tape.emit('update', 'adam', [store.values, store.gradients, store.first, store.second, slot, ...ranges])
  const { engine } = tape
  return {
    set: (values) =>
      engine.floats(slot, 6).set([values.learningRate, values.weightDecay, values.momentum, values.beta2, values.epsilon, values.step]),
  }
}
