// Damage to .bw files: cut off, grown, flipped bits, bytes and words that matter. Half of the files carry a correct checksum, so that the
// checks behind it are reached.
import { sealImage } from '../encode.ts'
import type { Draw } from './random-model.ts'

export function mutate(draw: Draw, original: Uint8Array): Uint8Array {
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
