// 10,000 damaged .bw files, and 1,000 that stream: each is refused with one clear line or runs harmlessly, in WebAssembly and (where there is a
// compiler) under the address and undefined-behaviour sanitizers. FUZZ_SEED=1 damages others.

import { afterAll, describe, expect, test } from 'vitest'
import { BadModelError, encodeModel, load, packModel, type IntegerFrontEnd, type IntegerModel, type Model } from './index.ts'
import { loadNative, nativeMissing } from './native.ts'
import { Host } from './testing/host.ts'
import { mutate } from './testing/mutate.ts'
import { randomAttention } from './testing/random-attention.ts'
import { inOneContainer, randomClip, randomModel, seededDraw } from './testing/random-model.ts'
import { randomSeparable } from './testing/random-separable.ts'
import { hasSanitizers, type HostOptions } from './tools/build-core.ts'

const originals = Array.from({ length: 40 }, (_, seed) => encodeModel(randomOriginal(seed)))

/** Three of four packed for a processor, half where layers write over what they read. */
function randomOriginal(seed: number): IntegerModel {
  const draw = seededDraw(1000 + seed)
  const drawn = seed % 5 === 4 ? randomSeparable(draw) : seed % 5 === 3 ? randomAttention(draw) : randomModel(draw)
  const model = seed % 8 < 4 ? inOneContainer(drawn) : drawn
  const families = [undefined, 'plain', 'dsp', 'helium'] as const
  const target = families[seed % families.length]
  return target ? packModel(model, target) : model
}

const firstSeed = 20_000 * Number(process.env.FUZZ_SEED ?? 0)

const mutants = Array.from({ length: 10_000 }, (_, seed) => {
  const draw = seededDraw(firstSeed + seed + 1)
  return mutate(draw, originals[draw(originals.length)])
})

test('10,000 mutated files are refused clearly or run', () => {
  const reasons = new Map<string, number>()
  for (const bytes of mutants) {
    let reason = 'runs'
    try {
      const model = load(bytes)
      model.run(randomClip(seededDraw(5), model.frontEnd))
    } catch (error) {
      if (!(error instanceof BadModelError)) throw error
      expect(error.message).toMatch(/^model\.bw: [^\n]+$/)
      reason = error.message.replace(/\d+/g, 'n')
    }
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
  }
  // The deep checks were reached: many different refusals, and some harmless changes (weights, names, scales).
  expect(reasons.get('runs')).toBeGreaterThan(500)
  expect(reasons.get('model.bw: checksum differs (file is damaged): export it again')).toBeGreaterThan(1000)
  expect(reasons.size).toBeGreaterThan(14)
})

test.skipIf(await nativeMissing())(
  'of every fourth the addon for this processor says the same (skipped without a C compiler)',
  async () => {
    const outcome = async (open: (file: Uint8Array) => Model | Promise<Model>, bytes: Uint8Array): Promise<string> => {
      try {
        const model = await open(bytes)
        return String(model.run(randomClip(seededDraw(5), model.frontEnd)))
      } catch (error) {
        return String(error)
      }
    }
    const files = mutants.filter((_, i) => i % 4 === 0)
    const outcomes = await Promise.all(files.map(async (bytes) => [await outcome(load, bytes), await outcome(loadNative, bytes)]))
    expect(outcomes.map(([, native]) => native)).toEqual(outcomes.map(([wasm]) => wasm))
  },
)

const streamOriginals = Array.from({ length: 20 }, (_, seed) => encodeModel(randomModel(seededDraw(7000 + seed), true)))
const streamMutants = Array.from({ length: 1000 }, (_, seed) => {
  const draw = seededDraw(firstSeed + 10_000 + seed)
  return mutate(draw, streamOriginals[draw(streamOriginals.length)])
})
const recording = randomClip(seededDraw(6), { kind: 'raw', sampleRate: 16000, samples: 1500 }) as Int16Array

/** The logits of a stream, `refused` or `whole windows alone`. */
function streamed(bytes: Uint8Array): number[] | string {
  try {
    return load(bytes)
      .stream()
      .push(recording)
      .flatMap((logits) => [...logits])
  } catch (error) {
    if (error instanceof BadModelError) return 'refused'
    if (error instanceof RangeError && /cannot stream/.test(error.message)) return 'whole windows alone'
    throw error
  }
}

