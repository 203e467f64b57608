// A run as a search on twelve classes would leave it, made up with a seed: for the report's tests and for looking at the page.
import { Random } from '@bitwright/engine'
import { builtinNetwork, countNetwork, withBits, type Network } from '../../network/index.ts'
import type { ClassifierScores, Cost, LayerBits, StageName, StudyEvent } from '../../study/events.ts'
import { weightedNodes } from '../../network/index.ts'

export const sampleClasses = ['yes', 'no', 'up', 'down', 'left', 'right', 'on', 'off', 'stop', 'go', '_unknown_', '_silence_']
const epochs = { warmup: 8, search: 32, train: 60, quantize: 20 }

export function sampleEvents(classes: readonly string[] = sampleClasses, seed = 1): StudyEvent[] {
  const random = new Random(seed, 'sample events')
  const base = builtinNetwork('kws-e2e-e3k5', { classes })
  const network = withLearnedBits(base, random)
  const { params, macs } = countNetwork(network)
  const cost: Cost = { params, macs, flashBytes: 21_344, ramBytes: 17_920 }
  const spec = { data: { directory: 'speech_commands' }, budget: { flashBytes: 32_768, ramBytes: 32_768, macs: 14e6 }, epochs, seed: 0 }
  const command =
    "npx bitwright search --data speech_commands --words yes,no,up,down,left,right,on,off,stop,go --space kws-e2e --search proxyless --weight-bits trained --activation-bits trained --flash 32k --ram 32k --macs 14M --out 'runs/first try'"
  const events: StudyEvent[] = [
    { type: 'started', command, spec, version: '0.1.0', backend: 'native', threads: 2 },
    { type: 'stage', stage: 'data', state: 'started' },
    { type: 'data', directory: 'speech_commands', classes, counts: { train: 3808, validation: 622, test: 700 }, skipped: 2 },
    { type: 'stage', stage: 'data', state: 'finished', seconds: 6.2 },
  ]
  for (const [stage, seconds] of [
    ['warmup', 61],
    ['search', 540],
    ['train', 610],
    ['quantize', 300],
  ] as const) {
    events.push({ type: 'stage', stage, state: 'started' })
    for (let epoch = 1; epoch <= epochs[stage]; epoch++) {
      events.push(sampleEpoch(stage, epoch, random))
      if (stage === 'search' && epoch % 2 === 0) events.push(sampleCandidate(base, epoch / 2, 'most probable', random))
    }
    if (stage === 'search') {
      for (let id = 17; id <= 46; id++) events.push(sampleCandidate(base, id, 'drawn from the gates', random))
      events.push({
        type: 'candidate',
        id: 47,
        origin: 'most probable',
        network: base,
        cost,
        score: 0.894,
        scoreKind: 'shared',
        chosen: true,
      })
    }
    events.push({ type: 'stage', stage, state: 'finished', seconds })
  }
  events.push({ type: 'network', network, cost, layers: sampleLayers(network) })
  const scores = (split: 'test' | 'validation', count: number) => ({
    type: 'evaluation' as const,
    split,
    float: sampleScores(classes, count, 0.929, random),
    fakeQuantized: sampleScores(classes, count, 0.921, random),
    integer: sampleScores(classes, count, 0.92, random),
  })
  events.push(scores('validation', 622), {
    ...scores('test', 700),
    differing: [
      { path: 'go/5588c7e6_nohash_0.wav', fakeQuantized: 9, integer: 1, margin: 0.0031 },
      { path: 'up/c1d39ce8_nohash_3.wav', fakeQuantized: 2, integer: 7, margin: 0.0104 },
    ],
  })
  events.push({ type: 'finished', model: 'runs/first/model.bw', report: 'runs/first/report.html', seconds: 1561 })
  return events
}

