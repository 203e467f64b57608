// A training step of PyTorch: a Python process that trains on request (torch/train_step.py).
import { execFileSync, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { batch, type describe, type Stepper } from './train-step.ts'

const python = process.env.PYTHON ?? 'python3'

/** Why PyTorch cannot be measured here, or undefined. */
export function torchMissing(): string | undefined {
  try {
    execFileSync(python, ['-c', 'import torch'], { stdio: ['ignore', 'ignore', 'pipe'] })
    return undefined
  } catch (error) {
    const lines = String((error as { stderr?: Buffer }).stderr ?? '')
      .trim()
      .split('\n')
    return `${python}: ${lines.at(-1) || (error as Error).message} (set PYTHON to an interpreter that has torch)`
  }
}

/** glibc keeps freed blocks below these sizes instead of returning them to the system: worth up to a third of a step. */
const keepMemory = { MALLOC_MMAP_THRESHOLD_: '1073741824', MALLOC_TRIM_THRESHOLD_: '4294967295' }

/** See torch/train_step.py. */
export const torchSettings = ['usual', 'tuned', 'channels_last'] as const

export async function openTorchStepper(
  setting: (typeof torchSettings)[number],
  work: ReturnType<typeof describe>,
  threads: number,
): Promise<Stepper> {
  const child = spawn(python, [join(import.meta.dirname, 'torch/train_step.py')], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, OMP_NUM_THREADS: String(threads), ...(setting === 'usual' ? {} : keepMemory) },
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const ask = async (line: string) => {
    child.stdin.write(`${line}\n`)
    const { value, done } = await lines.next()
    if (done) throw new Error(`PyTorch (${setting}) ended early with ${work.network.name}; its message is above`)
    return JSON.parse(value)
  }
  const { version } = await ask(JSON.stringify({ ...work, batch, threads, setting }))
  return {
    engine: `PyTorch ${version}, ${setting}`,
    steps: (count) => ask(String(count)),
    close: () => child.stdin.end(),
  }
}
