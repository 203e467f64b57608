// Which build of the core a model runs on: WebAssembly is there at once; the core compiled for this processor runs about twice as fast, and
// compiling it takes seconds, once on a machine.
import { load, type Model, modelInfo } from '@bitwright/runtime'
import { loadNative } from '@bitwright/runtime/native'

/** Products that WebAssembly takes about a second for; where the compiled core is there, opening it takes some 50 ms. */
const nativeMacs = 1e10

/**
 * A model, ready for so many clips.
 * @param file name used in messages
 * @param onNotice receives single lines for people: that the core is being compiled, why WebAssembly takes over
 * @throws BadModelError where the file is damaged or no model
 */
export async function loadForWork(bytes: Uint8Array, file: string, clips: number, onNotice: (line: string) => void): Promise<Model> {
  const model = load(bytes, file)
  return clips * modelInfo(model.integerModel).macs < nativeMacs ? model : loadNative(bytes, file, onNotice)
}
