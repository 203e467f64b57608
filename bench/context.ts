// What is CENet's graph module for? Clips of one second with two short tones, one at the beginning and one at the end: are they of one pitch
// or of two? No layer of CENet-6 sees both; CENet-24 and CENet-40 are deeper. Float training on clips that are made here, scored on others:
//
//   node bench/context.ts [--seeds 0,1,2] [--networks cenet-6,cenet-gcn-6,cenet-24,cenet-gcn-24] [--clips 1500] [--epochs 20] [--rate 0.02]
import { Engine, openBackend, Random } from '../packages/engine/src/index.ts'
import { splitNames } from '../packages/bitwright/src/data/plan.ts'
import type { AudioDataset, Sample, SplitName } from '../packages/bitwright/src/data/dataset.ts'
import { builtinNetwork } from '../packages/bitwright/src/network/index.ts'
import { AudioSource } from '../packages/bitwright/src/training/audio-source.ts'
import { argMax, Evaluator } from '../packages/bitwright/src/training/evaluate.ts'
import { createStore } from '../packages/bitwright/src/training/initialize.ts'
import { Trainer } from '../packages/bitwright/src/training/trainer.ts'
import { recipeOf } from '../packages/bitwright/src/study/session.ts'
import { columns } from './columns.ts'
import { readFlags } from './flags.ts'
import { meanAndError } from './graph-training.ts'

const values = readFlags(
  'node bench/context.ts [--seeds 0,1,2] [--networks cenet-6,cenet-gcn-6,cenet-24,cenet-gcn-24] [--clips 1500] [--epochs 20] [--rate 0.02]',
  [],
  { seeds: '0,1,2', networks: 'cenet-6,cenet-gcn-6,cenet-24,cenet-gcn-24', clips: '1500', epochs: '20', rate: '0.02' },
)
const [clips, epochs, rate] = [values.clips, values.epochs, values.rate].map(Number)
const classes = ['same', 'different']
const sampleRate = 16_000
const samples = 16_000
const toneSamples = 1600

/** Either tone has one of two pitches, its own phase and loudness, and lies within the first or the last 150 ms. */
function farTones(): AudioDataset {
  const counts: Record<SplitName, number> = { train: clips, validation: 2, test: 500 }
  const splits: Record<SplitName, Sample[]> = { train: [], validation: [], test: [] }
  const pcm = new Int16Array(splitNames.reduce((sum, split) => sum + counts[split], 0) * samples)
  let index = 0
  for (const split of splitNames)
    for (let i = 0; i < counts[split]; i++, index++) {
      const random = new Random(0, 'far tones', index)
      const label = i % 2
      const first = random.integer(2)
      const clip = pcm.subarray(index * samples, (index + 1) * samples)
      for (let t = 0; t < samples; t++) clip[t] = Math.round(100 * random.normal())
      for (const [start, pitch] of [
        [random.integer(800), first],
        [samples - toneSamples - random.integer(800), label === 0 ? first : 1 - first],
      ]) {
        const [phase, loudness] = [random.uniform(0, 2 * Math.PI), random.uniform(2000, 10_000)]
        const omega = (2 * Math.PI * (pitch === 0 ? 500 : 1500)) / sampleRate
        for (let t = 0; t < toneSamples; t++)
          clip[start + t] += Math.round(loudness * Math.sin(Math.PI * (t / toneSamples)) * Math.sin(omega * t + phase))
      }
      splits[split].push({ path: `${classes[label]}/${index}.wav`, label, speaker: split, index })
    }
  return { kind: 'audio', directory: 'far tones', classes, sampleRate, samples, splits, skipped: [], pcm, background: [] }
}

const engine = new Engine(await openBackend({ threads: 1 }))
const dataset = farTones()
const table: Record<string, string>[] = []
for (const name of values.networks.split(',')) {
  const network = builtinNetwork(name, { classes })
  const accuracies: number[] = []
  for (const seed of values.seeds.split(',').map(Number)) {
    const store = createStore(engine, [network], seed)
    const source = new AudioSource(engine, dataset, network.frontEnd, { shiftMs: 20, speedChange: 0 })
    const options = { ...recipeOf('audio', 'train', rate), batchSize: 64, epochs, seed, purpose: 'train' }
    const trainer = new Trainer(engine, network, store, source, options)
    for (let epoch = 0; epoch < epochs; epoch++) await trainer.epoch(epoch)
    trainer.dispose()
    const evaluator = new Evaluator(engine, network, store)
    const { logits } = await evaluator.logits(source, dataset.splits.test)
    accuracies.push((100 * logits.filter((row, i) => argMax(row) === dataset.splits.test[i].label).length) / logits.length)
    evaluator.dispose()
    store.dispose()
    console.error(`${name}, seed ${seed}: ${accuracies.at(-1)!.toFixed(1)} %`)
  }
  const { mean, standardError } = meanAndError(accuracies)
  table.push({ network: name, 'test accuracy, %': `${mean.toFixed(1)} ± ${standardError.toFixed(1)}` })
}
console.log(columns(table))
engine.backend.close()
