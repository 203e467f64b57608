// What a firmware folder holds: C that says the model's bytes, names and tables exactly, and sizes as predicted.
import { computeFeatures, encodeModel, frontEndTables, type IntegerModel, load, modelInfo, packModel } from '@bitwright/runtime'
import { randomModel, seededDraw } from '@bitwright/runtime/testing'
import { randomAttention } from '@bitwright/runtime/testing/random-attention'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { audioModel, bytes, narrow, samples16, spectral } from '../firmware/testing/audio-model.ts'
import { firmwareMemory } from '../hardware/index.ts'
import { builtinNetwork } from '../network/index.ts'
import { lowerSkeleton } from '../hardware/lower.ts'
import { firmware, firmwareFolder } from './firmware.ts'
import { decodeAnswers } from './firmware-batch.ts'
import { firmwareVariants, floatLiteral, modelHeader, modelSource, stringLiteral } from './firmware-model.ts'
import { targetMachines } from './firmware-targets.ts'

const draw = seededDraw(3)

/** What C reads in `0x1.8p-5f`. */
function readFloat(text: string): number {
  const [, sign, digits, exponent] = /^(-?)0x([\d.a-f]+)p(-?\d+)f$/.exec(text)!
  const [whole, fraction] = digits.split('.')
  return (sign ? -1 : 1) * (Number.parseInt(whole + fraction, 16) / 16 ** fraction.length) * 2 ** Number(exponent)
}

function exportModel(model: IntegerModel): Map<string, string> {
  const files = firmware.files({ model, file: encodeModel(model) }, { target: 'cortex-m33' })
  expect(new Set(files.map(({ path }) => path)).size).toBe(files.length)
  return new Map(files.map(({ path, bytes: content }) => [path, Buffer.from(content).toString('latin1')]))
}

const numbersAfter = (source: string, name: string): number[] =>
  source.slice(source.indexOf(name)).split('{')[1].split('}')[0].trim().split(/,\s*/).filter(Boolean).map(Number)

