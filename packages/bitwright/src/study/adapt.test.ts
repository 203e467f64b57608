// Finished runs on one-second tones that go on with other tones under noise: what is measured, what is kept, what is told, and that interruptions and
// threads change nothing.
import { Random } from '@bitwright/engine'
import { decodeModel, type IntegerLayer } from '@bitwright/runtime'
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { beforeAll, describe, expect, it } from 'vitest'
import { encodeWav } from '../data/wav.ts'
import { adaptStudy, type AdaptedSpec } from './adapt.ts'
import { adaptRequest } from '../cli/adapt-request.ts'
import type { Dataset } from '../data/dataset.ts'
import type { Network } from '../network/network.ts'
import { decisionsOf } from './adapt-search.ts'
import type { Progress, SearchSpec } from './api.ts'
import { readRequest } from './spec.ts'
import { readCheckpoint } from './checkpoint.ts'
import type { StudyEvent } from './events.ts'
import { evaluateRun } from './evaluate.ts'
import { readJournal } from './journal.ts'
import { runDirectory } from './run-directory.ts'
import { searchStudy, trainStudy } from './run.ts'
import { at, hooksOf, inSittings, place, remains as leftBehind, sampleRate, searching, training, words } from './testing/tone-runs.ts'
import { rebuildModel } from './trained-run.ts'

/** A folder like that of the runs, of other speakers, noise over every tone. */
function makeClips(folder: string, noise: number, seed: number, labels = words, pitch = 1) {
  for (const word of labels) {
    mkdirSync(place(folder, word), { recursive: true })
    for (let i = 0; i < 30; i++) {
      const random = new Random(seed, word, i)
      const omega = (2 * Math.PI * (word === 'high' ? 2000 : 500) * pitch * random.uniform(0.9, 1.1)) / sampleRate
      const loudness = random.uniform(3000, 12_000)
      const pcm = Int16Array.from({ length: sampleRate }, (_, t) =>
        Math.max(-32_768, Math.min(32_767, Math.round(loudness * Math.sin(omega * t) + noise * random.normal()))),
      )
      writeFileSync(place(folder, word, `${seed}s${i >> 1}_nohash_${i % 2}.wav`), encodeWav(pcm, sampleRate))
    }
  }
}

const request = (run: string, data: string, out: string, more: Record<string, string | true> = {}): AdaptedSpec =>
  adaptRequest(
    place(run),
    {
      data: place(data),
      split: 'speaker',
      epochs: 'search=1,train=1,quantize=3',
      candidates: '12',
      threads: '2',
      out: place(out),
      ...more,
    },
    [],
  ).spec

const weightsOf = (layer: IntegerLayer) => ('weights' in layer ? [...layer.weights] : [])

const remains = (out: string) => {
  const { told, ...rest } = leftBehind(out)
  const events: StudyEvent[] = readJournal(runDirectory(place(out)).journal)
  const [drift, adaptation] = (['drift', 'adaptation'] as const).map((type) => events.findLast((event) => event.type === type)!)
  return { ...rest, told, drift, adaptation: { ...adaptation, cost: { ...(adaptation as { cost: object }).cost, seconds: 0 } } }
}

beforeAll(async () => {
  makeClips('noisy', 12_000, 1)
  makeClips('lower', 300, 2, words, 0.5)
  makeClips('quiet', 300, 3)
  await trainStudy(training('base'), hooksOf())
})

