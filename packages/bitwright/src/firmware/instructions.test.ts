// ds-cnn-s on every processor: every logit, every size as predicted, and not one instruction more than firmware/instructions.json says.
import { rmSync } from 'node:fs'
import { afterAll, describe, expect, it } from 'vitest'
import { firmwareTargets } from '../export/firmware-targets.ts'
import { exportedFolder } from './testing/folder.ts'
import { compiler, countedModel, countsOf, measureCounted, readCounts } from './testing/instructions.ts'
import { hasProgram, missingTools } from './tools.ts'

const recorded = readCounts()
const missing = missingTools() ?? (hasProgram('cc', '--version') ? undefined : 'cc, for the counting plugin, is not installed')

describe.skipIf(missing !== undefined)(`ds-cnn-s in QEMU${missing ? ` (skipped: ${missing})` : ''}`, () => {
  const folder = exportedFolder(countedModel())
  afterAll(() => rmSync(folder, { recursive: true }))
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
