// The clips that a run asks for.
import { loadAudioDataset } from '../data/audio-dataset.ts'
import type { AudioDataset } from '../data/dataset.ts'
import type { Hooks } from './api.ts'
import { clipSeconds } from './networks.ts'
import type { Spec } from './session.ts'

export function loadRunData(spec: Spec, hooks: Hooks): Promise<AudioDataset> {
  const { directory, words, lists, split, salt, strict } = spec.data
  return loadAudioDataset(
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
}
