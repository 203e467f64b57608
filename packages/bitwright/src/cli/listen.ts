// `bitwright listen`: the words that a model hears in a recording or live, with their times.
import type { Command } from 'commander'
import { verb } from './verb.ts'

export function command(): Command {
  return verb('listen', 'The words a model hears in a recording or live, with their times.')
    .usage('MODEL|RUN [FILE.wav | - | --microphone] [options]')
    .argument('<MODEL>', 'a .bw file, or the folder of a finished run')
    .argument('[AUDIO]', 'a WAV file of any rate and length, or - for 16-bit samples (mono, little-endian) on standard input')
    .option('--microphone', 'hear the microphone, through arecord, rec (SoX) or ffmpeg, whichever is there, until Ctrl-C')
    .option('--rate <HZ>', 'of the samples on standard input (default: the rate of the model)')
    .option('--threshold <X>', 'score from which a word counts as heard, 0 to 1 (default: from detector.json beside the model, else 0.6)')
    .option('--smoothing <S>', 'seconds over which scores are averaged (default: likewise, else 0.3)')
    .option('--refractory <S>', 'seconds after a detection in which there is no other (default: likewise, else 0.5)')
    .option('--json', 'print every detection as a JSON line')
    .addHelpText('after', '\nExamples:\n  bitwright listen runs/first speech.wav\n  bitwright listen runs/first --microphone')
    .action(async (given: string, audio: string | undefined, options: Record<string, unknown>) => {
      const { z } = await import('zod')
      const fields = await import('./fields.ts')
      const flags = fields.validate(
        z.object({
          microphone: fields.present(),
          rate: fields.integer(1000, 384_000, 'a rate in Hz').optional(),
          threshold: fields.share().optional(),
          smoothing: fields.seconds(60).optional(),
          refractory: fields.seconds(60).optional(),
          json: fields.present(),
        }),
        options,
      )
      const { UsageError } = await import('../errors.ts')
      if ((audio === undefined) !== flags.microphone) throw new UsageError('give either a WAV file, - for standard input, or --microphone')
      if (flags.rate !== undefined && audio !== '-')
        throw new UsageError('--rate: only samples on standard input (-) have no rate of their own')
      const { loadDetector } = await import('./detector-file.ts')
      const { model, settings } = loadDetector(given, flags)
      const { openAudio } = await import('./audio-input.ts')
      const { blocks, sampleRate, close } = openAudio(audio, model, flags.rate)
      const listener = model.listen(blocks, { sampleRate, settings })
      listener.addEventListener('detection', ({ detail: { label, score, time } }) => {
        const text = flags.json ? JSON.stringify({ time, label, score }) : `${time.toFixed(2).padStart(8)} s  ${label}  ${score.toFixed(2)}`
        process.stdout.write(`${text}\n`)
      })
      const stop = () => void listener.stop()
      process.once('SIGINT', stop)
      try {
        await listener.done
      } finally {
        process.off('SIGINT', stop)
        close()
      }
    })
}
