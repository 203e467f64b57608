// The samples that a run asks for.
import { loadAudioDataset } from '../data/audio-dataset.ts'
import type { Dataset } from '../data/dataset.ts'
import { loadImageDataset } from '../data/image-dataset.ts'
import { audioMedia, imageMedia } from '../data/media.ts'
import type { Hooks } from './api.ts'
import { inputOf } from './networks.ts'
import type { Spec } from './session.ts'

const mostNamed = 3

/** What a dataset's samples are called: clips or images. */
export const thingsOf = ({ kind }: Pick<Dataset, 'kind'>): string => (kind === 'audio' ? audioMedia : imageMedia).things

/** Says which samples are broken and left out. */
export function noteSkipped({ skipped }: Dataset, hooks: Hooks): void {
  if (skipped.length === 0) return
  const named = skipped.slice(0, mostNamed).map(({ path, reason }) => `${path} ${reason}`)
  const others = skipped.length > mostNamed ? `, and ${skipped.length - mostNamed} more` : ''
  hooks.onNotice?.(`left out as broken: ${named.join(', ')}${others}; \`bitwright data inspect\` lists them`)
}

export async function loadRunData(spec: Spec, hooks: Hooks): Promise<Dataset> {
  const { directory, words, lists, split, salt, strict } = spec.data
  const form = inputOf(spec)
  const options = {
    ...(words ? { words } : {}),
    ...(lists ? { lists, split: 'lists' as const } : { split }),
    ...(salt ? { salt } : {}),
    strict,
    threads: spec.threads,
  }
  const onProgress = (done: number, total: number) => hooks.onProgress({ stage: 'data', done, total, text: thingsOf(form) })
  const dataset =
    form.kind === 'audio'
      ? await loadAudioDataset(directory, { ...options, seconds: form.seconds }, onProgress)
      : await loadImageDataset(directory, { ...options, ...form }, onProgress)
  noteSkipped(dataset, hooks)
  return dataset
}
