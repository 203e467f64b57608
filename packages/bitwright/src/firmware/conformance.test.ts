// The core on every processor of the emulator: random models of every kind of layer, width, container and input give the runtime's logits, and
// damaged ones are refused there where they are refused here, or run to the same logits.
import { rmSync } from 'node:fs'
import { BadModelError, encodeModel, load, type Model, streamPlan } from '@bitwright/runtime'
import { inOneContainer, randomClip, randomFilters, randomModel, seededDraw } from '@bitwright/runtime/testing'
import { randomAttention } from '@bitwright/runtime/testing/random-attention'
import { randomSeparable } from '@bitwright/runtime/testing/random-separable'
import { mutate } from '@bitwright/runtime/testing/mutate'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { firmwareModel, type FirmwareTarget, firmwareTargets, targetKernels } from '../export/firmware-targets.ts'
import { newFolder } from './testing/folder.ts'
import { type ImageJob, prepareModels, runImages, runModels } from './testing/models.ts'
import { missingTools } from './tools.ts'

const jobs = Array.from({ length: 220 }, (_, seed) => {
  const draw = seededDraw(seed)
  const mixed = seed >= 180
  const drawn = mixed || seed % 3 === 2 ? randomSeparable(draw, mixed) : randomModel(draw)
  const model = !mixed && seed % 2 ? inOneContainer(drawn) : drawn
  const input = randomClip(draw, model.frontEnd)
  return { model, input }
})

for (let seed = 0; seed < 40; seed++) {
  const draw = seededDraw(8000 + seed)
  const model = randomFilters(draw)
  jobs.push({ model, input: randomClip(draw, model.frontEnd) })
}

for (let seed = 0; seed < 60; seed++) {
  const draw = seededDraw(6000 + seed)
  const drawn = randomAttention(draw)
  const model = seed % 2 ? inOneContainer(drawn) : drawn
  jobs.push({ model, input: randomClip(draw, model.frontEnd) })
}

const streams = Array.from({ length: 90 }, (_, seed) => {
  const draw = seededDraw(7000 + seed)
  const drawn = randomModel(draw, true)
  const model = seed % 2 ? inOneContainer(drawn) : drawn
  const plan = streamPlan(model)
  if ('reason' in plan) return []
  const loudness = 2 ** (4 + draw(12))
  const length = plan.firstSamples + draw(12 * plan.hopSamples)
  return [{ model, input: Int16Array.from({ length }, () => draw(2 * loudness) - loudness), streams: true }]
}).flat()

it('the models have every op, width and container', () => {
  const seen = new Set<string>()
  for (const { model } of jobs) {
    seen.add(model.frontEnd.kind)
    for (const layer of model.layers) {
      seen.add(layer.op)
      if (layer.op !== 'convolution') continue
      seen.add(`${layer.groups > 1 ? 'depthwise' : 'dense'} ${layer.weightBits}`)
      seen.add(`input ${model.tensors[layer.input].containerBits}`)
      seen.add(layer.cutoffs ? 'made' : layer.oddWeights ? 'odd' : 'even').add(layer.logOffset ? 'logarithm' : 'linear')
    }
  }
  const widths = Array.from({ length: 8 }, (_, i) => [`dense ${i + 1}`, `depthwise ${i + 1}`]).flat()
  const others = ['add', 'averagePool', 'requantize', 'reshape', 'attend', 'made', 'odd', 'logarithm', 'raw', 'mfcc', 'logmel', 'image']
  for (const kind of [...widths, ...others, ...[2, 4, 8, 16].map((bits) => `input ${bits}`)]) expect(seen).toContain(kind)
})

interface DamagedJob extends ImageJob {
  /** Undefined where the image is refused. */
  readonly loaded: Model | undefined
}

/** Damaged images for a processor, but for those that only the emulated board has no room for and those whose names alone are wrong. */
function damagedJobs(target: FirmwareTarget): DamagedJob[] {
  const originals = [...jobs.slice(0, 34), ...jobs.slice(-6)].map(({ model, input }) => ({
    image: encodeModel(firmwareModel(model, targetKernels[target])),
    input,
  }))
  return Array.from({ length: 400 }, (_, seed): DamagedJob | undefined => {
    const draw = seededDraw(9000 + seed)
    const original = originals[draw(originals.length)]
    const image = mutate(draw, original.image)
    try {
      const loaded = load(image)
      const { frontEnd, classes } = loaded
      // what the file says, which damage may have raised
      const arenaBytes = Buffer.from(image).readUInt32LE(80)
      const isLarge = arenaBytes > 100_000 || ('windowSamples' in frontEnd && frontEnd.windowSamples > 2048)
      return isLarge ? undefined : { image, loaded, classes: classes.length, input: randomClip(draw, frontEnd) }
    } catch (error) {
      if (!(error instanceof BadModelError)) throw error
      return error.message.includes('UTF-8') ? undefined : { image, loaded: undefined, classes: 0, input: original.input }
    }
  }).filter((job) => job !== undefined)
}

const missing = missingTools()
describe.skipIf(missing !== undefined)(`in QEMU${missing ? ` (skipped: ${missing})` : ''}`, () => {
  const folder = newFolder()
  beforeAll(() => prepareModels(folder, jobs[0].model))
  afterAll(() => rmSync(folder, { recursive: true }))
  const expected = jobs.map(({ model, input }) => ({ status: 0, logits: [[...load(encodeModel(model)).run(input)]] }))
  const heard = streams.map(({ model, input }) => ({
    status: 0,
    logits: load(encodeModel(model))
      .stream()
      .push(input)
      .map((logits) => [...logits]),
  }))

  it.each(firmwareTargets)('%s gives the logits of the runtime', (target) => {
    const results = runModels(folder, target, jobs)
    for (const [i, result] of results.entries()) expect(result, `model ${i}`).toEqual(expected[i])
  })

  it.each(firmwareTargets)("%s gives the logits of the runtime's streams", (target) => {
    expect(streams.length).toBeGreaterThan(60)
    const results = runModels(folder, target, streams)
    for (const [i, result] of results.entries()) expect(result, `stream ${i}`).toEqual(heard[i])
  })

  it.each(firmwareTargets)('%s refuses damaged images, or runs them harmlessly', (target) => {
    const damaged = damagedJobs(target)
    const results = runImages(folder, target, damaged)
    for (const [i, { loaded, input }] of damaged.entries()) {
      if (loaded) expect(results[i], `image ${i}`).toEqual({ status: 0, logits: [[...loaded.run(input)]] })
      else expect(results[i].status, `image ${i}`).toBeGreaterThan(0)
    }
    expect(damaged.filter(({ loaded }) => loaded).length).toBeGreaterThan(10)
    expect(damaged.filter(({ loaded }) => !loaded).length).toBeGreaterThan(200)
  })
})
