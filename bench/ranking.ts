// Does the shared-weight score rank? Networks spread over a joint search's space are scored with the weights that the search left, then
// each is trained alone, from scratch and at its widths; Kendall's tau compares the two orders. Every training is a run
// in a folder of its own, resumed or skipped where it exists, so that it can be filled in over several sittings:
//
//   node bench/ranking.ts --run RUN --data DIR --out DIR [--networks 12] [--train 60] [--quantize 20] [--threads N] [--only 0,1,..] [--json]
//
// RUN is the folder of a finished `search --search joint`; its request says data lists and bits.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { readJournal } from '../packages/bitwright/src/study/journal.ts'
import { runDirectory } from '../packages/bitwright/src/study/run-directory.ts'
import { createProgress } from '../packages/bitwright/src/cli/progress.ts'
import { trainStudy } from '../packages/bitwright/src/study/run.ts'
import type { SearchSpec, TrainSpec } from '../packages/bitwright/src/study/api.ts'
import type { StudyEvent } from '../packages/bitwright/src/study/events.ts'
import { columns } from './columns.ts'
import { readFlags } from './flags.ts'
import { kendallTau, spread } from './rank-correlation.ts'

const { run, data, out, ...values } = readFlags(
  'node bench/ranking.ts --run RUN --data DIR --out DIR [--networks 12] [--train N] [--quantize N] [--threads N] [--only 0,1] [--json]',
  ['run', 'data', 'out'],
  { networks: '12', train: '60', quantize: '20', threads: '2', only: undefined, json: false },
)

type Scored = Extract<StudyEvent, { type: 'candidate' }> & { readonly score: number }

const scored = readJournal(runDirectory(run).journal).filter(
  (event): event is Scored => event.type === 'candidate' && event.score !== undefined && event.dropped === undefined,
)
const chosen = spread(scored, ({ cost }) => cost.flashBytes, Number(values.networks))
const wanted = values.only?.split(',').map(Number)
const request = JSON.parse(readFileSync(runDirectory(run).spec, 'utf8')) as SearchSpec

/** Validation accuracy of the integer model of a network trained alone; undefined where it is not finished. */
async function trainedAlone(index: number): Promise<number | undefined> {
  const folder = resolve(out, `network${index}`)
  const { journal } = runDirectory(folder)
  const evaluation = () =>
    (existsSync(journal) ? readJournal(journal) : []).findLast((event) => event.type === 'evaluation' && event.split === 'validation')
  if (!evaluation() && (wanted === undefined || wanted.includes(index))) {
    const network = resolve(out, `network${index}.json`)
    writeFileSync(network, JSON.stringify(chosen[index].network))
    const { space: _space, spaceOptions: _spaceOptions, search: _search, joint: _joint, ...shared } = request
    const spec: TrainSpec = {
      ...shared,
      network,
      data: { ...request.data, directory: data },
      budget: {},
      epochs: { ...request.epochs, train: Number(values.train), quantize: Number(values.quantize) },
      threads: Number(values.threads),
      out: folder,
      resume: existsSync(journal),
      command: 'node bench/ranking.ts',
    }
    const progress = createProgress(process.stderr, spec.epochs)
    await trainStudy(spec, { onNotice: progress.say, onEvent: progress.onEvent, onProgress: progress.onProgress, shouldStop: () => false })
    progress.finish()
  }
  const found = evaluation()
  return found?.type === 'evaluation' ? found.integer?.accuracy : undefined
}

mkdirSync(out, { recursive: true })
const rows: { index: number; id: number; flashBytes: number; shared: number; alone: number | undefined }[] = []
for (const [index, { score, cost, id }] of chosen.entries())
  rows.push({ index, id, flashBytes: cost.flashBytes, shared: score, alone: await trainedAlone(index) })
const known = rows.filter((row): row is (typeof rows)[number] & { alone: number } => row.alone !== undefined)
const tau =
  known.length > 1
    ? kendallTau(
        known.map(({ shared }) => shared),
        known.map(({ alone }) => alone),
      )
    : undefined
if (values.json) console.log(JSON.stringify({ rows, tau }))
else {
  console.log(columns(rows))
  console.log(
    tau === undefined ? 'two trained networks are needed for an order' : `Kendall tau of ${known.length} networks: ${tau.toFixed(3)}`,
  )
}
