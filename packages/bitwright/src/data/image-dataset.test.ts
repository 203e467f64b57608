import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { RunError, UsageError } from '../errors.ts'
import { decodeImage } from './decode-image.ts'
import type { ImageDataset } from './dataset.ts'
import { loadImageDataset, loadImageList, type ImageDatasetOptions } from './image-dataset.ts'
import { writeCifar } from './testing/cifar-files.ts'

const sharp = await import('sharp').then(
  (module) => module.default,
  () => undefined,
)

let root = ''
beforeEach(() => (root = mkdtempSync(join(tmpdir(), 'bitwright-images-'))))
afterEach(() => rmSync(root, { recursive: true }))

const colour = { height: 8, width: 8, channels: 3 } as const
const load = (options: Partial<ImageDatasetOptions> = {}) => loadImageDataset(root, { ...colour, ...options })
const failure = (options: Partial<ImageDatasetOptions> = {}) =>
  load(options).then(
    () => undefined,
    (error: Error) => error,
  )

function put(path: string, content: Uint8Array | string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true })
  writeFileSync(join(root, path), content)
}

async function image(path: string, [r, g, b, alpha]: readonly number[], width = 8, height = 8): Promise<void> {
  const background = { r, g, b, ...(alpha === undefined ? {} : { alpha }) }
  const made = sharp!({ create: { width, height, channels: alpha === undefined ? 3 : 4, background } })
  put(path, await (path.endsWith('.png') ? made.png() : made.jpeg({ quality: 95 })).toBuffer())
}

/** So many images of each class, of a red of their own. */
async function classes(names: readonly string[], count: number): Promise<void> {
  for (const [c, name] of names.entries()) for (let i = 0; i < count; i++) await image(`${name}/${i}.png`, [100 * c + i, 7, 0])
}

const rows = ({ pixels, splits }: ImageDataset) =>
  Object.values(splits)
    .flat()
    .map(({ path, index }) => [path, pixels[index * 192], pixels[index * 192 + 1]])
const sizes = ({ splits }: ImageDataset) => [splits.train.length, splits.validation.length, splits.test.length]

