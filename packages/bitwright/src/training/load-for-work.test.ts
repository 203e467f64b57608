// Which build of the core is chosen.
import { encodeModel, load, modelInfo } from '@bitwright/runtime'
import { nativeMissing } from '@bitwright/runtime/native'
import { expect, test } from 'vitest'
import { randomClip, randomModel, seededDraw } from '@bitwright/runtime/testing'
import { loadForWork } from './load-for-work.ts'

const draw = seededDraw(3)
const integerModel = randomModel(draw)
const bytes = encodeModel(integerModel)
const clip = randomClip(draw, integerModel.frontEnd)
const enough = 1e10 / modelInfo(integerModel).macs
const silent = () => {}

test('little work stays with WebAssembly, without a word', async () => {
  const notices: string[] = []
  const model = await loadForWork(bytes, 'a.bw', Math.floor(enough / 2), (line) => notices.push(line))
  expect([model.home, notices]).toEqual(['wasm', []])
})

test.skipIf(await nativeMissing())('much work is done by the compiled core (skipped without a C compiler)', async () => {
  const model = await loadForWork(bytes, 'a.bw', Math.ceil(2 * enough), silent)
  expect(model.home).toBe('native')
  expect(model.run(clip)).toEqual(load(bytes).run(clip))
})

test('a damaged file is refused by its name either way', async () => {
  for (const clips of [1, Math.ceil(2 * enough)])
    await expect(loadForWork(bytes.slice(0, -1), 'a.bw', clips, silent)).rejects.toThrow(/^a\.bw: length differs/)
})
