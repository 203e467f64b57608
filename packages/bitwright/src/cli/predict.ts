// `bitwright predict`: what a model hears in a WAV file, computed by the integer core.
import type { Command } from 'commander'
import { printJson, verb } from './verb.ts'

export function command(): Command {
  return verb('predict', 'What a model hears in a WAV file.')
    .usage('MODEL.bw CLIP.wav [--json]')
    .argument('<MODEL>', 'a .bw file')
    .argument('<CLIP>', 'a WAV file of any rate and length')
    .option('--json', 'print one JSON document')
    .action(async (modelPath: string, clipPath: string, options: { json?: boolean }) => {
      const { load } = await import('@bitwright/runtime')
      const { readGivenFile } = await import('./given-file.ts')
      const { fitClip, readPcm } = await import('../data/clip.ts')
      const { RunError, UsageError } = await import('../errors.ts')
      const model = load(readGivenFile(modelPath), modelPath)
      readGivenFile(clipPath)
      const { frontEnd } = model
      if (frontEnd.kind === 'image') throw new UsageError(`${modelPath}: reads images, and predict takes a WAV file`)
      const pcm = new Int16Array(frontEnd.samples)
      try {
        fitClip(readPcm(clipPath, frontEnd.sampleRate), pcm)
      } catch (error) {
        throw error instanceof RunError ? new RunError(`${clipPath}: ${error.message}`) : error
      }
      const { label, index, scores, logits } = model.predict(pcm)
      if (options.json) return printJson({ label, index, classes: model.classes, scores: [...scores], logits: [...logits] })
      const { percent } = await import('../report/units.ts')
      const { textTable } = await import('./text-table.ts')
      const ranked = [...scores.entries()].toSorted((a, b) => b[1] - a[1]).slice(0, 5)
      process.stdout.write(`${label}\n\n${textTable(ranked.map(([entry, score]) => [model.classes[entry], percent(score)]))}\n`)
    })
}