function sampleEpoch(stage: keyof typeof epochs & StageName, epoch: number, random: Random): StudyEvent {
  const share = epoch / epochs[stage]
  const noise = (size: number) => size * random.normal()
  const [from, to] = { warmup: [2.4, 1.5], search: [1.5, 0.95], train: [2.3, 0.52], quantize: [0.78, 0.56] }[stage]
  const trainLoss = to + (from - to) * Math.exp(-4.5 * share) + noise(0.012)
  const learned = stage === 'quantize' && {
    averageWeightBits: 2.61 + 5.3 * Math.exp(-5 * share),
    averageActivationBits: 2.94 + 5 * Math.exp(-4 * share),
    flashBytes: Math.round(20_000 + 26_000 * Math.exp(-5 * share)),
  }
  const validationLoss = trainLoss * 0.9 + 0.09 + Math.abs(noise(0.03))
  return {
    type: 'epoch',
    stage,
    epoch,
    epochs: epochs[stage],
    learningRate: 0.002 * (0.5 + 0.5 * Math.cos(Math.PI * share)),
    seconds: 10,
    trainLoss,
    trainAccuracy: fit(trainLoss) - 0.02,
    validationLoss,
    validationAccuracy: Math.min(0.94, fit(validationLoss) + noise(0.006)),
    ...(stage === 'search' && { expectedMacs: 9.8e6 + 4.6e6 * Math.exp(-3 * share) + noise(6e4) }),
    ...learned,
  }
}

function fit(loss: number): number {
  return Math.max(0.08, Math.min(0.995, 1.13 - loss * 0.3))
}

function sampleCandidate(base: Network, id: number, origin: string, random: Random): StudyEvent {
  const drawn = origin.startsWith('drawn')
  const macs = drawn ? random.uniform(4e6, 17e6) : 14.4e6 - 4.2e6 * Math.min(1, id / 12) + random.uniform(-3e5, 3e5)
  const params = Math.round(macs * 0.0046 * random.uniform(0.82, 1.2))
  const cost: Cost = { params, macs: Math.round(macs), flashBytes: Math.round(params * 0.46 + 900), ramBytes: 17_920 }
  const candidate = { type: 'candidate', id, origin, network: base, cost } as const
  if (macs > 14e6) return { ...candidate, dropped: `${(macs / 1e6).toFixed(1)}M MACs exceed the budget of 14M` }
  const skill = 0.9 - 0.16 * Math.exp(-macs / 4.2e6)
  const score = drawn ? skill - Math.abs(0.018 * random.normal()) : skill - 0.09 * Math.exp(-id / 4) - 0.004
  return { ...candidate, score, scoreKind: 'shared' }
}

function withLearnedBits(base: Network, random: Random): Network {
  const layers = weightedNodes(base)
  const overrides = layers.map(({ id }, index) => {
    const edge = index === 0 || index === layers.length - 1
    return [id, { weightBits: edge ? 5 : 2 + random.integer(2), activationBits: edge ? 6 : 2 + random.integer(3) }] as const
  })
  return withBits(base, { weightBits: 3, activationBits: 3 }, { overrides: Object.fromEntries(overrides) })
}

function sampleLayers(network: Network): LayerBits[] {
  const counts = new Map(countNetwork(network).nodes.map((node) => [node.id, node]))
  return weightedNodes(network).map(({ id, weightBits = 8, activationBits = 8 }) => ({
    ...counts.get(id)!,
    id,
    weightBits,
    activationBits,
  }))
}

function sampleScores(classes: readonly string[], count: number, skill: number, random: Random): ClassifierScores {
  const confusion = classes.map(() => classes.map(() => 0))
  for (let clip = 0; clip < count; clip++) {
    const actual = clip % classes.length
    const silence = classes[actual] === '_silence_'
    const right = silence || random.uniform() < skill - (actual % 5 === 1 ? 0.09 : 0)
    const near = random.uniform() < 0.55 ? (actual ^ 1) % classes.length : random.integer(classes.length)
    confusion[actual][right ? actual : near]++
  }
  const recall = confusion.map((row, index) => row[index] / row.reduce((sum, clips) => sum + clips, 0))
  const rightOf = (rows: readonly number[]) => rows.reduce((sum, row) => sum + confusion[row][row], 0)
  const all = classes.map((_, index) => index)
  const spoken = all.filter((index) => classes[index] !== '_silence_')
  const clipsOf = (rows: readonly number[]) => rows.reduce((sum, row) => sum + confusion[row].reduce((a, b) => a + b, 0), 0)
  return {
    accuracy: rightOf(all) / count,
    count,
    accuracyWithoutSilence: rightOf(spoken) / clipsOf(spoken),
    confusion,
    recall,
    standardError: 0.018,
  }
}
