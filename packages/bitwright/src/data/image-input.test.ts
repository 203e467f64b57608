import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { RunError, UsageError } from '../errors.ts'
import { readInputs } from '../firmware/clips.ts'
import { lowerSkeleton } from '../hardware/lower.ts'
import { builtinNetwork } from '../network/builtins.ts'
import { readImageFile } from './image-input.ts'
import { cifarClasses, cifarBatch, writeCifar } from './testing/cifar-files.ts'

const sharp = await import('sharp').then(
  (module) => module.default,
  () => undefined,
)

let root = ''
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'bitwright-input-'))
  writeCifar(root)
})
afterEach(() => rmSync(root, { recursive: true }))

const size = { height: 32, width: 32, channels: 3 } as const
/** Of image i of the test batch. */
const pixelsOf = (i: number) => {
  const record = cifarBatch(30, 3).subarray(i * 3073 + 1, (i + 1) * 3073)
  return Uint8Array.from({ length: 3072 }, (_, at) => record[(at % 3) * 1024 + Math.floor(at / 3)])
}

describe('readImageFile', () => {
  it('gives all images of a batch, or one', async () => {
    const batch = join(root, 'test_batch.bin')
    const all = await readImageFile(batch, size)
    expect(all.map(({ name }) => name)).toEqual(Array.from({ length: 30 }, (_, i) => `test_batch.bin#${i}`))
    all.forEach(({ pixels }, i) => expect(pixels).toEqual(pixelsOf(i)))
    expect(await readImageFile(`${batch}#17`, size)).toEqual([{ name: 'test_batch.bin#17', pixels: pixelsOf(17) }])
    await expect(readImageFile(`${batch}#30`, size)).rejects.toThrow('has 30 images, numbered from 0')
    await expect(readImageFile(batch, { ...size, height: 16 })).rejects.toThrow(UsageError)
  })

  it('takes plain pixels, and names what cannot be read', async () => {
    const file = join(root, 'pixels.raw')
    writeFileSync(file, Uint8Array.from([...pixelsOf(1), ...pixelsOf(2)]))
    expect((await readImageFile(file, size)).map(({ pixels }) => pixels)).toEqual([pixelsOf(1), pixelsOf(2)])
    writeFileSync(file, new Uint8Array(3071))
    await expect(readImageFile(file, size)).rejects.toThrow('has 3071 bytes; give PNG or JPEG files')
    writeFileSync(join(root, 'x.png'), 'no image')
    await expect(readImageFile(join(root, 'x.png'), size)).rejects.toThrow(RunError)
    await expect(readImageFile(join(root, 'x.wav'), size)).rejects.toThrow('x.wav: is sound, and the model takes images')
  })
})

describe('firmware run --clips', () => {
  const { model } = lowerSkeleton(builtinNetwork('resnet8', { classes: cifarClasses }))

  it('takes a list of a CIFAR folder', async () => {
    const list = join(root, 'some.txt')
    writeFileSync(list, 'test_batch.bin#3 red\n\ntest_batch.bin#8\n')
    expect(await readInputs(model, list, undefined)).toEqual([
      { name: 'test_batch.bin#3', input: pixelsOf(3) },
      { name: 'test_batch.bin#8', input: pixelsOf(8) },
    ])
    writeFileSync(list, 'test_batch.bin#3 red\ntest_batch.bin#99 red\n')
    await expect(readInputs(model, list, undefined)).rejects.toThrow(`${list}, line 2: the image test_batch.bin#99 is not in ${root}`)
    writeFileSync(list, 'test_batch.bin#3 pink\n')
    await expect(readInputs(model, list, undefined)).rejects.toThrow("is labelled pink; the model's classes are red, green, blue")
    expect(await readInputs(model, join(root, 'test_batch.bin#4'), undefined)).toEqual([{ name: 'test_batch.bin#4', input: pixelsOf(4) }])
  })

  it.skipIf(!sharp)('takes a folder of PNG files at any depth (skipped without the npm package sharp)', async () => {
    const folder = join(root, 'images')
    mkdirSync(join(folder, 'deep'), { recursive: true })
    const write = (name: string, i: number) =>
      sharp!(Buffer.from(pixelsOf(i)), { raw: { width: 32, height: 32, channels: 3 } })
        .png()
        .toFile(join(folder, name))
    await write('deep/a.png', 5)
    await write('b.png', 6)
    expect(await readInputs(model, folder, undefined)).toEqual([
      { name: 'b.png', input: pixelsOf(6) },
      { name: 'deep/a.png', input: pixelsOf(5) },
    ])
    mkdirSync(join(root, 'empty'))
    await expect(readInputs(model, join(root, 'empty'), undefined)).rejects.toThrow('has no PNG or JPEG files in it')
  })
})
