// `bitwright quickstart` (npm start): speech synthesised from text, then search, training, quantization and evaluation on it.
import { existsSync, rmSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import type { Command } from 'commander'
import type { EpochsSpec, SearchSpec } from '../study/api.ts'
import { verb } from './verb.ts'

/** Everything that decides how long the quickstart takes (at most five minutes on two cores) and how good its model gets. */
export const quickstart = {
  words: ['yes', 'no', 'stop', 'go'],
  clipsPerWord: 120,
  seed: 0,
  space: 'kws-e2e',
  filters: 40,
  epochs: { warmup: 3, search: 6, train: 16, quantize: 8 } satisfies EpochsSpec,
  batchSize: 64,
  budget: { flashBytes: 48 * 1024, ramBytes: 64 * 1024, macs: 8_000_000 },
} as const

export function command(): Command {
  return verb('quickstart', 'All of it on a small synthesised set, within five minutes.')
    .option('--out <DIR>', 'folder for the clips (data) and the run (run)', 'runs/quickstart')
    .option('--threads <N>', 'the result does not depend on it (default: all cores)')
    .option('--backend <NAME>', 'auto, native (needs a C compiler) or wasm', 'auto')
    .option('--json', 'print the result as one JSON document')
    .action(async (options: Record<string, unknown>) => {
      const { z } = await import('zod')
      const fields = await import('./fields.ts')
      const { out, threads, backend, json } = fields.validate(
        z.object({
          out: fields.path('a folder').default('runs/quickstart'),
          threads: fields.integer(1, 256).default(availableParallelism),
          backend: fields.choice(['auto', 'native', 'wasm']).default('auto'),
          json: fields.present(),
        }),
        options,
      )
      const data = join(out, 'data')
      const { words, clipsPerWord, seed } = quickstart
      if (!existsSync(data)) {
        const { synthesize } = await import('./synthesize.ts')
        const { clips, voices } = await synthesize({ words, directory: data, clipsPerWord, seed, processes: threads })
        process.stderr.write(`${clips} clips by ${voices} synthesised voices in ${data}\n`)
      }
      const run = join(out, 'run')
      const spec: SearchSpec = { ...quickstartSpec(data, run, threads, backend), resume: await makeRoom(run) }
      const { searchStudy } = await import('../study/run.ts')
      const { runStudy } = await import('./run-study.ts')
      await runStudy((hooks) => searchStudy(spec, hooks), spec, json)
    })
}

function quickstartSpec(data: string, out: string, threads: number, backend: SearchSpec['backend']): SearchSpec {
  const { words, space, filters, epochs, batchSize, budget, seed } = quickstart
  return {
    data: { directory: data, words, split: 'auto', salt: '', strict: false },
    space,
    spaceOptions: { filters },
    search: 'proxyless',
    weightBits: 'trained',
    activationBits: 'trained',
    granularity: 'channel',
    budget,
    epochs,
    batchSize,
    seed,
    threads,
    backend,
    out,
    resume: false,
    command: 'npx bitwright quickstart',
  }
}

/** An interrupted run is gone on with; what an earlier quickstart finished is made again. @returns whether to resume */
async function makeRoom(run: string): Promise<boolean> {
  const { holdsRun, runDirectory } = await import('../study/run-directory.ts')
  const { readJournal } = await import('../study/journal.ts')
  if (!holdsRun(run)) return false
  const { path: _, ...files } = runDirectory(run)
  if (readJournal(files.journal).at(-1)?.type === 'interrupted') return true
  for (const file of Object.values(files)) rmSync(file, { force: true })
  return false
}
