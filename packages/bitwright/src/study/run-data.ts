// The samples that a run asks for.
import { loadAudioDataset } from '../data/audio-dataset.ts'
import type { Dataset } from '../data/dataset.ts'
import { loadGraph } from '../data/graph-dataset.ts'
import { loadImageDataset } from '../data/image-dataset.ts'
import { audioMedia, imageMedia } from '../data/media.ts'
import { rowsOf, joinDatasets } from '../data/join.ts'
import { RunError, UsageError } from '../errors.ts'
import type { AdaptSpec, Hooks } from './api.ts'
import { inputOf } from './networks.ts'
import type { Spec } from './session.ts'

const mostNamed = 3

/** What a dataset's samples are called: clips, images or nodes. */
export const thingsOf = ({ kind }: Pick<Dataset, 'kind'>): string =>
  kind === 'graph' ? 'nodes' : (kind === 'audio' ? audioMedia : imageMedia).things

/** Says which samples are broken and left out. */
export function noteSkipped({ skipped }: Dataset, hooks: Hooks): void {
  if (skipped.length === 0) return
  const named = skipped.slice(0, mostNamed).map(({ path, reason }) => `${path} ${reason}`)
  const others = skipped.length > mostNamed ? `, and ${skipped.length - mostNamed} more` : ''
  hooks.onNotice?.(`left out as broken: ${named.join(', ')}${others}; \`bitwright data inspect\` lists them`)
}

/** With the old data in front where the run adapts another one. */
export function loadRunData(spec: Spec, hooks: Hooks): Promise<Dataset> {
  return spec.adapt ? loadOldAndNew(spec, spec.adapt, hooks) : loadData(spec, hooks)
}

async function loadOldAndNew(spec: Spec, { from, old, replay }: AdaptSpec, hooks: Hooks): Promise<Dataset> {
  const fresh = await loadData(spec, hooks)
  const before: Dataset[] = []
  for (const data of old) {
    try {
      before.push(await loadData({ ...spec, data }, hooks))
    } catch (error) {
      if (!(error instanceof UsageError || error instanceof RunError)) throw error
      if (replay > 0)
        throw new UsageError(
          `--replay ${replay}: the data that ${from} was trained on cannot be read (${error.message}); put it back, or adapt without it: --replay 0`,
        )
      hooks.onNotice?.(`the old data cannot be read (${error.message}): what the model forgets of it will not be known`)
    }
  }
  const oldRows = before.reduce((rows, dataset) => rows + rowsOf(dataset), 0)
  return { ...joinDatasets([...before, fresh]), oldRows }
}

async function loadData(spec: Spec, hooks: Hooks): Promise<Dataset> {
  const { directory, words, lists, split, salt, strict, classes } = spec.data
  const form = inputOf(spec)
  if (form.kind === 'graph') return loadGraph(directory)
  const options = {
    ...(words ? { words } : {}),
    ...(lists ? { lists, split: 'lists' as const } : { split }),
    ...(salt ? { salt } : {}),
    ...(classes ? { classes } : {}),
    strict,
    threads: spec.threads,
  }
  const onProgress = (done: number, total: number) => hooks.onProgress({ stage: 'data', done, total, text: thingsOf(form) })
  const dataset =
    form.kind === 'audio'
      ? await loadAudioDataset(directory, { ...options, seconds: form.seconds }, onProgress)
      : await loadImageDataset(directory, { ...options, ...form }, onProgress)
  noteSkipped(dataset, hooks)
  if (classes && dataset.classes.join() !== classes.join())
    throw new UsageError(`${directory}: has the classes ${dataset.classes.join(', ')}; the model knows ${classes.join(', ')}`)
  return dataset
}
