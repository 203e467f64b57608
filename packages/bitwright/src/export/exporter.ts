// What an export target is: a finished model in, files out. One file per target implements it, and index.ts lists them.
import type { DetectorSettings, IntegerModel } from '@bitwright/runtime'
import type { FloatNetwork } from './float-network.ts'

/** A finished model, in both its forms. */
export interface ExportSource {
  readonly model: IntegerModel
  /** The .bw file it was read from. */
  readonly file: Uint8Array
  /** How scores on a stream become detections, where that was set for this model. */
  readonly detector?: DetectorSettings
}

export interface ExportedFile {
  /** Below the folder that is exported to. */
  readonly path: string
  readonly bytes: Uint8Array
}

export interface ExportOptions {
  /** --front-end */
  readonly frontEnd?: boolean
  /** --exact */
  readonly exact?: boolean
  /** --target */
  readonly target?: string
}

/** A target. It reads the integer model and never the trainer; where the files go is the caller's business. */
export interface Exporter {
  /** As --to names it. */
  readonly name: string
  /** For people, a few words. */
  readonly summary: string
  /** @throws RunError naming the layer that the target has no form for. */
  files(source: ExportSource, options: ExportOptions): readonly ExportedFile[]
  /** The network as it was before quantization, for targets that can hold it. */
  floatFiles?(network: FloatNetwork, options: ExportOptions): readonly ExportedFile[]
  /** Whether MFCC or log-mel may be part of the files (--front-end). */
  readonly takesFrontEnd?: boolean
  /** Whether there is a slower form with the core's very bits (--exact). */
  readonly hasExactForm?: boolean
  /** Processors that --target chooses from; the first of them where it is not given. */
  readonly targets?: readonly string[]
}
