// Runs an integer model over clips with the very core that ships, on several threads, and compares its answers with those of the
// fake-quantized network.
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { encodeModel, type IntegerModel, load, type Model } from '@bitwright/runtime'
import { loadNative } from '@bitwright/runtime/native'
import { type Dataset, type InputRows, inputRows, type Sample } from '../data/dataset.ts'
import { argMax } from './evaluate.ts'
import { loadForWork } from './load-for-work.ts'

export type Progress = (done: number, total: number) => void

export interface IntegerEvaluatorOptions {
  /** Default: one per processor, as far as there is work for them. */
  readonly threads?: number
  readonly onProgress?: Progress
  /** Receives single lines for people: that the core is being compiled, why WebAssembly takes over. Default: silence. */
  readonly onNotice?: (line: string) => void
}

/** What a thread is given; `rows.values`, `next` and `logits` are shared memory. */
export interface IntegerJob {
  /** The .bw file. */
  readonly bytes: Uint8Array
  readonly home: Model['home']
  readonly rows: InputRows
  /** Indices of rows. */
  readonly clips: Int32Array
  /** One number: the next clip that nobody has taken. */
  readonly next: Int32Array
  /** [clips][classes] */
  readonly logits: Int16Array
}

/** Clips between two turns of the event loop. */
const clipsPerTurn = 16
/** Starting a thread costs about as much as running this many clips. */
const clipsPerThread = 64

/** A function that takes the next few clips, writes their logits and says how many they were; 0 when none are left. */
export async function integerRunner({ bytes, home, rows: { values, size }, clips, next, logits }: IntegerJob): Promise<() => number> {
  const model = home === 'native' ? await loadNative(bytes) : load(bytes)
  const classes = model.classes.length
  return () => {
    const first = Atomics.add(next, 0, clipsPerTurn)
    const end = Math.min(first + clipsPerTurn, clips.length)
    for (let i = first; i < end; i++) logits.set(model.run(values.subarray(clips[i] * size, (clips[i] + 1) * size)), i * classes)
    return Math.max(0, end - first)
  }
}

const shared = (bytes: number): SharedArrayBuffer => new SharedArrayBuffer(bytes)

/**
 * int16 logits of every clip or image, from 16-bit samples or pixels to answers as on the device. Clips of a dataset that is not in shared memory are run on
 * this thread alone.
 * @param model the model, or its .bw file
 * @throws BadModelError where the core refuses the model; RangeError where the clips have another length
 */
export async function integerLogits(
  model: IntegerModel | Uint8Array,
  dataset: Dataset,
  clips: readonly Sample[],
  { threads = availableParallelism(), onProgress, onNotice = () => {} }: IntegerEvaluatorOptions = {},
): Promise<Int16Array[]> {
  const bytes = model instanceof Uint8Array ? model : encodeModel(model)
  const { classes: names, home } = await loadForWork(bytes, 'model.bw', clips.length, onNotice)
  const classes = names.length
  const rows = inputRows(dataset)
  const job: IntegerJob = {
    bytes,
    home,
    rows,
    clips: Int32Array.from(clips, ({ index }) => index),
    next: new Int32Array(shared(4)),
    logits: new Int16Array(shared(2 * classes * clips.length)),
  }
  let done = 0
  const report = (count: number): void => onProgress?.((done += count), clips.length)
  const workers = rows.values.buffer instanceof SharedArrayBuffer ? Math.min(threads, Math.floor(clips.length / clipsPerThread)) : 1
  if (workers > 1) {
    await Promise.all(Array.from({ length: workers }, () => runWorker(job, report)))
  } else {
    const run = await integerRunner(job)
    for (let count = run(); count > 0; count = run()) {
      report(count)
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  return clips.map((_, i) => job.logits.slice(i * classes, (i + 1) * classes))
}

function runWorker(job: IntegerJob, report: (count: number) => void): Promise<void> {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const worker = new Worker(new URL(`./integer-evaluator-worker.${extension}`, import.meta.url), { workerData: job })
  return new Promise((resolve, reject) => {
    worker.on('message', report)
    worker.on('error', reject)
    worker.on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`a thread of the integer evaluation ended with code ${code}`))))
  })
}

export interface DifferingClip {
  readonly path: string
  /** Answers as class indices. */
  readonly fakeQuantized: number
  readonly integer: number
  /** By how much the fake-quantized logit of its own answer exceeds that of the integer model's. */
  readonly margin: number
}
export interface AnswerComparison {
  /** In the order of the clips. */
  readonly differing: readonly DifferingClip[]
  /** Largest |fake-quantized - integer| of any logit, in steps of the integer logits. */
  readonly largestDifference: number
}

/** Where two forms of a network answer differently. @param scale of the integer logits: `model.tensors.at(-1).scale` */
export function compareAnswers(
  clips: readonly Pick<Sample, 'path'>[],
  fakeQuantized: readonly ArrayLike<number>[],
  integer: readonly Int16Array[],
  scale: number,
): AnswerComparison {
  const differing: DifferingClip[] = []
  let largestDifference = 0
  clips.forEach(({ path }, i) => {
    const [fake, whole] = [fakeQuantized[i], integer[i]]
    const answers = { fakeQuantized: argMax(fake), integer: argMax(whole) }
    if (answers.fakeQuantized !== answers.integer)
      differing.push({ path, ...answers, margin: fake[answers.fakeQuantized] - fake[answers.integer] })
    for (let k = 0; k < whole.length; k++) largestDifference = Math.max(largestDifference, Math.abs(fake[k] / scale - whole[k]))
  })
  return { differing, largestDifference }
}
