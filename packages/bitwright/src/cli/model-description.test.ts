// What `info` says of firmware before anything is trained is what its model takes: the sizes that the linker gives (firmware/run.test.ts).
import { encodeModel, packModel } from '@bitwright/runtime'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { firmware } from '../export/firmware.ts'
import { lowerSkeleton } from '../hardware/index.ts'
import { builtinNetwork, paperClasses, withBits } from '../network/index.ts'
import { describeSubject } from './model-description.ts'

test.each(['ds-cnn-s', 'kws-e2e-e3k5'] as const)('%s: flash and RAM of firmware, front end included', (name) => {
  const network = withBits(builtinNetwork(name, { classes: paperClasses(name) }), { weightBits: 4, activationBits: 4 })
  const { model } = lowerSkeleton(network)
  const folder = mkdtempSync(join(tmpdir(), 'bitwright-info-'))
  try {
    writeFileSync(join(folder, 'a.json'), JSON.stringify(network))
    writeFileSync(join(folder, 'a.bw'), encodeModel(model))
    const planned = describeSubject(join(folder, 'a.json')).firmware!
    expect(describeSubject(join(folder, 'a.bw')).firmware).toEqual(planned)
    const files = firmware.files({ model, file: encodeModel(model) }, {})
    const header = Buffer.from(files.find(({ path }) => path === 'model.h')!.bytes).toString()
    expect(header).toContain(`#define BW_MODEL_BYTES ${encodeModel(packModel(model, 'dsp')).length}u`)
    const number = (text: string, macro: string) => Number(new RegExp(`#define ${macro} (\\d+)`).exec(text)![1])
    const ofCortexM4 = header.slice(header.indexOf('__ARM_FEATURE_DSP'))
    const isRaw = name === 'kws-e2e-e3k5'
    const heard = number(header, 'BW_INPUT_BYTES') + (isRaw ? 0 : 2 * number(header, 'BW_FRAME_SAMPLES'))
    expect(planned.ramBytes).toBe(number(ofCortexM4, 'BW_MEMORY_BYTES') + heard)
    // window, FFT, DCT and a state; the triangles are near two for each of 513 bins
    const tables = isRaw ? 0 : 4 * (640 + 512 + 512 + 400) + 160 + 92
    expect(planned.flashBytes - number(ofCortexM4, 'BW_MODEL_BYTES') - tables).toBeGreaterThanOrEqual(0)
    expect(planned.flashBytes - number(ofCortexM4, 'BW_MODEL_BYTES') - tables).toBeLessThanOrEqual(isRaw ? 0 : 4 * 2 * 513)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
