// Logits of clips from the exported page's own runtime, in its own browser.
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { load } from '@bitwright/runtime'
import { web } from '../web.ts'
import type { Page } from './chromium.ts'

/** Writes the page of a model into a folder. */
export function writePage(directory: string, file: Uint8Array): void {
  for (const { path, bytes } of web.files({ model: load(file).integerModel, file }, {})) {
    mkdirSync(dirname(join(directory, path)), { recursive: true })
    writeFileSync(join(directory, path), bytes)
  }
}

/**
 * Of clips of one length, or images, through `runtime.js` and `model.bw` of the opened page.
 * @param directory that the page is served from; the clips go there as a file
 */
export async function pageLogits(page: Page, directory: string, clips: readonly (Int16Array | Uint8Array)[]): Promise<number[][]> {
  writeFileSync(
    join(directory, 'clips.pcm'),
    Buffer.concat(clips.map((clip) => new Uint8Array(clip.buffer, clip.byteOffset, clip.byteLength))),
  )
  return page.evaluate(`(async () => {
    const bytes = async (name) => (await fetch(name, { cache: 'no-store' })).arrayBuffer()
    const { load } = await import('./runtime.js')
    const model = load(new Uint8Array(await bytes('model.bw')))
    const pcm = new ${clips[0] instanceof Uint8Array ? 'Uint8Array' : 'Int16Array'}(await bytes('clips.pcm'))
    const samples = ${clips[0].length}
    return Array.from({ length: pcm.length / samples }, (_, i) => [...model.run(pcm.subarray(i * samples, (i + 1) * samples))])
  })()`)
}