test('1,000 mutated files that stream are refused clearly or stream', () => {
  const results = streamMutants.map(streamed)
  expect(results.filter((result) => typeof result !== 'string' && result.length > 0).length).toBeGreaterThan(100)
  expect(results.filter((result) => result === 'refused').length).toBeGreaterThan(250)
})

test('every truncation of a file is refused', () => {
  for (let length = 0; length < originals[0].length; length++) expect(() => load(originals[0].slice(0, length))).toThrow(BadModelError)
})

test('every single flipped bit is refused, but those that make an older version of the number', () => {
  const bytes = originals[1].slice()
  const version = new DataView(bytes.buffer)
  for (let bit = 0; bit < 8 * bytes.length; bit++) {
    bytes[bit >> 3] ^= 1 << (bit & 7)
    if ([1, 2].includes(version.getUint32(4, true))) expect(load(bytes).integerModel).toEqual(load(originals[1]).integerModel)
    else expect(() => load(bytes)).toThrow(BadModelError)
    bytes[bit >> 3] ^= 1 << (bit & 7)
  }
})

/** The clip's first bytes, as the host program takes them. */
function fitted(clip: Int16Array | Uint8Array, frontEnd: IntegerFrontEnd): Int16Array | Uint8Array {
  const fit =
    frontEnd.kind === 'image' ? new Uint8Array(frontEnd.height * frontEnd.width * frontEnd.channels) : new Int16Array(frontEnd.samples)
  const bytes = new Uint8Array(fit.buffer)
  bytes.set(new Uint8Array(clip.buffer).subarray(0, bytes.length))
  return fit
}

/** The core does not look at the names' letters; loading does. */
function isUtf8(bytes: Uint8Array): boolean {
  try {
    load(bytes)
    return true
  } catch (error) {
    return !(error as Error).message.includes('UTF-8')
  }
}

describe.skipIf(!hasSanitizers())('sanitized host build (skipped without cc and its sanitizers)', () => {
  type Build = Omit<HostOptions, 'sanitize'>
  const hosts = new Map<object, Host>()
  const hostOf = (options: Build): Host => {
    if (!hosts.has(options)) hosts.set(options, new Host({ sanitize: true, ...options }))
    return hosts.get(options)!
  }
  afterAll(() => hosts.forEach((host) => host.close()))
  const native: Build = { native: true }

  test.each<{ options: Build; files: readonly Uint8Array[] }>([
    { options: native, files: mutants },
    { options: { cortex: 'dsp' }, files: mutants.filter((_, i) => i % 4 === 0) },
    { options: { cortex: 'swar' }, files: mutants.filter((_, i) => i % 4 === 1) },
  ])('the same files leave no trace in the sanitizers, and the same ones are refused: $options', ({ options, files }) => {
    const clip = randomClip(seededDraw(5), { kind: 'raw', sampleRate: 16000, samples: 400 })
    const results = hostOf(options).run(files.map((first) => ({ kind: 'run', first, second: clip })))
    expect(results.length).toBe(files.length)
    results.forEach(({ status, bytes }, i) => {
      if (status !== 0) expect(() => load(files[i])).toThrow(BadModelError)
      else if (isUtf8(files[i])) {
        const model = load(files[i])
        expect(bytes).toEqual(new Uint8Array(model.run(fitted(clip, model.frontEnd)).buffer))
      }
    })
  })

  test('streams of the mutated files leave no trace in the sanitizers, and give the same logits', () => {
    const results = hostOf(native).run(streamMutants.map((first) => ({ kind: 'stream', first, second: recording })))
    for (const [i, { status, bytes }] of results.entries()) {
      if (status === 0 && !isUtf8(streamMutants[i])) continue
      const logits = [...new Int16Array(bytes.slice(16).buffer)]
      expect(status !== 0 ? 'refused' : bytes.length === 0 ? 'whole windows alone' : logits, `file ${i}`).toEqual(
        streamed(streamMutants[i]),
      )
    }
  })
})
