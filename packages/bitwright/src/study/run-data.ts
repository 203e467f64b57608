// The clips that a run asks for.
import { loadAudioDataset } from '../data/audio-dataset.ts'
import type { AudioDataset } from '../data/dataset.ts'
import type { Hooks } from './api.ts'
import { clipSeconds } from './networks.ts'
import type { Spec } from './session.ts'

const mostNamed = 3

/** Says which clips are broken and left out. */
export function noteSkipped({ skipped }: AudioDataset, hooks: Hooks): void {
  if (skipped.length === 0) return
  const named = skipped.slice(0, mostNamed).map(({ path, reason }) => `${path} ${reason}`)
  const others = skipped.length > mostNamed ? `, and ${skipped.length - mostNamed} more` : ''
  hooks.onNotice?.(`left out as broken: ${named.join(', ')}${others}; \`bitwright data inspect\` lists them`)
}

export async function loadRunData(spec: Spec, hooks: Hooks): Promise<AudioDataset> {
  const { directory, words, lists, split, salt, strict } = spec.data
  const dataset = await loadAudioDataset(
    directory,
    {
      ...(words ? { words } : {}),
      ...(lists ? { lists, split: 'lists' as const } : { split }),
      ...(salt ? { salt } : {}),
      seconds: clipSeconds(spec),
      strict,
      threads: spec.threads,
    },
    (done, total) => hooks.onProgress({ stage: 'data', done, total, text: 'clips' }),
  )
  noteSkipped(dataset, hooks)
  return dataset
}
