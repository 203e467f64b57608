// Runs clips through an integer model until the shared counter says that there are none left. One of these runs per thread.
import { parentPort, workerData } from 'node:worker_threads'
import { type IntegerJob, integerRunner } from './integer-evaluator.ts'

const run = await integerRunner(workerData as IntegerJob)
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
for (let count = run(); count > 0; count = run()) parentPort!.postMessage(count)
