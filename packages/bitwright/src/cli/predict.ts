// `bitwright predict`: what a model hears in a WAV file or sees in an image, computed by the integer core.
import type { Command } from 'commander'
import { printJson, verb } from './verb.ts'

export function command(): Command {
  return verb('predict', 'What a model hears in a WAV file, or sees in an image.')
    .usage('MODEL.bw FILE [--json]')
    .argument('<MODEL>', 'a .bw file')
    .argument('<FILE>', 'a WAV file of any rate and length; for images a PNG or JPEG file of any size, BATCH.bin#17, or plain pixels')
    .option('--json', 'print one JSON document')
    .action(async (modelPath: string, path: string, options: { json?: boolean }) => {
      const { load } = await import('@bitwright/runtime')
      const { readGivenFile } = await import('./given-file.ts')
      const model = load(readGivenFile(modelPath), modelPath)
      const { frontEnd } = model
      const input = frontEnd.kind === 'image' ? await imageInput(path, frontEnd) : await audioInput(path, frontEnd)
      const { label, index, scores, logits } = model.predict(input)
      if (options.json) return printJson({ label, index, classes: model.classes, scores: [...scores], logits: [...logits] })
      const { percent } = await import('../report/units.ts')
      const { textTable } = await import('./text-table.ts')
      const ranked = [...scores.entries()].toSorted((a, b) => b[1] - a[1]).slice(0, 5)
      process.stdout.write(`${label}\n\n${textTable(ranked.map(([entry, score]) => [model.classes[entry], percent(score)]))}\n`)
    })
}

async function audioInput(path: string, { samples, sampleRate }: { readonly samples: number; readonly sampleRate: number }) {
  const { readGivenFile } = await import('./given-file.ts')
  const { fitClip, readPcm } = await import('../data/clip.ts')
  const { RunError } = await import('../errors.ts')
  readGivenFile(path)
  const pcm = new Int16Array(samples)
  try {
    fitClip(readPcm(path, sampleRate), pcm)
  } catch (error) {
    throw error instanceof RunError ? new RunError(`${path}: ${error.message}`) : error
  }
  return pcm
}

async function imageInput(path: string, shape: { readonly height: number; readonly width: number; readonly channels: number }) {
  const { readGivenFile } = await import('./given-file.ts')
  const { imageSizeOf } = await import('../data/decode-image.ts')
  const { readImageFile } = await import('../data/image-input.ts')
  const { UsageError } = await import('../errors.ts')
  readGivenFile(path.replace(/#\d+$/, ''))
  const images = await readImageFile(path, imageSizeOf(shape))
  if (images.length > 1) throw new UsageError(`${path}: has ${images.length} images; give one, e.g. ${path}#0 of a CIFAR batch`)
  return images[0].pixels
}
