// `bitwright hardware`: what it lists, shows and prices, and a board's log on its way to a target of its own.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { encodeModel } from '@bitwright/runtime'
import { afterAll, afterEach, beforeEach, expect, it, vi } from 'vitest'
import { UsageError } from '../errors.ts'
import { stockedModel } from '../hardware/designed-networks.ts'
import { fitLaws } from '../hardware/law.ts'
import { measuredLayers } from '../hardware/table.ts'
import { cortexTargets, parseHardware, readHardware, targetNames } from '../hardware/targets.ts'
import { builtinNetwork, paperClasses } from '../network/index.ts'
import { command } from './hardware.ts'
import { describeSubject, type ModelDescription } from './model-description.ts'

const folder = mkdtempSync(join(tmpdir(), 'bitwright-hardware-'))
afterAll(() => rmSync(folder, { recursive: true }))
let printed = ''
beforeEach(() => {
  printed = ''
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    printed += String(text)
    return true
  })
})
afterEach(() => void vi.restoreAllMocks())

const run = async (...args: string[]): Promise<string> => {
  await command().parseAsync(args, { from: 'user' })
  return printed
}

it('lists every target by name', async () => {
  const listed = JSON.parse(await run('list', '--json')) as { name: string }[]
  expect(listed.map(({ name }) => name)).toEqual(targetNames)
})

it.each([...cortexTargets, 'bit-serial', 'bit-fusion'])('%s: what is shown as a file is that target', async (name) => {
  expect(parseHardware(JSON.parse(await run('show', name, '--json')), 'shown')).toEqual(readHardware(name))
})

it.each(cortexTargets)('%s: the laws are those of its layers, and their errors small', (name) => {
  const table = readHardware(name)
  if (table.model !== 'table') throw new Error('no table')
  expect(table.laws).toEqual(fitLaws(measuredLayers(table), table.kernels))
  for (const kind of ['pointwise', 'dense', 'depthwise 3x3', 'pool']) {
    expect(table.errors[kind].points, kind).toBeGreaterThan(50)
    expect(table.errors[kind].median, kind).toBeLessThan(0.05)
  }
})

it('prices a network and the file of its model alike', async () => {
  const path = join(folder, 'model.bw')
  const model = stockedModel(builtinNetwork('ds-cnn-s', { classes: paperClasses('ds-cnn-s') }))
  writeFileSync(path, encodeModel(model))
  const ofNetwork = JSON.parse(await run('price', 'ds-cnn-s', '--target', 'cortex-m4@80MHz', '--json')) as ModelDescription
  printed = ''
  const ofFile = JSON.parse(await run('price', path, '--target', 'cortex-m4@80MHz', '--json')) as ModelDescription
  expect(ofFile.latencyMs).toBeCloseTo(ofNetwork.latencyMs!, 9)
  expect(ofFile.bitOperations).toBe(ofNetwork.bitOperations)
  expect(ofNetwork.target).toBe('cortex-m4@80MHz')
  expect(ofNetwork.layers.reduce((sum, layer) => sum + layer.latencyMs!, ofNetwork.frontEndMs!)).toBeCloseTo(ofNetwork.latencyMs!, 9)
  expect(describeSubject('ds-cnn-s').latencyMs).toBeUndefined()
})

it("makes a target of a board's log", async () => {
  const classes = paperClasses('tc-resnet8')
  writeFileSync(join(folder, 'tc.bw'), encodeModel(stockedModel(builtinNetwork('tc-resnet8', { classes }))))
  const layers = Array.from({ length: 16 }, (_, i) => `layer ${i} ${10_000 + i}`)
  const log = join(folder, 'board.txt')
  writeFileSync(log, ['clock 1000000', 'model tc.bw', 'frame 1000', ...layers].join('\n'))
  const out = join(folder, 'board.json')
  const said = JSON.parse(await run('calibrate', '--target', 'my-board', '--log', log, '--out', out, '--json')) as { unit: string }
  expect(said).toMatchObject({ table: out, name: 'my-board', unit: 'cycles', frames: 1 })
  expect(JSON.parse(readFileSync(out, 'utf8'))).toMatchObject({ model: 'table', clockHz: 1e6 })
  printed = ''
  const priced = JSON.parse(await run('price', 'tc-resnet8', '--target', out, '--json')) as ModelDescription
  expect(priced.cycles! / (16 * 10_000 + 120 + 98 * 1000)).toBeCloseTo(1, 6)
})

it.each([
  [['calibrate', '--target', 'cortex-m3'], /--target cortex-m3: nothing counts there; give cortex-m0plus/],
  [['calibrate', '--target', 'My Board', '--log', 'x'], /a table's name has lower-case letters/],
  [['calibrate', '--target', 'board', '--log', join(folder, 'absent')], /absent: no such file/],
  [['calibrate'], /--target is missing/],
  [['price', 'ds-cnn-s'], /--target is missing/],
  [['price', 'ds-cnn-s', '--target', 'nothing'], /no such target/],
  [['show', 'nothing'], /no such target/],
])('%j is refused', async (args, message) => {
  const act = run(...args)
  await expect(act).rejects.toThrow(UsageError)
  await expect(act).rejects.toThrow(message)
  expect(existsSync('cortex-m3.json')).toBe(false)
})
