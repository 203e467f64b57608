// `bitwright data`: looks at a folder of clips or images before anything is trained on it, or makes one from text.
import type { Command } from 'commander'
import { printJson, verb } from './verb.ts'

export function command(): Command {
  return verb('data', 'Inspect a folder of clips or images, or synthesise clips.')
    .helpCommand(false)
    .addCommand(inspectCommand())
    .addCommand(synthCommand())
}

function inspectCommand(): Command {
  return verb('inspect', 'Classes, samples per split, rates or sizes, broken files, and what would spoil or stop a training.')
    .usage('DIR [options]')
    .argument('<DIR>', 'folder with one sub-folder of WAV clips per word, or of images per class, or CIFAR-10 batches, or a graph as JSON')
    .option('--words <a,b,c>', 'words to tell apart; all others become unknown (default: every folder is a class)')
    .option('--split <RULE>', 'auto, lists, hash or speaker', 'auto')
    .option('--salt <TEXT>', 'another salt gives another split by speaker')
    .option('--json', 'print one JSON document')
    .action(async (directory: string, options: Record<string, unknown>) => {
      const { z } = await import('zod')
      const fields = await import('./fields.ts')
      const { UsageError } = await import('../errors.ts')
      const { formatInspection, inspectDataset } = await import('../data/inspect.ts')
      const flags = fields.validate(
        z.object({
          words: fields.wordList().optional(),
          split: fields.choice(['auto', 'lists', 'hash', 'speaker']).default('auto'),
          salt: fields.anyText().optional(),
          json: fields.present(),
        }),
        options,
      )
      const { json, ...plan } = flags
      const { isGraphFile } = await import('../data/graph-dataset.ts')
      if (isGraphFile(directory)) {
        const { formatGraphInspection, inspectGraph } = await import('../data/inspect-graph.ts')
        const other = (['words', 'salt'] as const).find((name) => plan[name] !== undefined)
        if (other) throw new UsageError(`--${other}: ${directory} is a graph, which has its splits and classes in it; leave it away`)
        const inspection = inspectGraph(directory)
        if (json) printJson(inspection)
        else process.stdout.write(formatGraphInspection(inspection))
        return
      }
      const { createProgress } = await import('./progress.ts')
      const progress = createProgress(process.stderr, undefined)
      const { formatImageInspection, holdsImages, inspectImages } = await import('../data/inspect-images.ts')
      const isImages = holdsImages(directory)
      const onProgress = (done: number, total: number) =>
        progress.onProgress({ stage: 'data', done, total, text: isImages ? 'images' : 'clips' })
      if (isImages) {
        const inspection = await inspectImages(directory, plan, onProgress).finally(progress.finish)
        if (json) printJson(inspection)
        else process.stdout.write(formatImageInspection(inspection))
        return
      }
      const inspection = await inspectDataset(directory, plan, onProgress).finally(progress.finish)
      if (json) printJson(inspection)
      else process.stdout.write(formatInspection(inspection))
    })
}

function synthCommand(): Command {
  return verb('synth', 'Make a speech set from text: many voices, speeds and pitches, background noise, split by voice.')
    .usage('--words a,b --out DIR [options]')
    .option('--words <a,b,c>', 'the words to speak (required)')
    .option('--out <DIR>', 'folder to make; absent or empty (required)')
    .option('--clips <N>', 'clips of each word', '100')
    .option('--seed <N>', 'the same seed gives the same bytes', '0')
    .option('--json', 'print one JSON document')
    .action(async (options: Record<string, unknown>) => {
      const { z } = await import('zod')
      const fields = await import('./fields.ts')
      const { words, out, clips, seed, json } = fields.validate(
        z.object({
          words: fields.wordList(),
          out: fields.path('the folder to make, e.g. --out data/synth'),
          clips: fields.integer(5, 100_000).default(100),
          seed: fields.integer(0, Number.MAX_SAFE_INTEGER).default(0),
          json: fields.present(),
        }),
        options,
      )
      const { synthesize } = await import('./synthesize.ts')
      const synthesis = await synthesize({ words, directory: out, clipsPerWord: clips, seed })
      if (json) printJson(synthesis)
      else
        process.stdout.write(
          `${synthesis.clips} clips of ${synthesis.words.length} words and others by ${synthesis.voices} voices in ${out}\n`,
        )
    })
}
