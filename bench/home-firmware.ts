// A model as exported firmware, on an emulated processor; its sizes are those of the linker.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { firmware } from '../packages/bitwright/src/export/firmware.ts'
import { firmwareModel, type FirmwareTarget, targetKernels } from '../packages/bitwright/src/export/firmware-targets.ts'
import { buildFirmware } from '../packages/bitwright/src/firmware/build.ts'
import { emulate } from '../packages/bitwright/src/firmware/emulator.ts'
import { answerStarts } from '../packages/bitwright/src/firmware/run.ts'
import { firmwareMemory } from '../packages/bitwright/src/hardware/index.ts'
import type { Model } from '../packages/runtime/src/index.ts'
import type { Home } from './home.ts'

const sum = (bytes: readonly number[]): number => bytes.reduce((total, own) => total + own, 0)

export async function firmwareHome(target: FirmwareTarget, model: Model, file: Uint8Array): Promise<Home> {
  const folder = mkdtempSync(join(tmpdir(), 'bitwright-homes-'))
  for (const { path, bytes } of firmware.files({ model: model.integerModel, file }, { target })) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), bytes)
  }
  const { clips: elf, sizes } = buildFirmware(folder, target)
  const memory = firmwareMemory(firmwareModel(model.integerModel, targetKernels[target]))
  const linked = (names: object) => sum(Object.keys(names).map((name) => sizes.symbols.get(name) ?? 0))
  return {
    sizes: {
      flashBytes: linked(memory.flash),
      predictedFlashBytes: memory.flashBytes,
      ramBytes: linked(memory.ram),
      predictedRamBytes: memory.ramBytes,
    },
    async logits(clips, onProgress) {
      const { answers } = await emulate({ elf, target, classes: model.classes.length, inputs: clips, onProgress })
      const perClip = model.frontEnd.kind === 'image' ? 1 : answerStarts(memory, clips[0].length).length
      if (answers.length !== clips.length * perClip) throw new Error(`${target}: ${answers.length} answers to ${clips.length} clips`)
      return clips.map((_, i) => answers[i * perClip].logits)
    },
    close: async () => rmSync(folder, { recursive: true }),
  }
}
