// A training step of this engine: what training/trainer.ts does per batch, without filling the batch. As a program it answers the requests
// of stepper.ts.
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import { createInterface } from 'node:readline'
import {
  BackendError,
  crossEntropy,
  Engine,
  openBackend,
  optimizer,
  type ParameterStore,
  Random,
  type Stored,
  Tape,
} from '../packages/engine/src/index.ts'
import { type Network, parameterShapes, weightedNodes } from '../packages/bitwright/src/network/index.ts'
import { ActivationStatistics } from '../packages/bitwright/src/quantizers/index.ts'
import { createStore } from '../packages/bitwright/src/training/initialize.ts'
import { Quantization } from '../packages/bitwright/src/training/quantization.ts'
import { Recorder } from '../packages/bitwright/src/training/record.ts'
import { type FirstStep, type Opened, openStepper, type Request, type Start } from './stepper.ts'

export function openEngineStepper(request: Request & { readonly setting: 'native' | 'wasm' }) {
  return openStepper([process.execPath, ...process.execArgv, import.meta.filename], request)
}

/** Audio and features between -1 and 1, or pixels; channels that only fill up a row stay 0. */
function fillInput(engine: Engine, input: Stored, { frontEnd }: Network): Float32Array {
  const random = new Random(0, 'bench')
  const { stride, channels, batch, height, width } = input
  const stored = engine.floats(input.offset, batch * height * width * stride)
  const dense = Float32Array.from({ length: batch * height * width * channels }, () =>
    frontEnd.kind === 'image' ? (random.integer(256) - 128) / 128 : random.uniform(-1, 1),
  )
  dense.forEach((value, i) => (stored[Math.floor(i / channels) * stride + (i % channels)] = value))
  return dense
}

const length = (vectors: Iterable<ArrayLike<number>>): number => {
  let squares = 0
  for (const vector of vectors) for (let i = 0; i < vector.length; i++) squares += vector[i] ** 2
  return Math.sqrt(squares)
}

/** Gradient of the learned steps after the first update: ten times Adam's first moments, which are every other entry at the end of the state. */
function stepGradient(quantization: Quantization, network: Network): number {
  const activations = network.nodes.flatMap(({ id }) => [false, true].filter((narrowed) => quantization.activationQuantizer(id, narrowed)))
  const moments = quantization.state().slice(1 + weightedNodes(network).length + activations.length)
  return 10 * length(moments.filter((_, i) => i % 2 === 0))
}

function writeStart(file: string, input: Float32Array, store: ParameterStore, network: Network, quantization?: Quantization) {
  const places: Record<string, [number, number]> = {}
  const to = openSync(file, 'w')
  let at = 0
  const put = (name: string, values: Float32Array | undefined): void => {
    if (!values) return
    places[name] = [at, values.length]
    writeSync(to, new Uint8Array(values.slice().buffer))
    at += values.length
  }
  put('input', input)
  for (const { name } of parameterShapes(network)) put(name, store.value(name))
  for (const { id } of quantization ? network.nodes : []) {
    for (const narrowed of [false, true]) {
      put(`${narrowed ? 'narrowed' : 'value'} ${id}`, quantization!.activationQuantizer(id, narrowed)?.parameters()[0].values)
    }
  }
  for (const { id } of quantization ? weightedNodes(network) : [])
    put(`weights ${id}`, quantization!.weightQuantizer(id).parameters()[0]?.values)
  closeSync(to)
  return places satisfies Start['places']
}

async function train(request: Request): Promise<Opened & { step(): void; check(): void }> {
  const { network, batch, bits, setting, threads } = request
  const backend = await openBackend({ backend: setting as 'native' | 'wasm', threads })
  const engine = new Engine(backend)
  const store = createStore(engine, [network], 0)
  const quantization = request.quantized
    ? new Quantization(store, network, { weightBits: bits, activationBits: bits, granularity: 'channel' })
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

  engine.floats(momentum, 1)[0] = 0.1
  const values = fillInput(engine, input, network)
  engine.integers(loss.labels, batch).forEach((_, i, labels) => (labels[i] = i % network.classes.length))
  if (quantization) {
    // normalised values: steps as for a standard normal distribution
    const random = new Random(0, 'bench statistics')
    const statistics = new ActivationStatistics()
    statistics.observe(Array.from({ length: 4096 }, () => random.normal()))
    for (const { id } of network.nodes)
      for (const narrowed of [false, true]) quantization.activationQuantizer(id, narrowed)?.initialize(statistics)
    backend.run(generate)
    quantization.initializeWeights(recorder.sources)
  }
  const places = request.writeStart === undefined ? undefined : writeStart(request.writeStart, values, store, network, quantization)
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
  step()
  const first: FirstStep = {
    loss: loss.read().loss,
    gradient: length([...learned].map((name) => store.gradient(name))),
    stepGradient: quantization ? stepGradient(quantization, network) : 0,
  }
  return {
    engine: backend.description.replace(/, \d+ threads?/, ''),
    ...first,
    ...(places ? { places } : {}),
    step,
    check: () => {
      if (!Number.isFinite(loss.read().loss)) throw new Error(`${setting}: the loss of ${network.name} is ${loss.read().loss}`)
    },
  }
}

/** Most memory of this process that was ever resident, in 2^20 bytes. */
function peakMemoryMb(): number {
  try {
    return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))![1]) / 1024
  } catch {
    return process.resourceUsage().maxRSS / 1024
  }
}

async function serve(): Promise<void> {
  const answer = (value: unknown): void => {
    process.stdout.write(`${JSON.stringify(value)}\n`)
  }
  let training: Awaited<ReturnType<typeof train>> | undefined
  for await (const line of createInterface({ input: process.stdin })) {
    const question = JSON.parse(line)
    if (question === 'memory') {
      answer(peakMemoryMb())
    } else if (typeof question === 'number') {
      const times = Array.from({ length: question }, () => {
        const start = performance.now()
        training!.step()
        return performance.now() - start
      })
      training!.check()
      answer(times)
    } else {
      try {
        training = await train(question)
        answer(training)
      } catch (error) {
        if (!(error instanceof BackendError)) throw error
        answer({ missing: error.message })
      }
    }
  }
  process.exit(0)
}

if (process.argv[1] === import.meta.filename) await serve()
