// `bitwright adapt`: a finished run and new data in, a run that knows both out.
import type { Command } from 'commander'
import { describeEpochs } from './study-flags.ts'
import { verb } from './verb.ts'

/** Epochs where `--epochs` says nothing: of the search, of another network than the deployed one in float, and at the widths. */
export const adaptEpochs = { warmup: 0, search: 2, train: 6, quantize: 12 } as const

export function command(): Command {
  return verb('adapt', 'Let a finished run go on learning from new data, without forgetting the old.')
    .usage('RUN --data DIR [--out DIR] [options]')
    .argument('<RUN>', 'folder of a finished run, e.g. runs/first')
    .optionsGroup('Data:')
    .option('--data <DIR>', 'folder with the new clips or images, of the classes of the run or some of them (required)')
    .option('--split <RULE>', 'of the new data, as in search: lists, hash, speaker with --salt, or auto', 'auto')
    .option('--salt <TEXT>', 'another salt gives another split by speaker')
    .option('--train-list <FILE>', 'training clips, one "path class" a line (default: all in no other list)')
    .option('--validation-list <FILE>', 'validation clips; with --test-list, replaces --split')
    .option('--test-list <FILE>', 'test clips')
    .option('--strict', 'a broken clip or image is an error instead of being skipped')
    .option('--replay <SHARE>', 'of old samples in every batch, from where the run found them; 0: none', String(defaultReplay))
    .optionsGroup('Budget (default: that of the run):')
    .option('--flash <SIZE>', 'bytes of the model file, e.g. 64k (k = 1024)')
    .option('--ram <SIZE>', 'peak bytes of activations, e.g. 32k (k = 1024)')
    .option('--macs <NUMBER>', 'multiply-accumulates of one inference, e.g. 14M (M = 1,000,000)')
    .option('--latency <TIME>', 'with a target: time of a whole clip or image there, e.g. 20ms')
    .option('--target <NAME[@CLOCK]>', 'hardware to price on, e.g. cortex-m4@80MHz (default: that of the run)')
    .optionsGroup('Training:')
    .option(
      '--epochs <N|stage=N,..>',
      `at the widths, or of single stages; search=0: the network stays (default: ${describeEpochs(adaptEpochs)})`,
    )
    .option('--candidates <N>', 'networks scored with the shared weights (default: 48)')
    .option('--learning-rate <X>', 'peak of the schedule at the widths (default: 0.006, of images 0.003)')
    .option('--force', 'train whatever the data looks like')
    .option('--seed <N>', 'another seed, another run; the same seed, the same bits', '0')
    .optionsGroup('Machine:')
    .option('--threads <N>', 'the result does not depend on it (default: all cores)')
    .option('--backend <NAME>', 'auto, native (needs a C compiler) or wasm', 'auto')
    .optionsGroup('Output:')
    .option('--out <DIR>', 'folder of the run that comes of it (default: RUN-adapted)')
    .option('--resume', 'go on with the interrupted run in --out, with the same flags')
    .option('--json', 'print the result as one JSON document')
    .optionsGroup('Help:')
    .addHelpText(
      'after',
      '\nExample:\n  bitwright adapt runs/first --data new_room --out runs/second\n\n' +
        'Ctrl-C saves a checkpoint; the same command with --resume goes on and ends with the same bits.',
    )
    .action(async (run: string, options: Record<string, unknown>) => {
      const { adaptRequest } = await import('./adapt-request.ts')
      const { spec, json } = adaptRequest(run, options, process.argv.slice(3))
      const { adaptStudy } = await import('../study/adapt.ts')
      const { runStudy } = await import('./run-study.ts')
      await runStudy((hooks) => adaptStudy(spec, hooks), spec, json)
    })
}

/** Measured (docs/hqnas.md). */
export const defaultReplay = 0.5
