// What search, train and quickstart do around a study: progress, Ctrl-C, the result and the exit code.
import type { EpochsSpec, Hooks, RunResult } from '../study/api.ts'
import { watchInterrupt } from './interrupt.ts'
import { createProgress } from './progress.ts'
import { resultSummary } from './score-tables.ts'
import { printJson } from './verb.ts'

/** Exit code of a run that Ctrl-C stopped after its checkpoint: 128 + SIGINT. */
export const interruptedExitCode = 130

/** Runs a study, prints its result on stdout (progress goes to stderr) and sets the exit code. */
export async function runStudy(
  study: (hooks: Hooks) => Promise<RunResult>,
  spec: { readonly epochs: EpochsSpec; readonly command: string },
  json: boolean,
): Promise<RunResult> {
  const progress = createProgress(process.stderr, spec.epochs)
  const interrupt = watchInterrupt(progress.say)
  try {
    const result = await study({
      onNotice: progress.say,
      onEvent: progress.onEvent,
      onProgress: progress.onProgress,
      shouldStop: interrupt.requested,
    })
    progress.finish()
    if (json) printJson(result)
    if (result.status === 'interrupted') {
      process.exitCode = interruptedExitCode
      process.stderr.write(`interrupted; the checkpoint is in ${result.directory}. Go on with:\n  ${spec.command} --resume\n`)
    } else if (!json) process.stdout.write(`\n${resultSummary(result)}`)
    return result
  } finally {
    progress.finish()
    interrupt.stopWatching()
  }
}
