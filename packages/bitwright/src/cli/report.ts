// `bitwright report`: writes report.html of a run anew from its journal, finished or not.
import type { Command } from 'commander'
import { verb } from './verb.ts'

export function command(): Command {
  return verb('report', 'Write report.html of a run anew from its journal.')
    .usage('RUN [--out FILE.html]')
    .argument('<RUN>', 'folder of a run, finished or not')
    .option('--out <FILE>', 'where to write it (default: report.html in the run)')
    .action(async (run: string, options: { out?: string }) => {
      const { atomicWrite, existingRunDirectory } = await import('../study/run-directory.ts')
      const { readJournal } = await import('../study/journal.ts')
      const { renderReport } = await import('../report/report.ts')
      const files = existingRunDirectory(run)
      const target = options.out ?? files.report
      atomicWrite(target, renderReport(readJournal(files.journal)))
      process.stdout.write(`${target}\n`)
    })
}
