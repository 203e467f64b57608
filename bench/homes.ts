// Does a finished model give the same logits in all its homes? Every clip or image of a list goes through the runtime's WebAssembly, which is the measure,
// and through each home (bench/home.ts): the bundled runtime in Node and in Chromium, the core compiled for this processor, ONNX Runtime at its
// default settings, firmware on five emulated processors. Exit code 1 where a home that has to be exact differs, or a size is not as predicted.
//   node bench/homes.ts --data DIR --list FILE [--homes a,b,...] [--json] MODEL.bw...
import { readFileSync } from 'node:fs'
import { loadClipList } from '../packages/bitwright/src/data/audio-dataset.ts'
import { inputRows } from '../packages/bitwright/src/data/dataset.ts'
import { imageSizeOf } from '../packages/bitwright/src/data/decode-image.ts'
import { loadImageList } from '../packages/bitwright/src/data/image-dataset.ts'
import { argMax } from '../packages/bitwright/src/training/evaluate.ts'
import { load, type Model } from '../packages/runtime/src/index.ts'
import { columns } from './columns.ts'
import { readFlagsAndFiles, wrongUse } from './flags.ts'
import { type Clips, type HomeKind, homeKinds, type Logits, type Sizes } from './home.ts'

export interface HomeRow extends Partial<Sizes> {
  readonly model: string
  readonly home: string
  readonly clips: number
  /** Clips with every logit equal, with every logit within a step, and with another answer. */
  readonly equal: number
  readonly withinStep: number
  readonly otherAnswer: number
  /** Largest difference in steps. */
  readonly most: number
}

function compare(expected: Logits, actual: Logits) {
  const differences = expected.map((logits, i) => Math.max(...Array.from(logits, (value, c) => Math.abs(value - actual[i][c]))))
  const count = (of: (difference: number, i: number) => boolean): number => differences.filter(of).length
  return {
    clips: expected.length,
    equal: count((difference) => difference === 0),
    withinStep: count((difference) => difference <= 1),
    otherAnswer: count((_, i) => argMax(expected[i]) !== argMax(actual[i])),
    most: Math.max(...differences),
  }
}

const say = (line: string): void => {
  process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${line}` : '')
}

async function throughHomes(path: string, clipsOf: (model: Model) => Promise<Clips>, kinds: readonly HomeKind[]) {
  const file = readFileSync(path)
  const model = load(file, path)
  const clips = await clipsOf(model)
  const expected = clips.map((clip) => model.run(clip))
  const rows: HomeRow[] = []
  for (const { name, open } of kinds) {
    say(`${path}: ${name}`)
    const home = await open(model, file)
    if (!home) continue
    try {
      const actual = await home.logits(clips, (done) => say(`${path}: ${name}: ${done} of ${clips.length}`))
      rows.push({ model: path, home: name, ...compare(expected, actual), ...home.sizes })
    } finally {
      await home.close?.()
    }
    say('')
    const { equal, most } = rows.at(-1)!
    console.error(`${path}: ${name}: ${equal} of ${clips.length} clips equal, at most ${most} steps apart`)
  }
  return rows
}

const names = homeKinds.map(({ name }) => name)
const { values, files } = readFlagsAndFiles(
  `node bench/homes.ts --data DIR --list FILE [--homes ${names.join(',')}] [--json] MODEL.bw...`,
  ['data', 'list'],
  { homes: undefined, json: false },
)
const { data, list } = values
const asked = values.homes?.split(',') ?? names
const unknown = asked.find((name) => !names.includes(name))
if (unknown !== undefined) wrongUse(`--homes ${unknown}: no such home; give some of ${names.join(',')}`)

const usable: HomeKind[] = []
for (const kind of homeKinds.filter(({ name }) => asked.includes(name))) {
  const reason = await kind.missing()
  if (reason === undefined) usable.push(kind)
  else console.error(`${kind.name} is left out: ${reason}`)
}
const rows: HomeRow[] = []
for (const path of files) {
  const clipsOf = async ({ classes, frontEnd }: Model) => {
    const dataset =
      frontEnd.kind === 'image' ? await loadImageList(data, list, classes, imageSizeOf(frontEnd)) : await loadClipList(data, list, classes)
    const all = inputRows(dataset)
    return dataset.splits.test.map(({ index }) => all.values.slice(index * all.size, (index + 1) * all.size))
  }
  rows.push(...(await throughHomes(path, clipsOf, usable)))
}
console.log(values.json ? JSON.stringify(rows) : columns(rows))
const isExact = new Map(homeKinds.map(({ name, exact }) => [name, exact]))
const wrong = rows.filter(
  (row) =>
    (isExact.get(row.home) && row.equal < row.clips) ||
    row.flashBytes !== row.predictedFlashBytes ||
    row.ramBytes !== row.predictedRamBytes,
)
for (const { model, home } of wrong) console.error(`${model}: ${home} is not what it has to be`)
process.exit(wrong.length > 0 ? 1 : 0)
