// `bitwright evaluate`: scores the models of a finished run (float, fake-quantized, integer) on clips.
import type { Command } from 'commander'
import { createProgress } from './progress.ts'
import { printJson, verb } from './verb.ts'

export function command(): Command {
  return verb('evaluate', 'Score the models of a finished run on clips.')
    .usage('RUN --data DIR --split test|val [options]')
    .argument('<RUN>', 'folder of a finished run, e.g. runs/first')
    .option('--data <DIR>', 'folder with the clips (required)')
    .option('--split <NAME>', 'test or val, by the rule the run was made with', 'test')
    .option('--list <FILE>', 'the clips in this file, one "path class" a line, instead of a split')
    .option('--strict', 'a broken clip is an error instead of being skipped')
    .option('--threads <N>', 'the result does not depend on it (default: all cores)')
    .option('--backend <NAME>', 'auto, native (needs a C compiler) or wasm', 'auto')
    .option('--json', 'print one JSON document')
    .addHelpText('after', '\nExample:\n  bitwright evaluate runs/first --data speech_commands --split test --json')
    .action(async (run: string, options: Record<string, unknown>) => {
      const { z } = await import('zod')
      const fields = await import('./fields.ts')
      const { availableParallelism } = await import('node:os')
      const flags = fields.validate(
        z.object({
          data: fields.path('the folder with the clips'),
          split: fields.choice(['test', 'val', 'validation']).default('test'),
          list: fields.path('a file with one "path class" a line').optional(),
          strict: fields.present(),
          threads: fields.integer(1, 256).default(availableParallelism),
          backend: fields.choice(['auto', 'native', 'wasm']).default('auto'),
          json: fields.present(),
        }),
        options,
      )
      const { existingRunDirectory } = await import('../study/run-directory.ts')
      existingRunDirectory(run)
      const { evaluateRun } = await import('../study/run.ts')
      const progress = createProgress(process.stderr, undefined)
      const { strict, threads, backend, list } = flags
      const split = flags.split === 'test' ? 'test' : 'validation'
      const result = await evaluateRun(
        { run, directory: flags.data, split, ...(list !== undefined && { list }), strict, threads, backend },
        { onNotice: progress.say, onEvent: progress.onEvent, onProgress: progress.onProgress, shouldStop: () => false },
      ).finally(progress.finish)
      // The accuracy of a run is its integer model's, so those scores stand at the top of the document too.
      if (flags.json) return printJson({ run, ...result.integer, ...result })
      const { accuracyTable, confusionTable, recallTable } = await import('./score-tables.ts')
      const differing = result.differing ? `\nclips on which integer and fake-quantized differ: ${result.differing.length}\n` : ''
      process.stdout.write(
        `${accuracyTable([result])}\n\n${recallTable(result)}\n\nconfusion of the integer model\n` +
          `${confusionTable(result.classes, result.integer)}\n${differing}`,
      )
    })
}
