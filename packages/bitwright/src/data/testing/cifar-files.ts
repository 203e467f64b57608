// CIFAR-10 batches of a few images, for tests: every class is a colour on a side of its own, with noise.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Random } from '@bitwright/engine'

export const cifarClasses = ['red', 'green', 'blue'] as const

/** Records of one label byte and three planes. */
export function cifarBatch(count: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(count * 3073)
  const random = new Random(seed, 'cifar')
  for (let i = 0; i < count; i++) {
    const label = i % cifarClasses.length
    bytes[i * 3073] = label
    for (let at = 0; at < 3072; at++) {
      const isOwn = Math.floor(at / 1024) === label && Math.floor((at % 1024) / 32) < 16
      bytes[i * 3073 + 1 + at] = (isOwn ? 150 : 60) + random.integer(50)
    }
  }
  return bytes
}

/** A folder with so many images in each of two training batches, and in the test batch. */
export function writeCifar(directory: string, training = 40, test = 30): void {
  mkdirSync(directory, { recursive: true })
  writeFileSync(join(directory, 'data_batch_1.bin'), cifarBatch(training, 1))
  writeFileSync(join(directory, 'data_batch_2.bin'), cifarBatch(training, 2))
  writeFileSync(join(directory, 'test_batch.bin'), cifarBatch(test, 3))
  writeFileSync(join(directory, 'batches.meta.txt'), `${cifarClasses.join('\n')}\n\n`)
}
