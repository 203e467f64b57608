// The process that runs espeak-ng (GPL-3.0), apart from the rest, which links none of it. It takes utterances as messages and answers each
// with a WAV file. The module is compiled once; every utterance gets a fresh instance, so that none depends on those before.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import type { Utterance, UtteranceReply } from './synth-process.ts'

interface EspeakModule {
  readonly FS: { readFile(path: string): Uint8Array }
}
type Espeak = (options: {
  arguments: string[]
  print: (line: string) => void
  printErr: (line: string) => void
  instantiateWasm: (imports: WebAssembly.Imports, done: (instance: WebAssembly.Instance, module: WebAssembly.Module) => void) => object
}) => Promise<EspeakModule>

const packageName: string = 'espeak-ng'
const espeak = ((await import(packageName)) as { default: Espeak }).default
const directory = dirname(createRequire(import.meta.url).resolve(packageName))
const compiled = await WebAssembly.compile(readFileSync(join(directory, 'espeak-ng.wasm')))

async function speak({ id, voice, pitch, pace, ssml }: Utterance): Promise<UtteranceReply> {
  const lines: string[] = []
  try {
    const { FS } = await espeak({
      arguments: ['-v', voice, '-p', `${pitch}`, '-s', `${pace}`, '-a', '60', '-m', '-w', '/speech.wav', ssml],
      print: (line) => lines.push(line),
      printErr: (line) => lines.push(line),
      instantiateWasm: (imports, done) => {
        void WebAssembly.instantiate(compiled, imports).then((instance) => done(instance, compiled))
        return {}
      },
    })
    return { id, wav: FS.readFile('/speech.wav') }
  } catch (error) {
    return { id, error: lines[0] ?? String(error) }
  }
}

let last: Promise<unknown> = Promise.resolve()
process.on('message', (utterance: Utterance) => {
  last = last.then(async () => process.send!(await speak(utterance)))
})
process.on('disconnect', () => process.exit())
