// SGD with Nesterov momentum and AdamW over several steps against their definitions in float64 (as PyTorch writes them).
import { describe, expect, test } from 'vitest'
import { onEveryBackend } from '../conformance/backends.ts'
import { relativeError, same } from '../conformance/compare.ts'
import { Numbers } from '../conformance/program.ts'
import { guardedEngine } from '../conformance/tape-run.ts'
import { float } from '../commands.ts'
import { type ParameterShape, ParameterStore } from '../parameters.ts'
import { Tape } from '../tape.ts'
import { type Hyperparameters, optimizer, type OptimizerName, parameterRanges } from './optimizers.ts'

const shapes: ParameterShape[] = [
  { name: 'a', size: 37 },
  { name: 'b', size: 1, decay: 0 },
  { name: 'frozen', size: 20 },
  { name: 'c', size: 64, rate: 0.1 },
  { name: 'd', size: 5, rate: 3, decay: 0.5 },
]
const trained = ['a', 'b', 'c', 'd']

/** torch.optim.SGD(nesterov=True) and torch.optim.AdamW, one parameter, one step. */
function step(
  name: OptimizerName,
  p: Float64Array,
  g: Float32Array,
  m: Float64Array,
  v: Float64Array,
  h: Hyperparameters,
  rate = 1,
  decay = 1,
): void {
  const learningRate = h.learningRate * rate
  const weightDecay = h.weightDecay * decay
  for (let i = 0; i < p.length; i++) {
    if (name === 'sgd') {
      const d = g[i] + weightDecay * p[i]
      m[i] = h.momentum * m[i] + d
      p[i] -= learningRate * (d + h.momentum * m[i])
    } else {
      p[i] *= 1 - learningRate * weightDecay
      m[i] = h.momentum * m[i] + (1 - h.momentum) * g[i]
      v[i] = h.beta2 * v[i] + (1 - h.beta2) * g[i] ** 2
      p[i] -= (learningRate * (m[i] / (1 - h.momentum ** h.step))) / (Math.sqrt(v[i] / (1 - h.beta2 ** h.step)) + h.epsilon)
    }
  }
}

const settings: [string, OptimizerName, Omit<Hyperparameters, 'step'>][] = [
  ['SGD', 'sgd', { learningRate: 0.05, weightDecay: 5e-3, momentum: 0.9, beta2: 0, epsilon: 0 }],
  ['SGD without momentum', 'sgd', { learningRate: 0.2, weightDecay: 0, momentum: 0, beta2: 0, epsilon: 0 }],
  ['AdamW', 'adam', { learningRate: 0.02, weightDecay: 0.1, momentum: 0.9, beta2: 0.999, epsilon: 1e-8 }],
  ['AdamW with beta1 = 0', 'adam', { learningRate: 0.02, weightDecay: 0, momentum: 0, beta2: 0.99, epsilon: 1e-3 }],
]

onEveryBackend((backend) => {
  test.each(settings)('%s over 12 steps', (_, name, hyperparameters) => {
    const { engine, check } = guardedEngine(backend())
    const store = new ParameterStore(engine, shapes)
    const numbers = new Numbers(1)
    const state = new Map(
      shapes.map((shape) => {
        const first = numbers.normal(shape.name, shape.size)
        store.value(shape.name).set(first)
        return [shape.name, { p: Float64Array.from(first), m: new Float64Array(shape.size), v: new Float64Array(shape.size) }]
      }),
    )
    const tape = new Tape(engine, { batch: 1, mode: 'train' })
    const update = optimizer(
      tape,
      name,
      store,
      trained.map((parameter) => store.get(parameter)),
    )
    const program = tape.program(['update'])
    for (let i = 1; i <= 12; i++) {
      const now = { ...hyperparameters, learningRate: hyperparameters.learningRate / i, step: i }
      for (const { name: parameter, size, rate, decay } of shapes) {
        const g = numbers.normal(`gradient ${parameter} ${i}`, size)
        store.gradient(parameter).set(g)
        const own = state.get(parameter)!
        if (trained.includes(parameter)) step(name, own.p, g, own.m, own.v, now, rate, decay)
      }
      update.set(now)
      engine.backend.run(program)
    }
    for (const parameter of trained) expect(relativeError(store.value(parameter), state.get(parameter)!.p, 1), parameter).toBeLessThan(3e-6)
    expect(same(store.value('frozen'), numbers.normal('frozen', 20))).toBe(true)
    const padding = engine.floats(store.values, store.size)
    const inUse = new Set(
      shapes.flatMap(({ name: parameter, size }) => Array.from({ length: size }, (_, k) => store.get(parameter).position + k)),
    )
    expect(padding.every((value, k) => inUse.has(k) || value === 0)).toBe(true)
    check()
    tape.dispose()
    store.dispose()
  })
})

const at = (name: string, position: number, size: number, rate?: number, decay?: number) => ({ name, position, size, rate, decay })

describe('parameterRanges', () => {
  test('neighbours with equal factors become one range, whatever the order', () => {
    expect(parameterRanges([at('c', 48, 3), at('a', 0, 20), at('b', 32, 16)])).toEqual([1, 0, 51, float(1), float(1)])
  })

  test('a gap or another factor starts a new one', () => {
    expect(parameterRanges([at('a', 0, 16), at('b', 32, 4), at('c', 48, 4, 0.5), at('d', 64, 4, 0.5, 0)])).toEqual([
      4,
      0,
      16,
      float(1),
      float(1),
      32,
      4,
      float(1),
      float(1),
      48,
      4,
      float(0.5),
      float(1),
      64,
      4,
      float(0.5),
      float(0),
    ])
  })
})
