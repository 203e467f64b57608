// `bitwright info`: size, operations and bits per layer of a .bw file, a built-in network, or an architecture as JSON.
import type { Command } from 'commander'
import { printJson, verb } from './verb.ts'

export function command(): Command {
  return verb('info', 'Size, operations and bits of a model or network.')
    .usage('FILE.bw|FILE.json|NAME [--json]')
    .argument('<MODEL>', 'a .bw file, an architecture.json, or a built-in network such as ds-cnn-s')
    .option('--json', 'print one JSON document')
    .action(async (subject: string, options: { json?: boolean }) => {
      const { describeSubject, descriptionText } = await import('./model-description.ts')
      const description = describeSubject(subject)
      if (options.json) printJson(description)
      else process.stdout.write(descriptionText(description))
    })
}
