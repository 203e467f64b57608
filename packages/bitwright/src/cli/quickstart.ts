// `bitwright quickstart` (npm start): speech synthesised from text, then search, training, quantization and evaluation on it. It is a
// `search` with fixed flags, and its report shows that command.
import { existsSync, rmSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import type { Command } from 'commander'
import { flagName } from './flag-name.ts'
import { verb } from './verb.ts'

/** Everything that decides how long the quickstart takes (at most five minutes on two cores) and how good its model gets. */
export const quickstart = {
  words: ['yes', 'no', 'stop', 'go'],
  clipsPerWord: 160,
  synthesisSeed: 0,
  /** Flags of `bitwright search`. */
  flags: {
    space: 'kws-e2e',
    filters: '40',
    weightBits: 'trained',
    activationBits: 'trained',
    flash: '48k',
    ram: '64k',
    macs: '8M',
    batchSize: '32',
    epochs: 'warmup=8,search=16,train=60,quantize=50',
  },
} as const

export function command(): Command {
  return verb('quickstart', 'All of it on a small synthesised set, within five minutes.')
    .option('--out <DIR>', 'folder for the clips (data) and the run (run)', 'runs/quickstart')
    .option('--threads <N>', 'the result does not depend on it (default: all cores)')
    .option('--backend <NAME>', 'auto, native (needs a C compiler) or wasm (default: auto)')
    .option('--json', 'print the result as one JSON document')
    .action(async ({ out, json, ...machine }: { out: string; json?: true; threads?: string; backend?: string }) => {
      const { searchRequest } = await import('./search-request.ts')
      const [data, run] = [join(out, 'data'), join(out, 'run')]
      const flags = { data, words: quickstart.words.join(','), ...quickstart.flags, ...machine, out: run }
      const { spec } = searchRequest(flags, asArguments(flags))
      if (!existsSync(data)) {
        const { synthesize } = await import('./synthesize.ts')
        const { words, clipsPerWord, synthesisSeed: seed } = quickstart
        const processes = Math.min(spec.threads, availableParallelism())
        const { clips, voices } = await synthesize({ words, directory: data, clipsPerWord, seed, processes })
        process.stderr.write(`${clips} clips by ${voices} synthesised voices in ${data}\n`)
      }
      const resume = await makeRoom(run)
      const { searchStudy } = await import('../study/run.ts')
      const { runStudy } = await import('./run-study.ts')
      await runStudy((hooks) => searchStudy({ ...spec, resume }, hooks), spec, json === true)
    })
}

function asArguments(flags: Readonly<Record<string, string>>): string[] {
  return Object.entries(flags).flatMap(([name, value]) => [flagName(name), value])
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
