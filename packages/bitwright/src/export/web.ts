// A static folder: one page that listens (or, for a model of images, looks) with the model in it, the bundled runtime beside it, and no
// address outside. docs/web.md says how it is put on a server.
import { defaultDetectorSettings } from '@bitwright/runtime'
import { workletSource } from '@bitwright/runtime/browser'
import { readFileSync } from 'node:fs'
import type { ExportedFile, Exporter } from './exporter.ts'

const copied = (path: string, source: URL): ExportedFile => ({ path, bytes: readFileSync(source) })
const written = (path: string, text: string): ExportedFile => ({ path, bytes: new TextEncoder().encode(text) })
const source = (name: string): URL => new URL(`web/${name}`, import.meta.url)
const part = (path: string, name = path): ExportedFile => copied(path, source(name))

/** Head and foot are of one page, what is between them of the kind of model. */
function index(kind: 'audio' | 'image'): ExportedFile {
  const [page, main] = ['page.html', `${kind}.html`].map((name) => readFileSync(source(name), 'utf8'))
  return written(
    'index.html',
    page.replace('<!-- main -->', () => main.replace(/^<!--.*-->\n/, '').trim()),
  )
}

export const web: Exporter = {
  name: 'web',
  summary: 'a web page that listens or looks, for any static host',
  files({ model, file, detector = defaultDetectorSettings }) {
    const common = [
      part('page.js'),
      part('style.css'),
      copied('runtime.js', new URL(import.meta.resolve('@bitwright/runtime/browser'))),
      { path: 'model.bw', bytes: file },
    ]
    if (model.frontEnd.kind === 'image') return [index('image'), part('app.js', 'image.js'), ...common]
    return [
      index('audio'),
      part('app.js', 'audio.js'),
      part('waveform.js'),
      part('worker.js'),
      written('worklet.js', workletSource()),
      written('detector.json', `${JSON.stringify(detector, undefined, 2)}\n`),
      ...common,
    ]
  },
}
