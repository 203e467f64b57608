import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { formatImageInspection, holdsImages, inspectImages } from './inspect-images.ts'
import { cifarBatch, writeCifar } from './testing/cifar-files.ts'
import { encodeWav } from './wav.ts'

const sharp = await import('sharp').then(
  (module) => module.default,
  () => undefined,
)

let root = ''
beforeEach(() => (root = mkdtempSync(join(tmpdir(), 'bitwright-look-'))))
afterEach(() => rmSync(root, { recursive: true }))

it('counts CIFAR batches and finds copies', async () => {
  writeCifar(root)
  // ten test images are training images
  const test = cifarBatch(30, 3)
  test.set(cifarBatch(40, 1).subarray(0, 10 * 3073))
  writeFileSync(join(root, 'test_batch.bin'), test)
  expect(holdsImages(root)).toBe(true)
  const report = await inspectImages(root)
  expect(report).toMatchObject({
    kind: 'image',
    split: 'batches',
    sizes: [{ height: 32, width: 32, channels: 3, files: 110 }],
    skipped: [],
  })
  expect(report.classes.map(({ name, train, validation, test: own }) => [name, train + validation, own])).toEqual([
    ['red', 28, 10],
    ['green', 26, 10],
    ['blue', 26, 10],
  ])
  expect(report.warnings).toEqual([
    expect.stringMatching(/^10 images copied into another split, e\.g\. test_batch\.bin#\d is data_batch_1\.bin#\d$/),
  ])
  expect(formatImageInspection(report)).toMatch(/^class +train +validation +test +all\nred /m)
  expect(formatImageInspection(report)).toContain('height x width x channels: 32x32x3 (110)\n')
})

it.skipIf(!sharp)('warns of what spoils a tree of images (skipped without the npm package sharp)', async () => {
  const put = async (path: string, red: number, width = 12) => {
    mkdirSync(join(root, path, '..'), { recursive: true })
    const pixels = Buffer.from(Uint8Array.from({ length: width * 36 }, (_, i) => (i * red + (i % 7)) % 256))
    await sharp!(pixels, { raw: { width, height: 12, channels: 3 } })
      .png()
      .toFile(join(root, path))
  }
  for (let i = 0; i < 40; i++) await put(`cat/${i}.png`, i + 1)
  for (let i = 0; i < 9; i++) await put(`dog/${i}.png`, i + 101, 16)
  await put('dog/twin.png', 3)
  writeFileSync(join(root, 'dog/broken.png'), 'x')
  await sharp!({ create: { width: 12, height: 12, channels: 3, background: '#123' } })
    .png()
    .toFile(join(root, 'cat/flat.png'))
  const report = await inspectImages(root)
  expect(report.sizes).toEqual([
    { height: 12, width: 12, channels: 3, files: 42 },
    { height: 12, width: 16, channels: 3, files: 9 },
  ])
  expect(report.skipped).toHaveLength(1)
  const text = report.warnings.join('\n')
  expect(text).toMatch(/the classes are unbalanced: \d+ training images of cat, \d+ of dog/)
  expect(text).toContain('1 image that look the same under another label, e.g. dog/twin.png is cat/2.png')
  expect(text).toContain('1 image of one colour, e.g. cat/flat.png')
  expect(text).toMatch(/1 image that cannot be read and would be skipped, e\.g\. dog\/broken\.png is no image/)
})

it('leaves sounds to the other inspection', () => {
  for (const word of ['a', 'b']) {
    mkdirSync(join(root, word))
    writeFileSync(join(root, word, '0.wav'), encodeWav(new Int16Array(10), 16000))
    writeFileSync(join(root, word, 'cover.png'), '')
  }
  expect(holdsImages(root)).toBe(false)
  expect(holdsImages(join(root, 'nowhere'))).toBe(false)
})
