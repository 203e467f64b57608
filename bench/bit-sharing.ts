// What does sharing bits cost? One fixed architecture whose layers are trained at random widths in every step, then scored with all layers at 8, 4
// and 2 bits and at random mixtures: for both ways to share, with batch norm shared between widths or one per width, beside networks that
// were trained alone at one width for as many epochs. Statistics are taken anew before each score. Every line is kept in its own file, so
// that the table can be filled in several sittings:
//
//   node bench/bit-sharing.ts --data DIR --lists DIR --out DIR [--seeds 0,1] [--epochs 4,8] [--only nested-shared,alone-4] [--threads N] [--json]
//
// --epochs: of float training, and of quantized training after it. Validation clips alone are scored.
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Engine, openBackend, Random } from '../packages/engine/src/index.ts'
import { type AudioDataset } from '../packages/bitwright/src/data/dataset.ts'
import { loadAudioDataset } from '../packages/bitwright/src/data/audio-dataset.ts'
import type { Network } from '../packages/bitwright/src/network/index.ts'
import { Supernet } from '../packages/bitwright/src/search/supernet.ts'
import { everyPath } from '../packages/bitwright/src/spaces/decisions.ts'
import { jointSpace, kwsMfcc, randomDecisions, roleOf, type Space } from '../packages/bitwright/src/spaces/index.ts'
import { openSource } from '../packages/bitwright/src/training/sample-source.ts'
import { SharedQuantization } from '../packages/bitwright/src/training/shared-quantization.ts'
import { schedule } from '../packages/bitwright/src/training/trainer.ts'
import { readFlags } from './flags.ts'

const widths = [2, 4, 8]
const batchSize = 64
const learningRate = 3e-3
const mixtures = 4

interface Line {
  readonly name: string
  readonly sharing: 'nested' | 'latent'
  readonly normalization: 'shared' | 'perWidth'
  /** The one width it is trained at; absent: all. */
  readonly alone?: number
}
const share = (normalization: Line['normalization']): Line[] =>
  (['nested', 'latent'] as const).map((sharing) => ({ name: `${sharing}-${normalization}`, sharing, normalization }))
const lines: Line[] = [
  ...share('shared'),
  ...widths.map((bits) => ({ name: `alone-${bits}`, sharing: 'latent' as const, normalization: 'shared' as const, alone: bits })),
  ...share('perWidth'),
]

interface Row {
  readonly name: string
  readonly seed: number
  /** Percent of validation clips; null where the network was not trained for it. */
  readonly all8: number | null
  readonly all4: number | null
  readonly all2: number | null
  /** Mean of random mixtures, the same for all lines. */
  readonly mixed: number | null
  readonly seconds: number
}

const { data, lists, out, ...values } = readFlags(
  'node bench/bit-sharing.ts --data DIR --lists DIR --out DIR [--seeds 0,1] [--epochs 4,8] [--only a,b] [--threads N] [--json]',
  ['data', 'lists', 'out'],
  { seeds: '0,1', epochs: '4,8', only: undefined, threads: '1', json: false },
)
const [floatEpochs, quantizedEpochs] = values.epochs.split(',').map(Number)

/** kws-mfcc with every block expansion 3, kernel 3: a space with nothing to choose but widths. */
function fixedSpace(dataset: AudioDataset): Space {
  const whole = kwsMfcc({ classes: dataset.classes })
  const network = whole.build(whole.choices.map(({ options }) => options.indexOf('e3k3')))
  return {
    name: 'kws-mfcc-e3k3',
    choices: [],
    build: () => network,
    edges: () => [],
    fragment: () => {
      throw new Error('there are no options')
    },
  }
}

type SupernetState = ReturnType<Supernet['state']>
/** Float weights by what they depend on: seed and names. */
const trained = new Map<string, SupernetState>()

