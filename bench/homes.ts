// Does a finished model give the same logits in all its homes? Every clip of a list goes through WebAssembly in Node, which is the measure,
// and through the core compiled for this processor and the ONNX export in ONNX Runtime at its default settings (bench/peers).
//   node bench/homes.ts --data DIR --list FILE [--front-end] [--json] MODEL.bw...
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { loadClipList } from '../packages/bitwright/src/data/audio-dataset.ts'
import { onnxModel } from '../packages/bitwright/src/export/index.ts'
import { isSpectralFrontEnd } from '../packages/bitwright/src/hardware/index.ts'
import { argMax } from '../packages/bitwright/src/training/evaluate.ts'
import { computeFeatures, load, type Model } from '../packages/runtime/src/index.ts'
import { columns } from './columns.ts'
import { peerMissing } from './inference-peers.ts'
import { openNativeCore } from './native-core.ts'

/** Logits of a clip in steps of the model's output; several clips may be asked for at once. */
interface Home {
  readonly name: string
  logits(clips: readonly Int16Array[]): Promise<readonly ArrayLike<number>[]>
}

export interface HomeRow {
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

async function onnxHome(model: Model, frontEnd: boolean, exact: boolean): Promise<Home> {
  const { InferenceSession, Tensor } = createRequire(join(import.meta.dirname, 'peers/package.json'))('onnxruntime-node')
  const session = await InferenceSession.create(onnxModel(model.integerModel, { frontEnd, exact }))
  const { scale, zeroPoint } = model.integerModel.tensors[model.integerModel.layers.at(-1)!.output]
  const spectral = isSpectralFrontEnd(model.frontEnd) && !frontEnd ? model.frontEnd : undefined
  const inputOf = (pcm: Int16Array) => {
    const audio = Float32Array.from(pcm, (sample) => sample / 32768)
    if (!spectral) return { audio: new Tensor('float32', audio, [1, pcm.length]) }
    const features = computeFeatures(spectral, pcm)
    return { features: new Tensor('float32', features, [1, features.length / spectral.coefficients, spectral.coefficients]) }
  }
  return {
    name: `ONNX Runtime${exact ? ', exact form' : ''}${frontEnd ? ', front end in the graph' : ''}`,
    async logits(clips) {
      const all: Float64Array[] = []
      for (const pcm of clips) {
        const { data } = (await session.run(inputOf(pcm))).logits as { data: Float32Array }
        all.push(Float64Array.from(data, (value) => Math.round(value / scale + zeroPoint)))
      }
      return all
    },
  }
}

async function homesOf(model: Model, file: Uint8Array, frontEnd: boolean): Promise<Home[]> {
  const homes: Home[] = []
  const open = await openNativeCore(console.error)
  if (open) {
    const core = open(file, model.classes.length)
    const { frontEnd: config } = model
    homes.push({
      name: 'native',
      logits: async (clips) => clips.map((pcm) => core.run(isSpectralFrontEnd(config) ? computeFeatures(config, pcm) : pcm).slice()),
    })
  }
  const missing = peerMissing('onnxruntime-node')
  if (missing) console.error(`ONNX Runtime is left out: ${missing}`)
  else homes.push(await onnxHome(model, false, false), await onnxHome(model, false, true))
  if (!missing && frontEnd && isSpectralFrontEnd(model.frontEnd)) homes.push(await onnxHome(model, true, true))
  return homes
}

function compare(model: string, home: string, expected: readonly ArrayLike<number>[], actual: readonly ArrayLike<number>[]): HomeRow {
  const differences = expected.map((logits, i) => Math.max(...Array.from(logits, (value, c) => Math.abs(value - actual[i][c]))))
  const count = (of: (difference: number, i: number) => boolean): number => differences.filter(of).length
  return {
    model,
    home,
    clips: expected.length,
    equal: count((difference) => difference === 0),
    withinStep: count((difference) => difference <= 1),
    otherAnswer: count((_, i) => argMax(expected[i]) !== argMax(actual[i])),
    most: Math.max(...differences),
  }
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { data: { type: 'string' }, list: { type: 'string' }, 'front-end': { type: 'boolean' }, json: { type: 'boolean' } },
})
if (positionals.length === 0 || values.data === undefined || values.list === undefined) {
  console.error('usage: node bench/homes.ts --data DIR --list FILE [--front-end] [--json] MODEL.bw...')
  process.exit(2)
}
const rows: HomeRow[] = []
for (const path of positionals) {
  const file = readFileSync(path)
  const model = load(file, path)
  const { pcm, samples, splits } = await loadClipList(values.data, values.list, model.classes)
  const clips = splits.test.map(({ index }) => pcm.slice(index * samples, (index + 1) * samples))
  const expected = clips.map((clip) => model.run(clip))
  for (const home of await homesOf(model, file, values['front-end'] ?? false))
    rows.push(compare(path, home.name, expected, await home.logits(clips)))
}
console.log(values.json ? JSON.stringify(rows) : columns(rows))
process.exit(0)
