// `bitwright train`: one given network, trained and quantized with the same data, bits and output options as a search.
import type { Command } from 'commander'
import { addStudyFlags } from './study-flags.ts'
import { verb } from './verb.ts'

export function command(): Command {
  return addStudyFlags(
    verb('train', 'Train and quantize one given network.')
      .usage('--network NAME|FILE.json --data DIR --out runs/NAME [options]')
      .optionsGroup('Network:')
      .option(
        '--network <NAME|FILE>',
        'ds-cnn-s, tc-resnet8, kws-e2e-e3k5, kws-e2e-e3k5-conv1d, resnet8 (images), gcn and gat (graphs), or the architecture.json of a run (required without --from)',
      )
      .option('--from <RUN>', 'quantize the float weights of this finished run anew, without training in float')
      .option(
        '--member <N>',
        'with --from a joint search: train this member of its front from the shared weights; a budget alone takes the best member within it',
      ),
  )
    .addHelpText(
      'after',
      '\nExample:\n  bitwright train --network ds-cnn-s --data speech_commands --weight-bits 4 --activation-bits 4 --out runs/ds-cnn-4\n\n' +
        'Ctrl-C saves a checkpoint; the same command with --resume goes on and ends with the same bits.',
    )
    .action(async (options: Record<string, unknown>) => {
      const { z } = await import('zod')
      const fields = await import('./fields.ts')
      const { fieldsFor, studyFields, studySpec } = await import('./study-request.ts')
      const network = fields.path('a built-in network such as ds-cnn-s, or the path of an architecture.json')
      const from = fields.path('the folder of a finished run, e.g. --from runs/first')
      const member = fields.integer(0, 100_000)
      const own = { network: network.optional(), from: from.optional(), member: member.optional() }
      const flags = fields.validate(z.object({ ...own, ...studyFields, ...fieldsFor(options.data) }), options)
      const { UsageError } = await import('../errors.ts')
      const { existingRunDirectory } = await import('../study/run-directory.ts')
      const chosen = flags.network ?? (flags.from === undefined ? undefined : existingRunDirectory(flags.from).architecture)
      if (chosen === undefined)
        throw new UsageError(
          '--network is missing; give a built-in network such as ds-cnn-s, the path of an architecture.json, or --from RUN',
        )
      const study = studySpec(flags, 'train', process.argv.slice(3))
      const { memberRequest } = await import('./member-request.ts')
      const spec = {
        ...study,
        network: chosen,
        ...(flags.from !== undefined && { from: flags.from }),
        ...memberRequest(study, flags),
      }
      if (spec.prune !== undefined && spec.from !== undefined && spec.member === undefined)
        throw new UsageError(`--prune ${spec.prune}: --from trains nothing in float, where channels leave; give --network, or a --member`)
      const { trainStudy } = await import('../study/run.ts')
      const { runStudy } = await import('./run-study.ts')
      await runStudy((hooks) => trainStudy(spec, hooks), spec, flags.json)
    })
}
