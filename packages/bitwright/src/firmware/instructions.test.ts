// ds-cnn-s on every processor: every logit, every size as predicted, and not one instruction more than firmware/instructions.json says; and the
// logits and sizes of a network with attention, of which firmware has more code and an arena with rows of scores.
import { rmSync } from 'node:fs'
import { type IntegerModel, modelInfo } from '@bitwright/runtime'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { firmwareModel, firmwareTargets, targetKernels } from '../export/firmware-targets.ts'
import { stockedModel } from '../hardware/designed-networks.ts'
import { memory } from '../hardware/index.ts'
import { builtinNetwork, withBits } from '../network/index.ts'
import { exportedFolder, newFolder } from './testing/folder.ts'
import {
  clipInstructions,
  clipWidths,
  compiler,
  countedFilters,
  countedModel,
  countedStream,
  countsOf,
  filterCounts,
  layerCounts,
  measureCounted,
  measureStream,
  readCounts,
} from './testing/instructions.ts'
import { hasProgram, missingTools } from './tools.ts'

const recorded = readCounts()
/** One for all models, so that the core is compiled once for each processor. */
const folder = newFolder()
afterAll(() => rmSync(folder, { recursive: true }))
const exportModel = (model: IntegerModel) => exportedFolder(model, undefined, folder)
const missing = missingTools() ?? (hasProgram('cc', '--version') ? undefined : 'cc, for the counting plugin, is not installed')

describe.skipIf(missing !== undefined)(`ds-cnn-s in QEMU${missing ? ` (skipped: ${missing})` : ''}`, () => {
  beforeAll(() => void exportModel(countedModel()))
  const isSameCompiler = compiler() === recorded.compiler

  it.each(firmwareTargets)(`%s${isSameCompiler ? '' : ` (counts not compared: they are of gcc ${recorded.compiler})`}`, async (target) => {
    const measured = await measureCounted(folder, target)
    expect(measured.difference).toBeUndefined()
    expect(measured.mispredicted).toEqual([])
    expect(Object.keys(measured.predicted.ram)).toEqual(['bw_memory', 'bw_window', 'bw_heard'])
    if (isSameCompiler)
      expect(countsOf(measured), 'after a change of core/ or firmware/: npm run count:firmware').toEqual(recorded.processors[target])
  })
})

describe.skipIf(missing !== undefined)(`a clip of ds-cnn-s in QEMU${missing ? ` (skipped: ${missing})` : ''}`, () => {
  it.each(clipWidths)('with %i-bit weights: every logit, and the recorded instructions', { timeout: 200_000 }, async (width) => {
    exportModel(countedModel(width))
    for (const target of firmwareTargets) {
      const measured = await measureCounted(folder, target)
      expect(measured.difference).toBeUndefined()
      if (compiler() === recorded.compiler) expect([target, clipInstructions(measured)]).toEqual([target, recorded.clips[target][width]])
    }
  })
})

describe.skipIf(missing !== undefined)(`ds-cnn-s on a stream in QEMU${missing ? ` (skipped: ${missing})` : ''}`, () => {
  beforeAll(() => void exportModel(countedStream()))

  it.each(firmwareTargets)("%s: the logits of the runtime's stream, predicted memory, and the recorded instructions", async (target) => {
    const measured = await measureStream(folder, target)
    expect(measured.difference).toBeUndefined()
    expect(measured.mispredicted).toEqual([])
    // 26 rows of the first layer, which reads ten frames and moves on by two: sixty frames
    expect(measured).toMatchObject({ answers: 2 * (1 + Math.floor((30_000 - 19_520) / 640)), counted: 'hop', frame: { perAnswer: 2 } })
    expect(Object.keys(measured.predicted.ram)).toEqual(['bw_memory', 'bw_plan'])
    if (compiler() === recorded.compiler) expect(layerCounts(measured)).toEqual(recorded.streams[target])
  })
})

describe.skipIf(missing !== undefined)(`filters on 16-bit sound in QEMU${missing ? ` (skipped: ${missing})` : ''}`, () => {
  beforeAll(() => void exportModel(countedFilters()))

  it.each(firmwareTargets)('%s: the logits of the runtime, and the recorded instructions', async (target) => {
    const instructions = await filterCounts(folder, target)
    if (compiler() === recorded.compiler) expect(instructions).toBe(recorded.filters[target])
  })
})

// last: its firmware is built with other flags
describe.skipIf(missing !== undefined)(`cenet-gcn-6 in QEMU${missing ? ` (skipped: ${missing})` : ''}`, () => {
  const classes = Array.from({ length: 12 }, (_, i) => `word${i}`)
  const network = withBits(builtinNetwork('cenet-gcn-6', { classes }), { weightBits: 4, activationBits: 4 })
  beforeAll(() => void exportModel(stockedModel(network)))

  it.each(firmwareTargets)('%s: every logit, and flash and memory as predicted', { timeout: 200_000 }, async (target) => {
    const measured = await measureCounted(folder, target)
    expect(measured.difference).toBeUndefined()
    expect(measured.mispredicted).toEqual([])
    expect(measured.layers!.filter(({ op }) => op === 'attend')).toHaveLength(3)
    // the arena, of which a front end's buffers are less
    expect(measured.predicted.ram.bw_memory).toBe(memory.price(network).ramBytes)
  })
})

// CMSIS-NN takes 7.84 million on an M4 at 8 bits and 13.97 at 4, 1.78 on an M55, 29.0 on an M0, and two maps of 8000 bytes.
it('a clip of ds-cnn-s stays below its limits: instructions of each processor, fewer bits costing no more, and memory', () => {
  const limits = { 'cortex-m0': 20e6, 'cortex-m4': 4.7e6, 'cortex-m7': 4.7e6, 'cortex-m33': 4.7e6, 'cortex-m55': 1.78e6 } as const
  for (const target of firmwareTargets) {
    for (const width of clipWidths) expect(recorded.clips[target][width]).toBeLessThan(limits[target])
    expect(modelInfo(firmwareModel(countedModel(8), targetKernels[target])).ramBytes).toBeLessThan(10_000)
  }
  for (const target of ['cortex-m0', 'cortex-m4', 'cortex-m7', 'cortex-m33'] as const)
    for (const width of [4, 2]) expect(recorded.clips[target][width]).toBeLessThanOrEqual(recorded.clips[target][8])
})
