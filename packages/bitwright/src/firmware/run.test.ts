// Exported folders in the emulator: streams of any length, the device's own sizes, answers and failures.
import { appendFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type DetectorSettings, type IntegerModel, load } from '@bitwright/runtime'
import { seededDraw } from '@bitwright/runtime/testing'
import { afterAll, describe, expect, it } from 'vitest'
import type { FirmwareTarget } from '../export/firmware-targets.ts'
import { buildFirmware } from './build.ts'
import { emulate } from './emulator.ts'
import { answerStarts, runFirmware } from './run.ts'
import { audioModel, bytes, classNames, narrow, samples16, spectral } from './testing/audio-model.ts'
import { exportedFolder } from './testing/folder.ts'
import { missingTools } from './tools.ts'

const draw = seededDraw(5)
const noise = (length: number, loudness = 20_000): Int16Array => Int16Array.from({ length }, () => draw(2 * loudness) - loudness)

const missing = missingTools()
describe.skipIf(missing !== undefined)(`firmware in QEMU${missing ? ` (skipped: ${missing})` : ''}`, () => {
  const folders: string[] = []
  const exported = (model: IntegerModel, detector?: DetectorSettings): string => {
    const folder = exportedFolder(model, detector)
    folders.push(folder)
    return folder
  }
  afterAll(() => folders.forEach((folder) => rmSync(folder, { recursive: true })))

  /** Nothing, one sample, one too few, a clip, silence, full scale, streams of odd lengths; two minutes. */
  const recordings = (samples: number): Int16Array[] => [
    new Int16Array(0),
    noise(1),
    noise(samples - 40),
    noise(samples),
    new Int16Array(samples),
    Int16Array.from({ length: samples }, (_, i) => (i & 1 ? 32767 : -32768)),
    noise(3 * samples + 17, 3000),
    noise(10 * samples + 1),
    noise(960_000),
  ]

  it.each<[FirmwareTarget, string, IntegerModel]>([
    ['cortex-m4', 'overlapping frames in rows that end within a byte', audioModel(draw, spectral(64, 40), narrow)],
    ['cortex-m33', 'frames with gaps between them', audioModel(draw, spectral(50, 81), bytes)],
    ['cortex-m7', 'raw audio', audioModel(draw, { kind: 'raw', sampleRate: 8000, samples: 611 }, samples16)],
  ])('%s: %s, in pieces, answers as the runtime does on the same windows', async (target, _what, model) => {
    const { frontEnd } = model
    if (frontEnd.kind === 'image') throw new Error('audio only')
    const inputs = recordings(frontEnd.samples).map((input, i) => ({ name: `recording ${i}`, input }))
    const measured = await runFirmware({ folder: exported(model), target, inputs })
    expect(measured.difference).toBeUndefined()
    expect(measured.mispredicted).toEqual([])
    expect(measured.clips).toBe(inputs.length)
    expect(measured.answers).toBeGreaterThan(1000)
    expect(measured.stackBytes.run).toBeGreaterThan(100)
    expect(measured.stackBytes.run).toBeLessThan(2000)
  })

  /** Three answers averaged, and none detected in the five after one. */
  const detecting = (hopSeconds: number, ja: number, nein: number): DetectorSettings => ({
    smoothingSeconds: 3 * hopSeconds,
    threshold: { [classNames[0]]: ja, [classNames[1]]: nein },
    refractorySeconds: 5 * hopSeconds,
    ignoredClasses: [classNames[2]],
  })

  it.each<[FirmwareTarget, string, IntegerModel, DetectorSettings]>([
    [
      'cortex-m0',
      'raw audio',
      audioModel(draw, { kind: 'raw', sampleRate: 8000, samples: 63 }, samples16, 'stream'),
      detecting(1 / 8000, 0.6, 0.55),
    ],
    [
      'cortex-m33',
      'frames with gaps between them',
      audioModel(draw, spectral(50, 81), bytes, 'stream'),
      detecting(81 / 8000, 0.335, 0.334),
    ],
    ['cortex-m55', 'frames in a sliding window', audioModel(draw, spectral(64, 40), bytes), detecting(120 / 8000, 0.335, 0.334)],
  ])('%s: %s, with the scores and detections of the runtime', async (target, _what, model, detector) => {
    const { frontEnd } = model
    if (frontEnd.kind === 'image') throw new Error('audio only')
    const inputs = [...recordings(frontEnd.samples).slice(0, -1), noise(40_000)].map((input, i) => ({ name: `recording ${i}`, input }))
    const measured = await runFirmware({ folder: exported(model, detector), target, inputs })
    expect(measured.difference).toBeUndefined()
    expect(measured.mispredicted).toEqual([])
    expect(measured.detections).toBeGreaterThan(10)
    expect(measured.detections).toBeLessThan(measured.answers / 5)
  })

  it('images: every machine word, index and score is that of the runtime', async () => {
    const model = audioModel(draw, { kind: 'image', height: 3, width: 5, channels: 3 }, { ...bytes, scale: 2 ** -7, zeroPoint: 0 })
    const folder = exported(model)
    const images = [
      new Uint8Array(45),
      new Uint8Array(45).fill(255),
      ...Array.from({ length: 30 }, () => Uint8Array.from({ length: 45 }, () => draw(256))),
    ]
    const { clips, sizes } = buildFirmware(folder, 'cortex-m55')
    const { answers, scores } = await emulate({ elf: clips, target: 'cortex-m55', classes: 3, inputs: images })
    const loaded = load(new Uint8Array(readFileSync(join(folder, 'model.bw'))))
    for (const [i, image] of images.entries()) {
      const { logits, index, scores: expected } = loaded.predict(image)
      expect(answers[i]).toEqual({ index, logits })
      expect(scores[i]).toBe(expected[index])
    }
    expect(new Set(answers.map(({ index }) => index)).size).toBe(classNames.length)
    expect(sizes.symbols.get('bw_heard')).toBeUndefined()
  })

  it('names the first logit that differs, and goes on with what was built before', async () => {
    const model = audioModel(draw, { kind: 'raw', sampleRate: 8000, samples: 64 }, samples16)
    const folder = exported(model)
    const inputs = [new Int16Array(64), noise(64)].map((input, i) => ({ name: `clip ${i}`, input }))
    expect((await runFirmware({ folder, target: 'cortex-m0', inputs })).difference).toBeUndefined()
    const source = join(folder, 'bitwright.c')
    const text = readFileSync(source, 'utf8')
    writeFileSync(
      source,
      text.replace('bw_take_logits(&bw_loaded, bw_memory, bw_logits);', '$& if (bw_logits[0] != bw_model_bias) bw_logits[2]++;'),
    )
    const [bias] = load(new Uint8Array(readFileSync(join(folder, 'model.bw')))).run(new Int16Array(64))
    appendFileSync(join(folder, 'model.h'), `\n#define bw_model_bias ${bias}\n`)
    const { difference } = await runFirmware({ folder, target: 'cortex-m0', inputs })
    expect(difference).toMatch(/^clip 1: logit 2 \(naïve 雪\) is -?\d+ on cortex-m0 and -?\d+ here$/)
  })

  it('says what fails: no firmware, code that does not compile, a model that is refused, memory that is too small', async () => {
    const model = audioModel(draw, { kind: 'raw', sampleRate: 8000, samples: 64 }, samples16)
    const inputs = [{ name: 'clip', input: new Int16Array(64) }]
    const run = (folder: string, signal?: AbortSignal) => runFirmware({ folder, target: 'cortex-m55', inputs, ...(signal && { signal }) })
    await expect(run(import.meta.dirname)).rejects.toThrow(/has no Makefile; make the folder with `bitwright export/)
    const folder = exported(model)
    await expect(run(folder, AbortSignal.abort())).rejects.toThrow(/abort/)
    const change = (file: string, from: RegExp, to: string) =>
      writeFileSync(join(folder, file), readFileSync(join(folder, file), 'utf8').replace(from, to))
    change('model.h', /#define BW_MEMORY_BYTES \d+u/, '#define BW_MEMORY_BYTES 600000u')
    await expect(run(folder)).rejects.toThrow(/does not build: it needs \d+ bytes more of RAM than the emulated board has/)
    change('model.h', /600000u/, '4096u')
    change('model.c', /= \{\n {2}66, 87/, '= {\n  66, 88')
    await expect(run(folder)).rejects.toThrow(/cortex-m55 in QEMU: bw_init refuses the model/)
    appendFileSync(join(folder, 'bitwright.c'), 'not C\n')
    await expect(run(folder)).rejects.toThrow(/does not build: .*error/)
  })
})

it('answers come with the first whole clip, then each hop', () => {
  const memory = {
    input: 'window' as const,
    frontEndOffset: 0,
    frames: 13,
    clipSamples: 549,
    firstSamples: 544,
    frameHop: 40,
    frameSamples: 64,
    frameValues: 7,
    hopSamples: 120,
    flash: {},
    ram: {},
    flashBytes: 0,
    ramBytes: 0,
  }
  expect([543, 544, 663, 664].map((samples) => answerStarts(memory, samples).length)).toEqual([0, 1, 1, 2])
  expect(answerStarts(memory, 784)).toEqual([0, 120, 240])
})
