// `bitwright evaluate`: scores the models of a finished run (float, fake-quantized, integer) on clips, or the integer model on a stream.
import type { Command } from 'commander'
import { createProgress } from './progress.ts'
import { printJson, verb } from './verb.ts'

export function command(): Command {
  return verb('evaluate', 'Score the models of a finished run on clips.')
    .usage('RUN --data DIR [--split test|val | --stream] [options]')
    .argument('<RUN>', 'folder of a finished run, e.g. runs/first')
    .option('--data <DIR>', 'folder with the clips (required)')
    .option('--split <NAME>', 'test or val, by the rule the run was made with', 'test')
    .option('--list <FILE>', 'the clips in this file, one "path class" a line, instead of a split')
    .option('--stream', 'a long recording of test words, other words and noise; sets the detector on validation words and keeps it')
    .option('--minutes <N>', 'length of that recording', '20')
    .option('--false-accepts <X>', 'false accepts an hour that the detector is set for', '1')
    .option('--seed <N>', 'another seed, another recording', '0')
    .option('--strict', 'a broken clip is an error instead of being skipped')
    .option('--threads <N>', 'the result does not depend on it (default: all cores)')
    .option('--backend <NAME>', 'auto, native (needs a C compiler) or wasm', 'auto')
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      '\nExample:\n  bitwright evaluate runs/first --data speech_commands --split test --json\n  bitwright evaluate runs/first --data speech_commands --stream --false-accepts 1',
    )
    .action(async (run: string, options: Record<string, unknown>) => {
      const { z } = await import('zod')
      const fields = await import('./fields.ts')
      const { availableParallelism } = await import('node:os')
      const flags = fields.validate(
        z.object({
          data: fields.path('the folder with the clips'),
          split: fields.choice(['test', 'val', 'validation']).default('test'),
          list: fields.path('a file with one "path class" a line').optional(),
          stream: fields.present(),
          minutes: fields.positiveNumber('20', 600).default(20),
          falseAccepts: fields.positiveNumber('1', 3600).default(1),
          seed: fields.integer(0, Number.MAX_SAFE_INTEGER).default(0),
          strict: fields.present(),
          threads: fields.integer(1, 256).default(availableParallelism),
          backend: fields.choice(['auto', 'native', 'wasm']).default('auto'),
          json: fields.present(),
        }),
        options,
      )
      const { existingRunDirectory } = await import('../study/run-directory.ts')
      existingRunDirectory(run)
      const progress = createProgress(process.stderr, undefined)
      const hooks = { onNotice: progress.say, onEvent: progress.onEvent, onProgress: progress.onProgress, shouldStop: () => false }
      if (flags.stream) {
        const { UsageError } = await import('../errors.ts')
        if (flags.list !== undefined)
          throw new UsageError('--stream: needs validation and test clips, by the split of the run; leave --list away')
        const { evaluateStream } = await import('../study/stream-evaluation.ts')
        const { minutes, falseAccepts: falseAcceptsPerHour, seed, strict, threads } = flags
        const spec = { run, directory: flags.data, minutes, falseAcceptsPerHour, seed, strict, threads }
        const result = await evaluateStream(spec, hooks).finally(progress.finish)
        if (flags.json) return printJson({ run, ...result })
        const { streamTable } = await import('./score-tables.ts')
        process.stdout.write(`${streamTable(result)}\n`)
        return
      }
      const { evaluateRun } = await import('../study/run.ts')
      const { strict, threads, backend, list } = flags
      const split = flags.split === 'test' ? 'test' : 'validation'
      const result = await evaluateRun(
        { run, directory: flags.data, split, ...(list !== undefined && { list }), strict, threads, backend },
        hooks,
      ).finally(progress.finish)
      // The accuracy of a run is its integer model's, so those scores stand at the top of the document too.
      if (flags.json) return printJson({ run, ...result.integer, ...result })
      const { accuracyTable, confusionTable, recallTable } = await import('./score-tables.ts')
      const differing = result.differing
        ? `\n${result.things} on which integer and fake-quantized differ: ${result.differing.length}\n`
        : ''
      process.stdout.write(
        `${accuracyTable([result])}\n\n${recallTable(result)}\n\nconfusion of the integer model\n` +
          `${confusionTable(result.classes, result.integer!)}\n${differing}`,
      )
    })
}
