// The core on every processor of the emulator: random models of every kind of layer, width, container and input give the runtime's logits.
import { rmSync } from 'node:fs'
import { encodeModel, load } from '@bitwright/runtime'
import { inOneContainer, randomClip, randomModel, randomSeparable, seededDraw } from '@bitwright/runtime/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { firmwareTargets } from '../export/firmware-targets.ts'
import { newFolder } from './testing/folder.ts'
import { prepareModels, runModels } from './testing/models.ts'
import { missingTools } from './tools.ts'

const jobs = Array.from({ length: 220 }, (_, seed) => {
  const draw = seededDraw(seed)
  const mixed = seed >= 180
  const drawn = mixed || seed % 3 === 2 ? randomSeparable(draw, mixed) : randomModel(draw)
  const model = !mixed && seed % 2 ? inOneContainer(drawn) : drawn
  const input = randomClip(draw, model.frontEnd)
  return { model, input }
})

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
  const others = ['add', 'averagePool', 'requantize', 'reshape', 'made', 'odd', 'logarithm', 'raw', 'mfcc', 'logmel', 'image']
  for (const kind of [...widths, ...others, ...[2, 4, 8, 16].map((bits) => `input ${bits}`)]) expect(seen).toContain(kind)
})

const missing = missingTools()
describe.skipIf(missing !== undefined)(`in QEMU${missing ? ` (skipped: ${missing})` : ''}`, () => {
  const folder = newFolder()
  beforeAll(() => prepareModels(folder, jobs[0].model))
  afterAll(() => rmSync(folder, { recursive: true }))
  const expected = jobs.map(({ model, input }) => ({ status: 0, logits: [...load(encodeModel(model)).run(input)] }))

  it.each(firmwareTargets)('%s gives the logits of the runtime', (target) => {
    const results = runModels(folder, target, jobs)
    for (const [i, result] of results.entries()) expect(result, `model ${i}`).toEqual(expected[i])
  })
})
