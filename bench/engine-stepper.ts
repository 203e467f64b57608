// A training step of this engine: what training/trainer.ts does per batch, without filling the batch.
import { crossEntropy, Engine, openBackend, optimizer, Random, Tape } from '../packages/engine/src/index.ts'
import type { Network } from '../packages/bitwright/src/network/index.ts'
import { parameterShapes } from '../packages/bitwright/src/network/parameters.ts'
import { ActivationStatistics } from '../packages/bitwright/src/quantizers/index.ts'
import { createStore } from '../packages/bitwright/src/training/initialize.ts'
import { Quantization } from '../packages/bitwright/src/training/quantization.ts'
import { Recorder } from '../packages/bitwright/src/training/record.ts'
import { batch, type Stepper } from './train-step.ts'

export async function openEngineStepper(kind: 'native' | 'wasm', network: Network, quantized: boolean, threads: number): Promise<Stepper> {
  const backend = await openBackend({ backend: kind, threads })
  const engine = new Engine(backend)
  const store = createStore(engine, [network], 0)
  const quantization = quantized
    ? new Quantization(store, network, { weightBits: 8, activationBits: 8, granularity: 'channel' })
    : undefined
  const tape = new Tape(engine, { batch, mode: 'train' })
  const momentum = tape.allocate(1)
  const recorder = new Recorder(tape, { store, momentum, quantized: quantization })
  const { input, logits } = recorder.network(network)
  const loss = crossEntropy(tape, logits, { smoothing: 0.1 })
  tape.backward()
  const learned = new Set(parameterShapes(network).map(({ name }) => name))
  const update = optimizer(
    tape,
    'adam',
    store,
    [...store.all()].filter(({ name }) => learned.has(name)),
  )
  const whole = tape.program()
  const generate = tape.program(['generate'])
  const pass = tape.program(['pack', 'forward', 'backward'])
  const finish = tape.program(['finish', 'update'])

  const random = new Random(0, 'bench')
  engine.floats(momentum, 1)[0] = 0.1
  const audio = engine.floats(input.offset, batch * input.height * input.rowStride)
  for (let i = 0; i < audio.length; i++) audio[i] = random.uniform(-1, 1)
  engine.integers(loss.labels, batch).forEach((_, i, labels) => (labels[i] = i % network.classes.length))
  if (quantization) {
    // normalised values: steps as for a standard normal distribution
    const statistics = new ActivationStatistics()
    statistics.observe(Array.from({ length: 4096 }, () => random.normal()))
    for (const { id } of network.nodes) quantization.activationQuantizer(id)?.initialize(statistics)
    backend.run(generate)
    quantization.initializeWeights(recorder.sources)
  }
  let updates = 0
  const step = (): void => {
    updates++
    update.set({ learningRate: 1e-4, weightDecay: 0, momentum: 0.9, beta2: 0.999, epsilon: 1e-8, step: updates })
    if (quantization) {
      backend.run(generate)
      quantization.prepare(recorder.sources)
      backend.run(pass)
      quantization.update(recorder.sources, 1, 0)
      backend.run(finish)
    } else {
      backend.run(whole)
    }
  }
  return {
    engine: backend.description.replace(/, \d+ threads?/, ''),
    steps: async (count) => {
      const times = Array.from({ length: count }, () => {
        const start = performance.now()
        step()
        return performance.now() - start
      })
      if (!Number.isFinite(loss.read().loss)) throw new Error(`${kind}: the loss of ${network.name} is ${loss.read().loss}`)
      return times
    },
    close: () => backend.close(),
  }
}
