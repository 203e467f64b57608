// The places a finished model runs in (bench/homes.ts). Each takes clips and gives logits in whole steps of the model's output.
import { mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { onnxModel } from '../packages/bitwright/src/export/index.ts'
import { Chromium, findChromium, serveFolder } from '../packages/bitwright/src/export/testing/chromium.ts'
import { pageLogits, writePage } from '../packages/bitwright/src/export/testing/page-logits.ts'
import { frontEndShape } from '../packages/bitwright/src/network/index.ts'
import { firmwareTargets } from '../packages/bitwright/src/export/firmware-targets.ts'
import { missingTools } from '../packages/bitwright/src/firmware/tools.ts'
import { computeFeatures, isSpectral, type Model } from '../packages/runtime/src/index.ts'
import { loadNative, nativeMissing } from '../packages/runtime/src/native.ts'
import { firmwareHome } from './home-firmware.ts'
import { peerMissing } from './inference-peers.ts'

/** Sound, or pixels of images. */
export type Clips = readonly (Int16Array | Uint8Array)[]
export type Logits = readonly ArrayLike<number>[]

/** Bytes as the linker gave them and as they were predicted. */
export interface Sizes {
  readonly flashBytes: number
  readonly predictedFlashBytes: number
  readonly ramBytes: number
  readonly predictedRamBytes: number
}

export interface Home {
  /** `onProgress`: clips that are done. */
  logits(clips: Clips, onProgress: (done: number) => void): Promise<Logits>
  readonly sizes?: Sizes
  close?(): Promise<void>
}

export interface HomeKind {
  readonly name: string
  /** Whether every logit has to be equal; else steps of rounding are no failure. */
  readonly exact: boolean
  /** What is missing here; undefined where it can be opened. */
  missing(): string | undefined | Promise<string | undefined>
  /** Undefined where it has no use for such a model. */
  open(model: Model, file: Uint8Array): Promise<Home | undefined>
}

/** The file that ships to browsers, with its WebAssembly, in Node. */
const wasm: HomeKind = {
  name: 'wasm',
  exact: true,
  missing: () => undefined,
  async open(_model, file) {
    const bundle = (await import(pathToFileURL(join(import.meta.dirname, '../packages/runtime/src/generated/runtime.js')).href)) as {
      load(file: Uint8Array): { run(input: Int16Array | Uint8Array): Int16Array }
    }
    const own = bundle.load(file)
    return { logits: async (clips) => clips.map((pcm) => own.run(pcm)) }
  },
}

const native: HomeKind = {
  name: 'native',
  exact: true,
  missing: nativeMissing,
  async open(_model, file) {
    const own = await loadNative(file)
    return { logits: async (clips) => clips.map((pcm) => own.run(pcm)) }
  },
}

function onnx(name: string, { exact = false, frontEnd = false }): HomeKind {
  return {
    name,
    // a logarithm in float32 may turn a feature over to the next step
    exact: exact && !frontEnd,
    missing: () => peerMissing('onnxruntime-node'),
    async open(model) {
      if (frontEnd && !isSpectral(model.frontEnd)) return undefined
      const { InferenceSession, Tensor } = createRequire(join(import.meta.dirname, 'peers/package.json'))('onnxruntime-node')
      const session = await InferenceSession.create(onnxModel(model.integerModel, { frontEnd, exact }))
      const { scale, zeroPoint } = model.integerModel.tensors[model.integerModel.layers.at(-1)!.output]
      const spectral = isSpectral(model.frontEnd) && !frontEnd ? model.frontEnd : undefined
      const inputOf = (pcm: Int16Array | Uint8Array) => {
        if (pcm instanceof Uint8Array) return { pixels: new Tensor('uint8', pcm, [1, ...frontEndShape(model.frontEnd)]) }
        const audio = Float32Array.from(pcm, (sample) => sample / 32768)
        if (!spectral) return { audio: new Tensor('float32', audio, [1, pcm.length]) }
        const features = computeFeatures(spectral, pcm)
        return { features: new Tensor('float32', features, [1, features.length / spectral.coefficients, spectral.coefficients]) }
      }
      return {
        async logits(clips, onProgress) {
          const all: Float64Array[] = []
          for (const pcm of clips) {
            const { data } = (await session.run(inputOf(pcm))).logits as { data: Float32Array }
            onProgress(all.push(Float64Array.from(data, (value) => Math.round(value / scale + zeroPoint))))
          }
          return all
        },
        close: () => session.release(),
      }
    },
  }
}

/** The exported page's own runtime, model file and browser. */
const chromium: HomeKind = {
  name: 'chromium',
  exact: true,
  missing: () => (findChromium() ? undefined : 'no Chromium here; on Debian: apt-get install chromium'),
  async open(_model, file) {
    const folder = mkdtempSync(join(tmpdir(), 'bitwright-homes-'))
    writePage(folder, file)
    const site = await serveFolder(folder)
    const browser = await Chromium.start(findChromium()!, [])
    const page = await browser.page()
    await page.open(site.url)
    return {
      async logits(clips, onProgress) {
        const all: number[][] = []
        while (all.length < clips.length)
          onProgress(all.push(...(await pageLogits(page, folder, clips.slice(all.length, all.length + 50)))))
        return all
      },
      async close() {
        await browser.close()
        site.close()
        rmSync(folder, { recursive: true })
      },
    }
  },
}

export const homeKinds: readonly HomeKind[] = [
  wasm,
  native,
  onnx('onnx', {}),
  onnx('onnx-exact', { exact: true }),
  onnx('onnx-front-end', { frontEnd: true }),
  onnx('onnx-front-end-exact', { frontEnd: true, exact: true }),
  chromium,
  ...firmwareTargets.map((target) => ({
    name: target,
    exact: true,
    missing: missingTools,
    open: (model: Model, file: Uint8Array) => firmwareHome(target, model, file),
  })),
]
