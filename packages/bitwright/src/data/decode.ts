// Decodes many files into one matrix of clips, on several threads. Row i is file i whatever the number of threads.

import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { RunError } from '../errors.ts'
import { fitClip, readPcm } from './clip.ts'

export interface DecodeJob {
  readonly directory: string
  readonly paths: readonly string[]
  readonly sampleRate: number
  readonly samples: number
  /** [paths.length * samples] in shared memory. */
  readonly pcm: Int16Array
  /** One shared number: the next file that nobody has taken. */
  readonly next: Int32Array
}

export interface DecodeReport {
  readonly done: number
  readonly failures: readonly { readonly index: number; readonly reason: string }[]
}

const filesPerReport = 32
/** Starting a thread costs as much as decoding this many files. */
const filesPerThread = 400

/** Takes the next few files and decodes them; undefined when there are none left. A file that fails leaves zeros and its reason. */
export function decodeNext({ directory, paths, sampleRate, samples, pcm, next }: DecodeJob): DecodeReport | undefined {
  const first = Atomics.add(next, 0, filesPerReport)
  if (first >= paths.length) return undefined
  const end = Math.min(first + filesPerReport, paths.length)
  const failures: { index: number; reason: string }[] = []
  for (let index = first; index < end; index++) {
    try {
      fitClip(readPcm(join(directory, paths[index]), sampleRate), pcm.subarray(index * samples, (index + 1) * samples))
    } catch (error) {
      if (!(error instanceof RunError)) throw error
      failures.push({ index, reason: error.message })
    }
  }
  return { done: end - first, failures }
}

export type Progress = (done: number, total: number) => void

/** Decodes all files; resolves to the reasons of those that failed, by index. */
export async function decodeAll(job: DecodeJob, threads: number, onProgress?: Progress): Promise<Map<number, string>> {
  const failed = new Map<number, string>()
  let done = 0
  const collect = (report: DecodeReport) => {
    for (const { index, reason } of report.failures) failed.set(index, reason)
    onProgress?.((done += report.done), job.paths.length)
  }
  const workers = Math.min(threads, Math.floor(job.paths.length / filesPerThread))
  if (workers < 2) {
    for (let report = decodeNext(job); report; report = decodeNext(job)) {
      collect(report)
      await setImmediate()
    }
  } else {
    await Promise.all(Array.from({ length: workers }, () => runWorker(job, collect)))
  }
  return new Map([...failed].toSorted(([a], [b]) => a - b))
}

function runWorker(job: DecodeJob, collect: (report: DecodeReport) => void): Promise<void> {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const worker = new Worker(new URL(`./decode-worker.${extension}`, import.meta.url), { workerData: job })
  return new Promise((resolve, reject) => {
    worker.on('message', collect)
    worker.on('error', reject)
    worker.on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`decode worker ended with code ${code}`))))
  })
}