async function measure(engine: Engine, dataset: AudioDataset, { name, sharing, normalization, alone }: Line, seed: number): Promise<Row> {
  const begin = performance.now()
  const its = alone === undefined ? widths : [alone]
  const space = jointSpace(fixedSpace(dataset), { weightBits: its, activationBits: its }, normalization)
  const source = openSource(engine, dataset, space.build(space.choices.map(() => 0)).frontEnd)
  const supernet = new Supernet(engine, space, source, { seed, batchSize, labelSmoothing: 0.1, weightDecay: 0.05 })
  const networks = everyPath(space).map((decisions) => space.build(decisions))
  const quantization = new SharedQuantization(supernet.store, networks, (id) => roleOf(space, id), {
    weightWidths: its,
    activationWidths: its,
    sharing,
    granularity: 'channel',
  })
  const train = async (stage: 'float' | 'quantized', epochs: number, peak: number): Promise<void> => {
    for (let epoch = 0; epoch < epochs; epoch++) {
      const key = stage === 'float' ? epoch : floatEpochs + epoch
      const order = source.epochOrder(seed, key)
      const steps = Math.floor(order.length / batchSize)
      let sum = 0
      for (let step = 0; step < steps; step++) {
        const rate = peak * schedule(epoch * steps + step, epochs * steps)
        const path = randomDecisions(space, new Random(seed, 'widths', key, step))
        const samples = order.slice(step * batchSize, (step + 1) * batchSize)
        sum += supernet.weightStep(path, samples, key, rate, stage === 'float' ? undefined : quantization).loss
      }
      console.error(`${name}, seed ${seed}: ${stage} epoch ${epoch + 1}, loss ${(sum / steps).toFixed(3)}`)
    }
  }
  const start = `${normalization}, ${seed}`
  if (!trained.has(start)) {
    await train('float', floatEpochs, learningRate)
    trained.set(start, structuredClone(supernet.state()))
  }
  supernet.restore(trained.get(start)!)
  supernet.loadLargest()
  quantization.initializeWeights()
  await quantization.initializeActivations(source, { seed, batchSize })
  await train('quantized', quantizedEpochs, learningRate / 2)
  const { splits } = dataset
  const accuracy = async (network: Network) => 100 * (await supernet.sharedAccuracy(network, splits.train, splits.validation, quantization))
  const at = async (bits: number) => (its.includes(bits) ? accuracy(space.build(space.choices.map(() => its.indexOf(bits)))) : null)
  const [all8, all4, all2] = [await at(8), await at(4), await at(2)]
  let mixed = 0
  for (let i = 0; i < mixtures; i++) mixed += (await accuracy(space.build(randomDecisions(space, new Random(0, 'mixture', i))))) / mixtures
  supernet.dispose()
  return {
    name,
    seed,
    all8,
    all4,
    all2,
    mixed: alone === undefined ? mixed : null,
    seconds: Math.round((performance.now() - begin) / 1000),
  }
}

mkdirSync(out, { recursive: true })
const only = values.only === undefined ? undefined : new Set(values.only.split(','))
const list = (file: string) => join(lists, `sc12_${file}.txt`)
const dataset = await loadAudioDataset(data, {
  lists: { train: list('train'), validation: list('val'), test: list('test') },
  split: 'lists',
  threads: Number(values.threads),
})
const backend = await openBackend({ threads: Number(values.threads) })
const engine = new Engine(backend)
const rows: Row[] = []
for (const seed of values.seeds.split(',').map(Number)) {
  for (const line of lines) {
    if (only && !only.has(line.name)) continue
    const file = join(out, `${line.name}-e${floatEpochs}+${quantizedEpochs}-s${seed}.json`)
    if (!existsSync(file)) {
      writeFileSync(`${file}.part`, JSON.stringify(await measure(engine, dataset, line, seed)))
      renameSync(`${file}.part`, file)
    }
    rows.push(JSON.parse(readFileSync(file, 'utf8')) as Row)
  }
}
backend.close()
if (values.json) console.log(JSON.stringify(rows))
else console.table(rows)
