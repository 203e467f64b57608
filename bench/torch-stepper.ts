// A training step of PyTorch: a Python process that trains on request (torch/train_step.py).
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { openStepper, type Request } from './stepper.ts'

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

export function openTorchStepper(request: Request & { readonly setting: (typeof torchSettings)[number] }) {
  return openStepper([python, join(import.meta.dirname, 'torch/train_step.py')], request, {
    OMP_NUM_THREADS: String(request.threads),
    ...(request.setting === 'usual' ? {} : keepMemory),
  })
}
