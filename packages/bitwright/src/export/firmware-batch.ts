// The files that firmware/examples/clips.c reads and writes: a batch of clips or images, and an answer for each.

/** Everything is filled up to 4 bytes. */
const padding = (bytes: number): number => (4 - (bytes % 4)) % 4

/** 16-bit samples, or the bytes of pixels. */
export type FirmwareInput = Int16Array | Uint8Array

export function encodeClips(clips: readonly FirmwareInput[]): Uint8Array {
  const parts = clips.flatMap((clip) => [
    Buffer.from(Uint32Array.of(clip.length).buffer),
    Buffer.from(clip.buffer, clip.byteOffset, clip.byteLength),
    Buffer.alloc(padding(clip.byteLength)),
  ])
  return Buffer.concat(parts)
}

export interface FirmwareAnswer {
  readonly index: number
  readonly logits: Int16Array
}

export const answerBytes = (classes: number): number => 4 + 2 * classes + padding(2 * classes)

export function encodeAnswers(answers: readonly FirmwareAnswer[]): Uint8Array {
  const parts = answers.flatMap(({ index, logits }) => [
    Buffer.from(Uint32Array.of(index).buffer),
    Buffer.from(logits.buffer, logits.byteOffset, logits.byteLength),
    Buffer.alloc(padding(logits.byteLength)),
  ])
  return Buffer.concat(parts)
}

/** @returns the answers that are whole */
export function decodeAnswers(bytes: Uint8Array, classes: number): FirmwareAnswer[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const size = answerBytes(classes)
  return Array.from({ length: Math.floor(bytes.length / size) }, (_, answer) => ({
    index: view.getUint32(answer * size, true),
    logits: Int16Array.from({ length: classes }, (__, i) => view.getInt16(answer * size + 4 + 2 * i, true)),
  }))
}
