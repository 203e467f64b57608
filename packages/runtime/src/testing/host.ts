// Runs batches of jobs on the host build of core/ (core/host.c) for the tests.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildHost, type HostOptions } from '../tools/build-core.ts'

export interface HostJob {
  readonly kind: 'run' | 'runFeatures' | 'features' | 'stream' | 'scores'
  /** A .bw image, the 36 bytes of a front end, or the 4 of a scale. */
  readonly first: Uint8Array
  readonly second: Int16Array | Float32Array | Uint8Array
}
export interface HostResult {
  readonly status: number
  readonly bytes: Uint8Array
}

/** Compiling with sanitizers takes some 15 s of one processor; on a busy machine ten times that. */
export const compileTimeout = 600_000

/** Compiles the host program into a folder of its own; `close` removes it. */
export class Host {
  private readonly directory = mkdtempSync(join(tmpdir(), 'bitwright-host-'))
  private readonly program = join(this.directory, 'host')

  constructor(options: HostOptions) {
    buildHost(this.program, options)
  }

  /** All jobs in one process; throws where it crashes or a sanitizer reports. */
  run(jobs: readonly HostJob[]): HostResult[] {
    const parts: Uint8Array[] = []
    for (const { kind, first, second } of jobs) {
      const data = new Uint8Array(second.buffer, second.byteOffset, second.byteLength)
      parts.push(
        new Uint8Array(
          Uint32Array.of(['run', 'runFeatures', 'features', 'stream', 'scores'].indexOf(kind), first.length, data.length).buffer,
        ),
      )
      for (const blob of [first, data]) parts.push(blob, new Uint8Array((4 - (blob.length % 4)) % 4))
    }
    const [jobsFile, resultsFile] = [join(this.directory, 'jobs'), join(this.directory, 'results')]
    writeFileSync(jobsFile, Buffer.concat(parts))
    execFileSync(this.program, [jobsFile, resultsFile], { stdio: ['ignore', 'inherit', 'pipe'], timeout: 100_000 })
    const bytes = new Uint8Array(readFileSync(resultsFile))
    const view = new DataView(bytes.buffer)
    const results: HostResult[] = []
    for (let at = 0; at < bytes.length;) {
      const size = view.getUint32(at, true)
      results.push({ status: view.getUint32(at + 4, true), bytes: bytes.slice(at + 8, at + 4 + size) })
      at += 4 + size
    }
    return results
  }

  close(): void {
    rmSync(this.directory, { recursive: true })
  }
}
