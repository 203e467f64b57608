// `bitwright search`: clips and a budget in, a quantized keyword spotter out.
import type { Command } from 'commander'
import { verb } from './verb.ts'
import { addStudyFlags, graphFinalists } from './study-flags.ts'

export function command(): Command {
  return addStudyFlags(
    verb('search', 'Find, train and quantize a network within a budget.')
      .usage('--data DIR --space kws-e2e --search proxyless --out runs/NAME [options]')
      .optionsGroup('Search:')
      .option(
        '--space <NAME>',
        'kws-e2e: raw audio in; kws-mfcc: spectral features in; cenet: with or without graph modules; mobile-cifar: images in; graph: a citation graph; network: one network',
        'kws-e2e',
      )
      .option('--network <NAME|FILE>', 'of --space network with --search joint: a given network, whose bits alone are chosen')
      .option(
        '--search <NAME>',
        'proxyless: binary gates trained with the weights; joint: paths, sizes and bits at once, a front to choose from; random: the baseline',
        'proxyless',
      )
      .option(
        '--train <WAY>',
        'of joint: sandwich: largest, smallest and random members at every step; gates: sampled paths (default: sandwich)',
      )
      .option(
        '--pick <WAY>',
        'of joint: evolution: NSGA-II; gates: what the trained gates prefer (default: with gates trained gates, else evolution)',
      )
      .option('--candidates <N>', 'of joint: networks scored with the shared weights (default: 256)')
      .option('--start <FROM>', "of joint: the chosen network's training starts from the shared weights, or from scratch (default: shared)")
      .option(
        '--finalists <N>',
        `of joint: the N best are trained alone, the better half once more, until one is left (default: 1: the best is taken; on a graph: ${graphFinalists})`,
      )
      .option('--filters <N>', 'first-layer filters of kws-e2e, or MFCC coefficients of kws-mfcc (default: by space)')
      .option('--front-end <NAME>', 'first layer of kws-e2e: sinc or conv (default: sinc)'),
  )
    .addHelpText(
      'after',
      '\nExample:\n  bitwright search --data speech_commands --words yes,no,up,down --space kws-e2e --search proxyless \\\n' +
        '    --weight-bits trained --activation-bits trained --flash 64k --macs 14M --out runs/first\n\n' +
        'Ctrl-C saves a checkpoint; the same command with --resume goes on and ends with the same bits.',
    )
    .action(async (options: Record<string, unknown>) => {
      const { searchRequest } = await import('./search-request.ts')
      const { spec, json } = searchRequest(options, process.argv.slice(3))
      const { searchStudy } = await import('../study/run.ts')
      const { runStudy } = await import('./run-study.ts')
      await runStudy((hooks) => searchStudy(spec, hooks), spec, json)
    })
}