describe('a run without shared weights', () => {
  it('is trained on where it has to be, keeps its network, and leaves a run like any other', async () => {
    const hooks = hooksOf()
    const result = await adaptStudy(request('base', 'lower', 'adapted', { replay: '0.4' }), hooks)
    expect(result.status).toBe('finished')
    const { drift, adaptation } = result
    expect(drift!.distance).toBeGreaterThan(drift!.floor)
    expect(drift!.verdict).toBe('training')
    expect(adaptation!.network).toBe('kept')
    expect(adaptation!.splits.map(({ split }) => split)).toEqual(['validation', 'test'])
    const [{ new: fresh, old }] = adaptation!.splits
    expect(fresh.before).toBe(drift!.new.before.accuracy)
    expect(fresh.adapted).toBe(result.evaluations[0].integer!.accuracy)
    expect(fresh.count + old!.count).toBe(12 + drift!.new.before.count)
    expect(adaptation!.original.seconds).toBeGreaterThan(0)
    expect(adaptation!.original.macs).toBeGreaterThan(0)

    // the same widths in the same bytes, other numbers
    const [before, after] = ['base', 'adapted'].map((out) => runDirectory(place(out)))
    expect(readFileSync(after.architecture, 'utf8')).toBe(readFileSync(before.architecture, 'utf8'))
    expect(readFileSync(after.model)).toHaveLength(readFileSync(before.model).length)
    expect(readFileSync(after.model).equals(readFileSync(before.model))).toBe(false)
    expect(readFileSync(after.report, 'utf8')).toContain('id="lifelong"')

    const scored = await evaluateRun(
      { run: place('adapted'), directory: place('lower'), split: 'test', strict: true, threads: 1, backend: 'auto' },
      hooksOf(),
    )
    expect(scored.integer).toEqual(result.evaluations[1].integer)
    expect(Buffer.from(await rebuildModel(place('adapted'), hooksOf())).equals(readFileSync(after.model))).toBe(true)
  })

  it('ends with the same bits when interrupted in every stage, on one thread as on two', async () => {
    const moments = [(progress: Progress) => progress.stage === 'data', at('quantize', 1), at('quantize', 3)]
    await inSittings(adaptStudy, { ...request('base', 'lower', 'adapted-sittings', { replay: '0.4' }), threads: 1 }, moments)
    expect(remains('adapted-sittings')).toEqual(remains('adapted'))
  })

  it('goes on from what it became, and then remembers both', async () => {
    const spec = request('adapted', 'noisy', 'again', { force: true })
    expect(spec.adapt.old.map(({ directory }) => directory)).toEqual([place('clips'), place('lower')])
    const result = await adaptStudy(spec, hooksOf())
    expect(result.status).toBe('finished')
    expect(result.adaptation!.splits[1].old!.count).toBe(12 + result.adaptation!.splits[1].new.count)
  })

  it('takes norms and ranges anew and trains nothing where that is enough', async () => {
    const hooks = hooksOf()
    const result = await adaptStudy(request('base', 'noisy', 'statistics'), hooks)
    expect(result.drift!.verdict).toBe('statistics')
    expect(hooks.events.some(({ type }) => type === 'epoch')).toBe(false)
    for (const { new: fresh, old } of result.adaptation!.splits) {
      expect(fresh.adapted).toBe(fresh.reestimated)
      expect(old!.adapted).toBe(old!.reestimated)
    }
    expect(result.adaptation!.cost.macs).toBe(result.drift!.macs)
    // weights are those of the run, bit for bit
    const [before, after] = ['base', 'statistics'].map((out) => decodeModel(readFileSync(runDirectory(place(out)).model)))
    expect(after.layers.length).toBe(before.layers.length)
    expect(JSON.stringify(after.layers.map(weightsOf))).toBe(JSON.stringify(before.layers.map(weightsOf)))
    expect(readFileSync(runDirectory(place('statistics')).model).equals(readFileSync(runDirectory(place('base')).model))).toBe(false)
  })

  it('finds nothing to do on tones of the same kind, says so and leaves nothing; forced, it trains', async () => {
    const hooks = hooksOf()
    const result = await adaptStudy(request('base', 'quiet', 'same'), hooks)
    expect(result).toMatchObject({ status: 'unchanged', evaluations: [] })
    expect(result.drift).toMatchObject({ verdict: 'none' })
    expect(result.drift!.reason).toMatch(/^no drift/)
    expect(hooks.events.some(({ type }) => type === 'epoch')).toBe(false)
    expect(existsSync(place('same'))).toBe(false)
    const forced = await adaptStudy(request('base', 'quiet', 'same', { force: true, epochs: '1' }), hooksOf())
    expect(forced.status).toBe('finished')
  })

  it('learns a part of its classes', async () => {
    makeClips('one-word', 12_000, 4, ['high'])
    const result = await adaptStudy(request('base', 'one-word', 'part', { force: true, epochs: '1' }), hooksOf())
    expect(result.status).toBe('finished')
    expect(result.evaluations[1].classes).toEqual(words)
    expect(result.evaluations[1].integer!.confusion[1]).toEqual([0, 0])
  })

  it('without its old data goes on with --replay 0 alone', async () => {
    cpSync(place('base'), place('lost'), { recursive: true })
    const { spec } = runDirectory(place('lost'))
    writeFileSync(spec, readFileSync(spec, 'utf8').replaceAll(place('clips'), place('gone')))
    await expect(adaptStudy(request('lost', 'noisy', 'lost-adapted'), hooksOf())).rejects.toThrow(
      /^--replay 0\.5: the data that .*lost was trained on cannot be read \(.*gone: no such folder.*\); put it back, or adapt without it: --replay 0$/,
    )
    expect(existsSync(place('lost-adapted'))).toBe(false)
    const notices: string[] = []
    const hooks = { ...hooksOf(), onNotice: (line: string) => notices.push(line) }
    const result = await adaptStudy(request('lost', 'noisy', 'lost-adapted', { replay: '0', epochs: '1' }), hooks)
    expect(notices.join()).toMatch(/the old data cannot be read .*: what the model forgets of it will not be known/)
    expect(result.drift!.old).toBeUndefined()
    expect(result.drift!.recorded).toBeDefined()
    if (result.status === 'finished') expect(result.adaptation!.splits[0].old).toBeUndefined()
  })

  it('says in one line what cannot be', async () => {
    makeClips('strange', 300, 5, ['high', 'low', 'middle'])
    const failing = (spec: AdaptedSpec) => expect(adaptStudy(spec, hooksOf())).rejects
    await failing(request('base', 'strange', 'no')).toThrow(
      `${place('strange')}: has the class middle, which the model does not know; it knows high, low`,
    )
    await failing(request('base', 'noisy', 'no', { flash: '500' })).toThrow(
      /base: its network is over the budget .* and there are no shared weights to search another one with; raise the limit, or adapt a run of search --search joint/,
    )
    mkdirSync(place('pictures', 'high'), { recursive: true })
    writeFileSync(place('pictures', 'high', 'a.png'), '')
    await failing(request('base', 'pictures', 'no')).toThrow(/pictures.* holds no/)
    expect(() => request('clips', 'noisy', 'no')).toThrow(/clips: holds no run/)
    expect(() => request('base', 'noisy', 'no', { latency: '3ms' })).toThrow(/^--latency: /)
    mkdirSync(place('half'))
    cpSync(runDirectory(place('base')).journal, runDirectory(place('half')).journal)
    expect(() => request('half', 'noisy', 'no')).toThrow(/half: has no model yet; finish it/)
    expect(existsSync(place('no'))).toBe(false)
  })
})

