// `bitwright info`: size, operations and bits per layer of a .bw file, a built-in network, or an architecture as JSON.
import type { Command } from 'commander'
import { printJson, verb } from './verb.ts'

export function command(): Command {
  return verb('info', 'Size, operations, bits and time of a model or network.')
    .usage('FILE.bw|FILE.json|NAME [--target NAME] [--data GRAPH.json] [--json]')
    .argument('<MODEL>', 'a .bw file, an architecture.json, or a built-in network such as ds-cnn-s')
    .option('--target <NAME[@CLOCK]>', 'also what it takes there, such as cortex-m4@80MHz, bit-fusion, measured, or a .json file')
    .option('--data <FILE>', 'the graph that gcn or gat is made for, as JSON')
    .option('--json', 'print one JSON document')
    .action(async (subject: string, options: { target?: string; data?: string; json?: boolean }) => {
      const { describeSubject, descriptionText } = await import('./model-description.ts')
      const target = options.target === undefined ? undefined : (await import('../hardware/targets.ts')).targetTime(options.target)
      const description = describeSubject(subject, target, options.data)
      if (options.json) printJson(description)
      else process.stdout.write(descriptionText(description))
    })
}
