// An engine that trains on request, alone in a process of its own, so that its memory can be told from everybody else's. Parent and child
// exchange lines of JSON: the request, answered by the engine's name and its first step; numbers of further steps, answered by the
// milliseconds of each; `memory`, answered by a size.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { RunError } from '../packages/bitwright/src/errors.ts'
import type { Network, Shape, ValueStorage } from '../packages/bitwright/src/network/index.ts'

/** What is quantized, by node id; values and narrowed inputs with a learned step each. */
export interface QuantizedParts {
  readonly weightBits: Readonly<Record<string, number>>
  readonly values: Readonly<Record<string, ValueStorage>>
  readonly narrowed: Readonly<Record<string, ValueStorage>>
}

/** Where to find the first values of everything, so that all engines take the same first step. */
export interface Start {
  /** Raw float32 numbers. */
  readonly file: string
  /**
   * Place and count of `input` ([batch][height][width][channels]), of parameters by name (network/parameters.ts), and of the steps
   * `value ID`, `narrowed ID` and `weights ID`.
   */
  readonly places: Readonly<Record<string, readonly [number, number]>>
}

export interface Request {
  readonly network: Network
  readonly shapes: Readonly<Record<string, Shape>>
  readonly quantized: QuantizedParts | null
  readonly bits: number
  readonly batch: number
  readonly threads: number
  /** Of the engine: a backend, or PyTorch's (torch/train_step.py). */
  readonly setting: string
  /** The engine writes what it starts from to this file. */
  readonly writeStart?: string
  readonly start?: Start
}

/** What engines must agree about. */
export interface FirstStep {
  readonly loss: number
  /** Euclidean length of the gradient of all parameters, and of all learned quantization steps. */
  readonly gradient: number
  readonly stepGradient: number
}

export interface Opened extends FirstStep {
  readonly engine: string
  readonly places?: Start['places']
}

export interface Stepper extends Opened {
  /** Runs steps; milliseconds of each. */
  steps(count: number): Promise<number[]>
  /** Most memory that was ever resident, in 2^20 bytes. */
  peakMemoryMb(): Promise<number>
  close(): void
}

/** Starts the child; `{ missing }` where it says that its engine cannot be had here. */
export async function openStepper(
  command: readonly string[],
  request: Request,
  environment: Readonly<Record<string, string>> = {},
): Promise<Stepper | { readonly missing: string }> {
  const child = spawn(command[0], command.slice(1), { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, ...environment } })
  // a child that ended is noticed by its missing answer
  child.stdin.on('error', () => {})
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const ask = async (question: unknown) => {
    child.stdin.write(`${JSON.stringify(question)}\n`)
    const { value, done } = await lines.next()
    if (done) throw new RunError(`${request.setting} ended early with ${request.network.name}; its message is above`)
    return JSON.parse(value)
  }
  const opened: Opened | { missing: string } = await ask(request)
  if ('missing' in opened) {
    child.stdin.end()
    return opened
  }
  return { ...opened, steps: ask, peakMemoryMb: () => ask('memory'), close: () => child.stdin.end() }
}
