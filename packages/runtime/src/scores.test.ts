// The best class and its probability in whole numbers: core/scores.c against the reference, and the reference against float64.

import { describe, expect, test } from 'vitest'
import { softmaxIntegers } from './reference.ts'
import { Host } from './testing/host.ts'
import { seededDraw } from './testing/random-model.ts'
import { hasHostCompiler, hasSanitizers } from './tools/build-core.ts'

const scales = [2 ** -15, 1e-4, 0.003, 0.0625, 0.3, 1, 40, 1e-30, 1e-40, 3e38]
const cases = Array.from({ length: 400 }, (_, seed) => {
  const draw = seededDraw(seed)
  const spread = 1 + draw(draw(3) === 0 ? 65535 : 200)
  const logits = Int16Array.from({ length: 1 + draw(seed % 50 === 0 ? 4096 : 20) }, () => -32768 + draw(65535 - spread) + draw(spread))
  if (draw(2)) logits.fill(logits[0], 0, draw(logits.length))
  return { logits, scale: Math.fround(draw(2) ? scales[draw(scales.length)] : 0.001 + draw(1000) / 5000) }
})

test('the reference is the softmax to less than three units in 65536', () => {
  for (const { logits, scale } of cases) {
    const largest = Math.max(...logits)
    const parts = Array.from(logits, (logit) => Math.exp((logit - largest) * scale))
    const sum = parts.reduce((total, part) => total + part, 0)
    const one = softmaxIntegers(logits, scale, 65535)
    one.forEach((value, i) => expect(Math.abs(value - (65535 * parts[i]) / sum)).toBeLessThan(3))
    expect(Math.max(...softmaxIntegers(logits, scale, 255).map((value, i) => Math.abs(value - one[i] / 257)))).toBeLessThan(0.51)
  }
})

describe.skipIf(!hasHostCompiler())('host build (skipped without cc)', () => {
  test('gives the class and the probabilities of the reference, clean under the sanitizers', () => {
    const host = new Host({ sanitize: hasSanitizers() })
    try {
      const jobs = cases.map(({ logits, scale }) => ({
        kind: 'scores' as const,
        first: new Uint8Array(Float32Array.of(scale).buffer),
        second: logits,
      }))
      host.run(jobs).forEach(({ bytes }, i) => {
        const { logits, scale } = cases[i]
        const [best] = new Uint32Array(bytes.slice(0, 4).buffer)
        expect([i, best]).toEqual([i, logits.indexOf(Math.max(...logits))])
        expect([i, ...new Uint16Array(bytes.slice(4, 4 + 2 * logits.length).buffer)]).toEqual([i, ...softmaxIntegers(logits, scale, 65535)])
        expect([i, ...bytes.subarray(4 + 2 * logits.length)]).toEqual([i, ...softmaxIntegers(logits, scale, 255)])
      })
    } finally {
      host.close()
    }
  })
})