describe.skipIf(!sharp)('images in folders (skipped without the npm package sharp)', () => {
  it('puts each image into the row of its sample, each class in every split', async () => {
    await classes(['cat', 'dog'], 20)
    const dataset = await load({ threads: 3 })
    expect(dataset).toMatchObject({ kind: 'image', classes: ['cat', 'dog'], ...colour, skipped: [] })
    expect(dataset.pixels.buffer).toBeInstanceOf(SharedArrayBuffer)
    expect(sizes(dataset)).toEqual([32, 4, 4])
    for (const [path, red, green] of rows(dataset)) {
      const [name, number] = String(path).split('/')
      expect([red, green]).toEqual([(name === 'dog' ? 100 : 0) + Number.parseInt(number, 10), 7])
    }
    for (const split of Object.values(dataset.splits)) expect(new Set(split.map(({ label }) => label)).size).toBe(2)
    const salted = await load({ salt: 'x', split: 'speaker' })
    expect(salted.splits.test).not.toEqual(dataset.splits.test)
  })

  it('takes folders named after the splits as they are, and draws what has no folder', async () => {
    await classes(['train/cat', 'train/dog'], 40)
    await classes(['test/cat', 'test/dog'], 3)
    const dataset = await load()
    expect(dataset.classes).toEqual(['cat', 'dog'])
    expect(dataset.splits.test.map(({ path }) => path)).toEqual(
      ['cat', 'dog'].flatMap((name) => [0, 1, 2].map((i) => `test/${name}/${i}.png`)),
    )
    expect(dataset.splits.validation.length).toBeGreaterThan(1)
    expect(dataset.splits.train.length + dataset.splits.validation.length).toBe(80)
    await classes(['val/cat', 'val/dog'], 2)
    expect(sizes(await load())).toEqual([80, 4, 6])
  })

  it('takes lists, and a list alone for a finished model', async () => {
    await classes(['cat', 'dog'], 6)
    const lines = (from: number, to: number) =>
      ['cat', 'dog'].flatMap((name) => Array.from({ length: to - from }, (_, i) => `${name}/${from + i}.png`)).join('\n')
    put('v.txt', lines(3, 4))
    put('t.txt', lines(4, 6))
    const dataset = await load({ lists: { validation: join(root, 'v.txt'), test: join(root, 't.txt') } })
    expect(sizes(dataset)).toEqual([6, 2, 4])
    put('one.txt', 'dog/1.png cat\ncat/2.png\n')
    const list = await loadImageList(root, join(root, 'one.txt'), ['cat', 'dog'], colour)
    expect(list.splits.test.map(({ path, label }) => [path, label])).toEqual([
      ['dog/1.png', 0],
      ['cat/2.png', 0],
    ])
  })

  it('names broken files and skips them, or refuses them', async () => {
    await classes(['cat', 'dog'], 8)
    await image('cat/cut.jpg', [1, 2, 3], 64, 64)
    const whole = await sharp!(Buffer.from(Uint8Array.from({ length: 64 * 64 * 3 }, (_, i) => (i * i) % 251)), {
      raw: { width: 64, height: 64, channels: 3 },
    })
      .jpeg()
      .toBuffer()
    put('cat/cut.jpg', whole.subarray(0, whole.length >> 1))
    put('dog/text.png', 'this is no image')
    put('dog/nothing.png', '')
    const dataset = await load()
    expect(dataset.skipped).toEqual([
      { path: 'cat/cut.jpg', reason: expect.stringMatching(/^is no image that can be read \(/) },
      { path: 'dog/nothing.png', reason: 'is empty' },
      { path: 'dog/text.png', reason: expect.stringMatching(/^is no image that can be read \(/) },
    ])
    expect(sizes(dataset).reduce((a, b) => a + b)).toBe(16)
    const strict = await failure({ strict: true })
    expect(strict).toBeInstanceOf(RunError)
    expect(strict?.message).toMatch(/cut\.jpg is no image .* \(and 2 more\); without --strict/)
  })

  it('reads grey, transparent, turned, 16-bit and larger images as the size and channels asked for', async () => {
    await image('clear.png', [200, 0, 0, 0])
    expect([...(await decodeImage(join(root, 'clear.png'), colour)).subarray(0, 3)]).toEqual([255, 255, 255])
    const grey = await sharp!({ create: { width: 4, height: 4, channels: 3, background: '#808080' } })
      .toColourspace('b-w')
      .png()
      .toBuffer()
    put('grey.png', grey)
    expect([...new Set(await decodeImage(join(root, 'grey.png'), colour))]).toEqual([128])
    const deep = await sharp!({ create: { width: 4, height: 4, channels: 3, background: { r: 10, g: 200, b: 30 } } })
      .toColourspace('rgb16')
      .png()
      .toBuffer()
    put('deep.png', deep)
    expect([...(await decodeImage(join(root, 'deep.png'), colour)).subarray(0, 3)]).toEqual([10, 200, 30])
    await image('white.jpeg', [255, 255, 255])
    const single = await decodeImage(join(root, 'white.jpeg'), { height: 5, width: 3, channels: 1 })
    expect([...single]).toEqual(Array.from({ length: 15 }, () => 255))
    // wide: black, white, black; the middle is kept
    const wide = Uint8Array.from({ length: 24 * 8 * 3 }, (_, i) => (Math.floor(i / 3) % 24 >= 8 && Math.floor(i / 3) % 24 < 16 ? 255 : 0))
    put(
      'wide.png',
      await sharp!(Buffer.from(wide), { raw: { width: 24, height: 8, channels: 3 } })
        .png()
        .toBuffer(),
    )
    expect([...new Set(await decodeImage(join(root, 'wide.png'), colour))]).toEqual([255])
    // the camera was turned: the upper row of the file is the right column
    const halves = Uint8Array.from({ length: 8 * 8 * 3 }, (_, i) => (i < 4 * 8 * 3 ? 250 : 0))
    put(
      'turned.jpg',
      await sharp!(Buffer.from(halves), { raw: { width: 8, height: 8, channels: 3 } })
        .withMetadata({ orientation: 6 })
        .jpeg()
        .toBuffer(),
    )
    const turned = await decodeImage(join(root, 'turned.jpg'), colour)
    expect(turned[7 * 3]).toBeGreaterThan(200)
    expect(turned[0]).toBeLessThan(50)
  })

  it('says what is wrong before decoding anything', async () => {
    expect((await failure())?.message).toBe(`${root} holds no images; it takes one sub-folder of PNG or JPEG files per class`)
    put('cat/a.gif', 'x')
    expect((await failure())?.message).toMatch(
      /holds no PNG or JPEG files, but 1 others such as cat\/a.gif; convert them, e.g. magick in.gif out.png/,
    )
    await classes(['cat'], 12)
    expect((await failure())?.message).toMatch(/there is only one class \(cat\); at least two are needed/)
    await classes(['cat', 'dog'], 2)
    expect(await failure()).toBeInstanceOf(UsageError)
    expect((await failure())?.message).toMatch(/class dog has \d training images, at least 3 are needed; collect more/)
  })
})

it('takes CIFAR batches for what they are', async () => {
  writeCifar(root)
  const dataset = await loadImageDataset(root, { height: 32, width: 32, channels: 3 })
  expect(sizes(dataset)).toEqual([72, 8, 30])
  expect((await failure())?.message).toMatch(/CIFAR images are 32x32x3, and 8x8x3 are asked for/)
  const options = { height: 32, width: 32, channels: 3 } as const
  expect((await failure({ ...options, words: ['red'] }))?.message).toMatch(/have classes and a split of their own; leave --words/)
})
