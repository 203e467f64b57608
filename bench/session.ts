// A session of a study that a bench drives by itself, stage by stage: what it tells is kept in memory, and it leaves nothing to resume from.
import { mkdirSync } from 'node:fs'
import type { Engine } from '../packages/engine/src/index.ts'
import type { Dataset } from '../packages/bitwright/src/data/dataset.ts'
import type { StudyEvent } from '../packages/bitwright/src/study/events.ts'
import { runDirectory } from '../packages/bitwright/src/study/run-directory.ts'
import type { Session, Spec } from '../packages/bitwright/src/study/session.ts'

export function sessionOf(engine: Engine, dataset: Dataset, spec: Spec): Session {
  const events: StudyEvent[] = []
  const began = performance.now()
  const directory = runDirectory(spec.out)
  mkdirSync(directory.path, { recursive: true })
  return {
    spec,
    hooks: { onEvent: () => {}, onProgress: () => {}, shouldStop: () => false },
    directory,
    journal: { events, append: (event) => void events.push(event), close: () => {} },
    engine,
    dataset,
    emit: (event) => void events.push(event),
    save: () => {},
    seconds: () => (performance.now() - began) / 1000,
    stage: (_, work) => work(),
    between: () => () => true,
  }
}
