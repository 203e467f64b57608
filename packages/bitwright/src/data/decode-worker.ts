// Decodes files into shared memory until the shared counter says that there are none left. One of these runs per thread.

import { parentPort, workerData } from 'node:worker_threads'
import { decodeNext, type DecodeJob } from './decode.ts'

const job = workerData as DecodeJob
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
for (let report = decodeNext(job); report; report = decodeNext(job)) parentPort!.postMessage(report)