describe('a run of a joint search', () => {
  beforeAll(async () => {
    await searchStudy(
      {
        ...searching('joint'),
        search: 'joint',
        weightBits: 'searched',
        activationBits: 'searched',
        epochs: { warmup: 1, search: 1, train: 1, quantize: 1 },
        batchSize: 18,
        joint: { train: 'sandwich', pick: 'evolution', candidates: 20, start: 'shared' },
        budget: { macs: 900_000, flashBytes: 24_000 },
      },
      hooksOf(),
    )
  })

  it('searches again from its shared weights and front, for another budget, with the same bits when interrupted', async () => {
    const { members } = readJournal(runDirectory(place('joint')).journal).findLast((event) => event.type === 'front')!
    const deployed = readFileSync(runDirectory(place('joint')).model).length
    expect(Math.min(...members.map(({ flashBytes }) => flashBytes))).toBeLessThan(deployed)
    // no drift, but less room
    const more = { flash: String(deployed - 1) }
    const hooks = hooksOf()
    const result = await adaptStudy(request('joint', 'quiet', 'joint-adapted', more), hooks)
    expect(result.cost!.flashBytes).toBeLessThan(deployed)
    expect(result.adaptation!.network).toBe('searched')
    expect(hooks.events.filter(({ type }) => type === 'candidate')).toHaveLength(12)
    expect(hooks.events.some((event) => event.type === 'epoch' && event.stage === 'warmup')).toBe(false)
    // the ranges of the original search, a step further: not begun anew
    const ranges = (out: string) => (readCheckpoint(runDirectory(place(out)).search)!.strategy as { quantization: number[][] }).quantization
    const [was, now] = [ranges('joint'), ranges('joint-adapted')]
    expect(now[0][0]).toBeGreaterThan(was[0][0])

    const moments = [at('search', 9, 'candidates'), at('train', 1)]
    await inSittings(adaptStudy, request('joint', 'quiet', 'joint-sittings', more), moments)
    expect(remains('joint-sittings')).toEqual(remains('joint-adapted'))
  })

  it('keeps the deployed network where no other is better by more than chance, and adapts again', async () => {
    const result = await adaptStudy(request('joint', 'noisy', 'joint-kept', { force: true, epochs: '1' }), hooksOf())
    const journal = readJournal(runDirectory(place('joint-kept')).journal)
    const scores = journal.flatMap((event) => (event.type === 'candidate' ? [event] : []))
    const deployed = JSON.parse(readFileSync(runDirectory(place('joint')).architecture, 'utf8')) as Network
    const own = scores.find(({ network }) => JSON.stringify(network) === JSON.stringify(deployed))
    expect(own, 'the deployed network is scored').toBeDefined()
    const classes = { classes: words, kind: 'audio', sampleRate, samples: sampleRate } as unknown as Dataset
    const found = (network: Network) => decisionsOf(classes, readRequest(place('joint')) as SearchSpec, place('joint'), network)
    expect(found(deployed)).toBeDefined()
    expect(found({ ...deployed, nodes: deployed.nodes.slice(0, -1) })).toBeUndefined()
    expect(result.adaptation!.network === 'kept').toBe(own!.chosen)
    const again = await adaptStudy(request('joint-kept', 'lower', 'joint-again', { force: true, epochs: '1' }), hooksOf())
    expect(again.status).toBe('finished')
    renameSync(runDirectory(place('joint-kept')).search, place('moved.bin'))
    const notices: string[] = []
    await adaptStudy(request('joint-kept', 'noisy', 'joint-fixed', { force: true, epochs: '1' }), {
      ...hooksOf(),
      onNotice: (line) => notices.push(line),
    })
    expect(notices.join()).toMatch(/has no shared weights of a joint search; its network and bits stay what they are/)
  })
})
