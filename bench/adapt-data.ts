// The data of bench/adapt.ts: a keyword task whose speakers change, and with them the room. Half of the speakers as they were recorded are the
// old data; the other half, with background noise mixed into every clip at one ratio, the new. Which speaker is in which half, and which
// stretch of which recording lies under a clip, hang on the seed alone. Noise under training clips comes from the first half of each
// background recording, noise under the others from the second.
import { Random } from '@bitwright/engine'
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { readPcm } from '../packages/bitwright/src/data/clip.ts'
import { silenceLabel, speakerOf } from '../packages/bitwright/src/data/scan.ts'
import { encodeWav } from '../packages/bitwright/src/data/wav.ts'

export const splits = ['train', 'validation', 'test'] as const
export type Lists = Readonly<Record<(typeof splits)[number], string>>

export interface Part {
  readonly directory: string
  readonly lists: Lists
  readonly counts: Readonly<Record<(typeof splits)[number], number>>
}

const sampleRate = 16_000
const background = '_background_noise_'

const powerOf = (pcm: ArrayLike<number>): number => {
  let sum = 0
  for (let i = 0; i < pcm.length; i++) sum += pcm[i] * pcm[i]
  return sum / Math.max(1, pcm.length)
}

/** Clip and noise, the noise so much below the clip; where the clip is silence, below `speech`, the power of a usual clip. */
export function mixed(clip: Int16Array, noise: Int16Array, decibels: number, speech: number): Int16Array {
  const gain = Math.sqrt(speech / 10 ** (decibels / 10) / Math.max(1, powerOf(noise)))
  return clip.map((value, i) => Math.max(-32_768, Math.min(32_767, Math.round(value + gain * noise[i]))))
}

/** Writes lists of both halves, and the noisy clips of the second, below `out`; what is there already stays. */
export function prepare(directory: string, lists: Lists, out: string, { seed, decibels }: { seed: number; decibels: number }) {
  const isNew = (path: string) => new Random(seed, 'speakers', speakerOf(path) ?? path).uniform() < 0.5
  const noisy = join(out, 'noisy')
  const recordings = readdirSync(join(directory, background))
    .filter((name) => name.endsWith('.wav'))
    .toSorted()
  const noises = recordings.map((name) => readPcm(join(directory, background, name), sampleRate))
  mkdirSync(join(noisy, background), { recursive: true })
  for (const name of recordings) copyFileSync(join(directory, background, name), join(noisy, background, name))
  const paths = { old: {} as Record<string, string>, new: {} as Record<string, string> }
  const counts = { old: {} as Record<string, number>, new: {} as Record<string, number> }
  for (const split of splits) {
    const lines = readFileSync(lists[split], 'utf8').split('\n').filter(Boolean)
    for (const half of ['old', 'new'] as const) {
      const own = lines.filter((line) => isNew(line.split(' ')[0]) === (half === 'new'))
      paths[half][split] = join(out, `${half}-${split}.txt`)
      counts[half][split] = own.length
      writeFileSync(paths[half][split], `${own.join('\n')}\n`)
      if (half === 'new') for (const line of own) writeNoisy(line.split(' ')[0], split)
    }
  }

  function writeNoisy(path: string, split: string): void {
    const target = join(noisy, path)
    if (existsSync(target)) return
    const clip = readPcm(join(directory, path), sampleRate)
    const random = new Random(seed, 'noise', path)
    const recording = noises[random.integer(noises.length)]
    const half = recording.length >> 1
    const start = (split === 'train' ? 0 : half) + random.integer(half - clip.length)
    const speech = path.startsWith(silenceLabel) ? usualPower : powerOf(clip)
    mkdirSync(dirname(target), { recursive: true })
    writeFileSync(target, encodeWav(mixed(clip, recording.subarray(start, start + clip.length), decibels, speech), sampleRate))
  }

  const part = (half: 'old' | 'new', folder: string): Part => ({
    directory: folder,
    lists: paths[half] as unknown as Lists,
    counts: counts[half] as unknown as Part['counts'],
  })
  return { old: part('old', directory), new: part('new', noisy) }
}

/** Of a spoken word in Speech Commands, in squared 16-bit steps. */
const usualPower = 1500 ** 2