describe('firmware', () => {
  it("is built with attention's code only where the model attends", () => {
    const attending = randomAttention(seededDraw(1))
    for (const model of [attending, randomModel(seededDraw(1))])
      expect(exportModel(model).get('Makefile')).toContain(`ATTENTION ?= ${model === attending ? 1 : 0}\n`)
  })

  it('has the bytes of the model, and an answer to each example', () => {
    for (let seed = 0; seed < 20; seed++) {
      const model = randomModel(seededDraw(seed))
      const file = encodeModel(model)
      const files = exportModel(model)
      const source = modelSource(model, firmwareVariants(model, packModel))
      const isPacked = model.layers.some((layer) => layer.op === 'convolution' && !layer.cutoffs)
      for (const [kernels, branch] of [
        ['helium', '#if'],
        ['dsp', '#elif'],
        ['plain', '#else'],
      ] as const) {
        const image = encodeModel(packModel(model, kernels))
        expect(source.includes(branch)).toBe(isPacked)
        if (isPacked) expect(numbersAfter(source.slice(source.indexOf(branch)), 'bw_model_image')).toEqual([...image])
      }
      const unpacked = modelSource(
        model,
        firmwareVariants(model, (same) => same),
      )
      expect(unpacked).not.toContain('#if')
      expect(numbersAfter(unpacked, 'bw_model_image')).toEqual([...file])
      expect(Buffer.from(files.get('model.bw')!, 'latin1')).toEqual(Buffer.from(file))
      const answers = decodeAnswers(Buffer.from(files.get('examples/answers.bin')!, 'latin1'), model.classes.length)
      expect(answers).toHaveLength(2)
      const silence =
        model.frontEnd.kind === 'image'
          ? new Uint8Array(model.tensors[0].shape.reduce((a, b) => a * b))
          : new Int16Array(model.frontEnd.samples)
      expect(answers[1].logits).toEqual(load(file).run(silence))
    }
  })

  it('names everything it needs, and nothing is left to fill in', () => {
    const files = exportModel(audioModel(draw, spectral(64, 40), bytes))
    const makefile = files.get('Makefile')!
    expect(makefile).toContain('TARGET ?= cortex-m33\n')
    const sources = /^LIBRARY := (.*)$/m.exec(makefile)![1].split(' ')
    for (const source of sources) expect(files.has(source), source).toBe(true)
    expect(sources).toContain('core/run.c')
    expect(sources).not.toContain('core/host.c')
    for (const [path, text] of files) {
      if (!/\.(bin|bw)$/.test(path)) expect(text, path).not.toMatch(/@[A-Z]+@/)
      for (const [, included] of text.matchAll(/^#include "(.*)"$/gm)) {
        const place = join('/', path, '..', included).slice(1)
        expect(files.has(place) || files.has(included), `${path} includes ${included}`).toBe(true)
      }
    }
    for (const [target, machine] of Object.entries(targetMachines)) expect(makefile).toContain(`${target}:${machine}`)
    for (const [, script] of makefile.matchAll(/port\/([\w-]+)\.ld/g))
      expect(existsSync(join(firmwareFolder, `port/${script}.ld`))).toBe(true)
  })

  it('says names and numbers so that C reads them back', () => {
    expect(stringLiteral('a"b\\c??=é\n1')).toBe(String.raw`"a\042b\134c\077\077=\303\251\0121"`)
    const values = [
      0,
      -0,
      1,
      -1.5,
      2 ** -149,
      -(2 ** -126),
      3.4028234663852886e38,
      0.1,
      Math.PI,
      ...Array.from({ length: 500 }, () => (draw(2 ** 31) / 2 ** 20) * 2 ** (draw(60) - 40)),
    ]
    for (const value of values) expect(readFloat(floatLiteral(value))).toBe(Math.fround(value))
  })

  it('takes the tables of the front end from the core', () => {
    const frontEnd = spectral(50, 81)
    const tables = frontEndTables(frontEnd)
    const source = exportModel(audioModel(draw, frontEnd, bytes)).get('model.c')!
    expect(tables.size).toBe(64)
    for (let i = 0; i < 50; i++) expect(tables.window[i]).toBeCloseTo((0.5 - 0.5 * Math.cos((2 * Math.PI * i) / 50)) / 32768, 9)
    for (let k = 0; k < 32; k++) {
      expect(tables.cosine[k]).toBeCloseTo(Math.cos((2 * Math.PI * k) / 64), 6)
      expect(tables.sine[k]).toBeCloseTo(Math.sin((2 * Math.PI * k) / 64), 6)
    }
    expect(tables.bandCount.reduce((sum, count) => sum + count, 0)).toBe(tables.triangles.length)
    for (const value of [tables.window[7], tables.sine[3], tables.triangles[0], tables.dct.at(-1)!])
      expect(source).toContain(floatLiteral(value))
    // and asking for them leaves features as they are
    const pcm = Int16Array.from({ length: frontEnd.samples }, () => draw(2000) - 1000)
    const before = computeFeatures(frontEnd, pcm)
    frontEndTables(spectral(64, 40))
    expect(computeFeatures(frontEnd, pcm)).toEqual(before)
  })

  it('predicts memory: by hand, and never less than the arena', () => {
    const frontEnd = spectral(100, 40)
    const { flash, ram, hopSamples } = firmwareMemory(audioModel(draw, frontEnd, narrow))
    // 128-point FFT: four buffers of 64 floats, then 65 and 9 floats, each to 16 bytes; the arena is smaller
    expect(ram).toEqual({ bw_memory: 4 * 256 + 272 + 48, bw_window: 200, bw_heard: Math.ceil((13 * 7 * 2) / 8) })
    const { triangles } = frontEndTables(frontEnd)
    expect(flash.bw_front_end_tables).toBe(4 * (100 + 64 + 64 + triangles.length + 9 * 7) + 2 * 18)
    expect(hopSamples).toBe(3 * 40)
    const raw = audioModel(draw, { kind: 'raw', sampleRate: 8000, samples: 611 }, samples16)
    expect(firmwareMemory(raw)).toMatchObject({ ram: { bw_heard: 1222 }, hopSamples: 153 })
    // a stream: 13 rows of 7 bytes, a window of 100 samples, behind them a row of logits and the scratch of 91 weights; 3 scores of 4 answers
    const settings = { smoothingSeconds: 0.02, threshold: 0.5, refractorySeconds: 1, ignoredClasses: [] }
    const stream = firmwareMemory(audioModel(draw, frontEnd, bytes, 'stream'), settings)
    expect(stream).toMatchObject({ input: 'stream', hopSamples: 40, firstSamples: 12 * 40 + 100, frontEndOffset: 96 + 208 })
    expect(stream.ram).toEqual({ bw_memory: 304 + 4 * 256 + 272 + 48, bw_plan: 2 * 28 + 16, bw_scores_heard: 3 * 4 + 3 * 4 * 2 })
    expect(stream.flash.bw_thresholds).toBe(12)
    const { model } = lowerSkeleton(builtinNetwork('ds-cnn-s', { classes: ['a', 'b'] }))
    expect(firmwareMemory(model).ram.bw_memory).toBeGreaterThan(10_000)
  })

  it('chooses sizes by what the compiler says of the processor', () => {
    const model = lowerSkeleton(builtinNetwork('ds-cnn-s', { classes: ['a', 'b'] })).model
    const header = modelHeader(model, firmwareVariants(model, packModel))
    expect(header.match(/^#(if|elif|else)\b.*/gm)).toEqual([
      '#if defined(__ARM_FEATURE_MVE)',
      '#elif defined(__ARM_FEATURE_DSP)',
      '#else /* plain */',
    ])
    const sizes = [...header.matchAll(/#define BW_MODEL_BYTES (\d+)u\n#define BW_MEMORY_BYTES (\d+)u/g)].map((match) =>
      match.slice(1).map(Number),
    )
    const expected = (['helium', 'dsp', 'plain'] as const).map((kernels) => {
      const { flashBytes, ramBytes } = modelInfo(packModel(model, kernels))
      return [flashBytes, Math.max(ramBytes, 4 * 2048 + 2064 + 160)]
    })
    expect(sizes).toEqual(expected)
    // a Cortex-M55 knows the DSP extension too, and must not take the image of it
    const some = firmwareVariants(model, (same, kernels) => (kernels === 'dsp' ? packModel(same, kernels) : same))
    expect(some.map(({ kernels }) => kernels)).toEqual(['helium', 'dsp', 'plain'])
    const vectors = firmwareVariants(model, (same, kernels) => (kernels === 'helium' ? packModel(same, kernels) : same))
    expect(vectors.map(({ kernels }) => kernels)).toEqual(['helium', 'plain'])
  })
})
