// Speech synthesis with its progress line.
import type { Synthesis, SynthesisOptions } from '../data/synth.ts'
import { createProgress } from './progress.ts'

export async function synthesize(options: SynthesisOptions): Promise<Synthesis> {
  const { synthesizeSpeech } = await import('../data/synth.ts')
  const progress = createProgress(process.stderr, undefined, undefined, { data: 'speaking' })
  try {
    return await synthesizeSpeech({
      ...options,
      onProgress: (done, total) => progress.onProgress({ stage: 'data', done, total, text: 'clips' }),
    })
  } finally {
    progress.finish()
  }
}
