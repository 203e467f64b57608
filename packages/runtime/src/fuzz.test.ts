// 10,000 damaged .bw files: each is refused with one clear line or runs harmlessly, in WebAssembly and (where there is a compiler) under
// the address and undefined-behaviour sanitizers. Half of them carry a correct checksum, so that the checks behind it are reached.

import { describe, expect, test } from 'vitest'
import { sealImage } from './encode.ts'
import { BadModelError, encodeModel, load, packModel, type IntegerFrontEnd, type IntegerModel } from './index.ts'
import { Host } from './testing/host.ts'
import { inOneContainer, randomClip, randomModel, randomSeparable, seededDraw, type Draw } from './testing/random-model.ts'
import { hasSanitizers } from './tools/build-core.ts'

const originals = Array.from({ length: 40 }, (_, seed) => encodeModel(randomOriginal(seed)))

/** Three of four packed for a processor, half where layers write over what they read. */
function randomOriginal(seed: number): IntegerModel {
  const draw = seededDraw(1000 + seed)
  const drawn = seed % 5 === 4 ? randomSeparable(draw) : randomModel(draw)
  const model = seed % 8 < 4 ? inOneContainer(drawn) : drawn
  const families = [undefined, 'plain', 'dsp', 'helium'] as const
  const target = families[seed % families.length]
  return target ? packModel(model, target) : model
}

function mutate(draw: Draw, original: Uint8Array): Uint8Array {
  let bytes = original.slice()
  const kind = draw(8)
  if (kind === 0) bytes = bytes.slice(0, draw(bytes.length))
  else if (kind === 1) bytes = Uint8Array.from([...bytes, ...Array.from({ length: 1 + draw(64) }, () => draw(256))])
  else {
    // Records lie at the front: half of the changes hit them.
    for (let i = 0, count = 1 + draw(3); i < count; i++) {
      const at = draw(2) ? draw(bytes.length) : draw(Math.min(bytes.length, 600))
      if (kind < 4) bytes[at] ^= 1 << draw(8)
      else if (kind < 6) bytes[at] = [0, 1, 2, 127, 128, 255, draw(256)][draw(7)]
      else if (at + 4 <= bytes.length) {
        const word = [0, 1, 4, 84, bytes.length, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffffff0, 65535, draw(2 ** 32)][draw(11)]
        new DataView(bytes.buffer).setUint32(at & ~3, word, true)
      }
    }
  }
  if (draw(2) && bytes.length >= 84) {
    new DataView(bytes.buffer).setUint32(8, bytes.length, true)
    sealImage(bytes)
  }
  return bytes
}

const mutants = Array.from({ length: 10_000 }, (_, seed) => {
  const draw = seededDraw(seed + 1)
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

test('every truncation of a file is refused', () => {
  for (let length = 0; length < originals[0].length; length++) expect(() => load(originals[0].slice(0, length))).toThrow(BadModelError)
})

test('every single flipped bit is refused', () => {
  const bytes = originals[1].slice()
  for (let bit = 0; bit < 8 * bytes.length; bit++) {
    bytes[bit >> 3] ^= 1 << (bit & 7)
    expect(() => load(bytes)).toThrow(BadModelError)
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
  const runs = [
    { options: { native: true }, files: mutants },
    { options: { cortex: 'dsp' }, files: mutants.filter((_, i) => i % 4 === 0) },
    { options: { cortex: 'swar' }, files: mutants.filter((_, i) => i % 4 === 1) },
  ] as const
  test.each(runs)('the same files leave no trace in the sanitizers, and the same ones are refused: $options', ({ options, files }) => {
    const host = new Host({ sanitize: true, ...options })
    try {
      const clip = randomClip(seededDraw(5), { kind: 'raw', sampleRate: 16000, samples: 400 })
      const results = host.run(files.map((first) => ({ kind: 'run', first, second: clip })))
      expect(results.length).toBe(files.length)
      results.forEach(({ status, bytes }, i) => {
        if (status !== 0) expect(() => load(files[i])).toThrow(BadModelError)
        else if (isUtf8(files[i])) {
          const model = load(files[i])
          expect(bytes).toEqual(new Uint8Array(model.run(fitted(clip, model.frontEnd)).buffer))
        }
      })
    } finally {
      host.close()
    }
  })
})
